"""Copies the code of the modules that commands load into one file, so that a start reads it without a search for each.

Modules that the same commands load are read together: what names and constants they share is then made once, which
takes a tenth off a short command. Compiled modules stay where they are; the file tells where that is.

Which modules these are is found out by performing commands with the folder that is to be packed.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from layout import PYTHON

NAME = "start.bin"
_PYC_HEADER = 16
_STEPS = """name: steps
steps:
  - {id: shell, run: 'echo a; echo b'}
  - {id: python, python: 'tasks.py:task', with: {a: 1}}
  - {id: fails, run: 'test -e mended'}
"""
_COMMANDS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("list",), 0),
    (("--version",), 0),
    (("validate", "steps.yaml"), 0),
    (("run", "steps.yaml", "--id", "one", "--quiet"), 1),
    (("run", "steps.yaml", "--id", "two"), 1),
    (("status", "one"), 0),
    (("resume", "one"), 1),
    (("logs", "one"), 0),
    (("history", "one"), 0),
    (("list", "--json"), 0),
    # Without a server, but with all that is loaded to look for one.
    (("--store", "postgresql:///none?host=/nonexistent", "list"), 74),
)
# Notes the names in the process that performed the command, since it ends without taking itself apart. Those that the
# interpreter itself needs are never looked for; those that wait for their first use are known, but not loaded.
_PERFORM = """
import sys
there = set(sys.modules)
import os
sys.argv = ["cerebelum", *sys.argv[1:]]
import cerebelum.__main__ as program
def leave(code):
    modules = [(name, module) for name, module in list(sys.modules.items()) if name not in there]
    loaded = {name: type(module) is type(sys) for name, module in modules}
    with open("loaded", "w") as out:
        for name, module in modules:
            file = str(getattr(getattr(module, "__spec__", None), "origin", ""))
            if file.endswith((".pyc", ".so")):
                out.write(f"{name} {int(loaded[name])} {file}\\n")
    sys.stdout.flush()
    os._exit(code)
program.leave = leave
program.main()
"""


def warm(root: Path) -> int:
    """Write the file into the folder `root`; returns how many modules are in it. Raises SystemExit."""
    files, users = _loaded(root)
    write(root / "lib" / PYTHON, files, users)
    return len(files)


def write(library: Path, files: dict[str, str], users: dict[str, frozenset[int]]) -> None:
    """Write the file into `library`, for modules by name: where they are in it, and which commands load them."""
    groups: dict[object, list[str]] = {}
    for name in sorted(files):
        groups.setdefault(_group(name, users[name]), []).append(name)
    index: dict[str, tuple[str, bool, int | None]] = {}
    places: list[tuple[int, int]] = []
    contents = b""
    for names in groups.values():
        codes = {}
        for name in names:
            file, group = files[name], None
            if file.endswith(".pyc"):
                codes[name] = marshal.loads((library / file).read_bytes()[_PYC_HEADER:])
                group = len(places)
            index[name] = (file, file.endswith("/__init__.pyc"), group)
        if codes:
            part = marshal.dumps(codes)
            places.append((len(contents), len(part)))
            contents += part
    head = marshal.dumps((index, places))
    (library / NAME).write_bytes(len(head).to_bytes(4, "little") + head + contents)


def _group(name: str, users: frozenset[int]) -> object:
    """Which modules it is read with. Users' code may load what a short command does not of the standard library."""
    alone = not users or (name.partition(".")[0] in sys.stdlib_module_names and 0 not in users)
    return name if alone else users


def _loaded(root: Path) -> tuple[dict[str, str], dict[str, frozenset[int]]]:
    """By module: its file, as seen from the library's folder, and which of the commands load it."""
    files: dict[str, str] = {}
    users: dict[str, frozenset[int]] = {}
    library = os.path.realpath(root / "lib" / PYTHON)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "steps.yaml").write_text(_STEPS)
        Path(folder, "tasks.py").write_text("def task(a):\n    return {'a': a}\n")
        env = {"HOME": folder, "PATH": os.defpath, "LANG": "C.UTF-8"}
        for number, (command, code) in enumerate(_COMMANDS):
            done = subprocess.run(
                [root / "bin" / "python3", "-I", "-S", "-X", "utf8", "-c", _PERFORM, *command],
                cwd=folder, env=env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != code:
                raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
            for line in Path(folder, "loaded").read_text().splitlines():
                name, loaded, file = line.split(" ", 2)
                files[name] = os.path.relpath(os.path.realpath(file), library)
                users[name] = users.get(name, frozenset()) | (frozenset({number}) if int(loaded) else frozenset())
    return files, users
