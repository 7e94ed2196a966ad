"""Copies the code of the modules that commands load into one file, so that a start reads it without a search for each.

Compiled modules stay where they are; the file tells where that is.

Which modules these are is found out by performing commands with the folder that is to be packed.
"""

from __future__ import annotations

import marshal
import os
import subprocess
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
# Asks for the names in the process that performed the command, since it ends without taking itself apart.
_PERFORM = """
import os, sys
sys.argv = ["cerebelum", *sys.argv[1:]]
import cerebelum.__main__ as program
def leave(code):
    specs = [(name, getattr(module, "__spec__", None)) for name, module in list(sys.modules.items())]
    with open("loaded", "w") as out:
        files = ((name, str(getattr(spec, "origin", ""))) for name, spec in specs)
        out.writelines(f"{name} {file}\\n" for name, file in files if file.endswith((".pyc", ".so")))
    sys.stdout.flush()
    os._exit(code)
program.leave = leave
program.main()
"""


def warm(root: Path) -> int:
    """Write the file into the folder `root`; returns how many modules are in it. Raises SystemExit."""
    library = root / "lib" / PYTHON
    index: dict[str, tuple[str, bool, int, int]] = {}
    codes: list[bytes] = []
    at = 0
    for name, file in sorted(_loaded(root).items()):
        package = file.endswith("/__init__.pyc")
        code = (library / file).read_bytes()[_PYC_HEADER:] if file.endswith(".pyc") else b""
        index[name] = (file, package, at, len(code))
        codes.append(code)
        at += len(code)
    head = marshal.dumps(index)
    (library / NAME).write_bytes(len(head).to_bytes(4, "little") + head + b"".join(codes))
    return len(index)


def _loaded(root: Path) -> dict[str, str]:
    """The file of each module, as seen from the library's folder."""
    found: dict[str, str] = {}
    library = os.path.realpath(root / "lib" / PYTHON)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "steps.yaml").write_text(_STEPS)
        Path(folder, "tasks.py").write_text("def task(a):\n    return {'a': a}\n")
        env = {"HOME": folder, "PATH": os.defpath, "LANG": "C.UTF-8"}
        for command, code in _COMMANDS:
            done = subprocess.run(
                [root / "bin" / "python3", "-I", "-S", "-X", "utf8", "-c", _PERFORM, *command],
                cwd=folder, env=env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != code:
                raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
            for line in Path(folder, "loaded").read_text().splitlines():
                name, _, file = line.partition(" ")
                found[name] = os.path.relpath(os.path.realpath(file), library)
    return found
