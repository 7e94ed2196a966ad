"""A user's Python file finds in the program what it finds in Python: the standard library, itself, its siblings.

Runs with the package and, through CEREBELUM_BIN, with the binary.
"""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cli.conftest import Home

# Modules that a workflow has no use for, with everything below them.
LEFT_OUT = {
    "test": "Python's own tests",
    "idlelib": "an editor, with windows",
    "tkinter": "windows",
    "_tkinter": "windows",
    "turtle": "windows",
    "turtledemo": "windows",
    "lib2to3": "deprecated, with tests inside",
    "ensurepip": "brings pip, which has nothing to install into here",
    "venv": "makes environments of an interpreter that is installed",
    "antigravity": "opens a browser",
    "readline": "under the GPL",
    "nis": "gone from newer versions of Python",
    "pip": "not of the standard library",
    "site-packages": "not of the standard library",
    "__phello__": "an example of frozen modules",
}

IMPORTS = """
import contextlib, importlib, io

def importable(names):
    found = []
    for name in names:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                importlib.import_module(name)
        except (Exception, SystemExit):
            continue
        found.append(name)
    return found
"""


def standard_modules() -> list[str]:
    """Names of the modules of this interpreter's standard library, submodules included, found without importing."""
    root = Path(sysconfig.get_path("stdlib"))
    names = set(sys.stdlib_module_names)
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] in sys.stdlib_module_names and not {"tests", "test", "__main__"}.intersection(parts):
            names.add(".".join(part for part in parts if part != "__init__"))
    return sorted(n for n in names if n.partition(".")[0] not in LEFT_OUT and not n.startswith(("_test", "_xx", "xx")))


@pytest.mark.parametrize("isolated", [False, True], ids=["here", "isolated"])
def test_every_module_of_the_standard_library_can_be_imported(cli: Home, isolated: bool) -> None:
    names = standard_modules()
    code = f"import json, sys\n{IMPORTS}\nprint(json.dumps(importable(json.load(sys.stdin))))"
    # Where setuptools is installed, it would put a distutils of its own in front.
    stdlib = {"SETUPTOOLS_USE_DISTUTILS": "stdlib"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(names),
        env={**os.environ, **stdlib},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    wanted = json.loads(done.stdout)
    assert len(wanted) > 550
    cli.write("names.json", json.dumps(wanted))
    cli.write(
        "tasks.py", IMPORTS + "\ndef found():\n    import json\n    return importable(json.load(open('names.json')))\n"
    )
    cli.write("flow.yaml", f"steps: [{{id: a, python: 'tasks.py:found', isolated: {str(isolated).lower()}}}]\n")
    ran = cli("run", "flow.yaml", env=stdlib)
    assert ran.code == 0, ran.out + ran.err
    (step,) = cli("status", "last", "--json").json()["steps"]
    assert sorted(set(wanted) - set(step["output"])) == []


SELF = """
import copyreg, inspect, pickle, sys, traceback
import sibling
from sibling import VALUE

class Thing:
    size = 3

def itself():
    assert "of the source" in inspect.getsource(itself)  # this is a line of the source
    assert inspect.getsource(sibling) == "VALUE = 7\\n"
    assert VALUE == 7
    assert pickle.loads(pickle.dumps(Thing())).size == 3
    assert sys.modules[itself.__module__].__file__ == __file__
    assert exit and quit and help

def wrong():
    number = int("many")  # the line at fault
"""


@pytest.mark.parametrize("isolated", ["false", "true"])
def test_a_file_finds_its_source_its_siblings_and_its_classes(cli: Home, isolated: str) -> None:
    cli.write("flows/sibling.py", "VALUE = 7\n")
    cli.write("flows/tasks.py", SELF)
    cli.write("flows/flow.yaml", f"steps: [{{id: a, python: 'tasks.py:itself', isolated: {isolated}}}]\n")
    ran = cli("run", "flows/flow.yaml")
    assert ran.code == 0, ran.out + ran.err


@pytest.mark.parametrize("isolated", ["false", "true"])
def test_a_traceback_shows_the_user_s_lines_and_none_of_ours(cli: Home, isolated: str) -> None:
    cli.write("sibling.py", "VALUE = 7\n")
    path = cli.write("tasks.py", SELF)
    cli.write("flow.yaml", f"steps: [{{id: a, python: 'tasks.py:wrong', isolated: {isolated}}}]\n")
    assert cli("run", "flow.yaml").code == 1
    history = cli("history", "last", "--json").out
    assert 'int(\\"many\\")  # the line at fault' in history
    assert f"{path}" in history
    assert "cerebelum/plugins" not in history


SPAWNS = """
import concurrent.futures, multiprocessing

def square(x):
    return x * x

def spawns():
    found = []
    for method in ("spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            found.append(list(pool.map(square, [2, 3], timeout=50)))
    return found
"""


@pytest.mark.parametrize("isolated", ["false", "true"])
@pytest.mark.parametrize("place", ["", "lib/"])
def test_processes_that_a_file_spawns_find_its_functions(cli: Home, isolated: str, place: str) -> None:
    cli.write(f"{place}own.py", SPAWNS)
    step = f"{{id: a, python: '{place}own.py:spawns', isolated: {isolated}, timeout: 55s}}"
    cli.write("flow.yaml", f"steps: [{step}]\n")
    ran = cli("run", "flow.yaml")
    assert ran.code == 0, ran.out + ran.err
    assert cli("status", "last", "--json").json()["steps"][0]["output"] == [[4, 9], [4, 9]]


def test_a_submodule_may_be_the_first_that_is_asked_for(cli: Home) -> None:
    cli.write("own.py", "from json.decoder import JSONDecodeError\ndef f(): return JSONDecodeError.__name__\n")
    cli.write("flow.yaml", "steps: [{id: a, python: 'own.py:f'}]\n")
    ran = cli("run", "flow.yaml")
    assert ran.code == 0, ran.out + ran.err


INTERPRETER = [
    ("-c", "import sys; print(sys.argv[1:], __name__)", "x"),
    ("-m", "json.tool", "--help"),
    ("script.py", "a", "b c"),
    ("-c", "import sys; sys.exit(7)"),
    ("-c", "import uuid, decimal, ctypes; print(decimal.Decimal('1.10'))"),
]


@pytest.mark.parametrize("line", INTERPRETER, ids=" ".join)
def test_the_interpreter_of_a_step_does_what_python_does(cli: Home, line: tuple[str, ...]) -> None:
    cli.write("script.py", "import sys, sibling\nprint(sys.argv[1:], __name__, sibling.VALUE)\n")
    cli.write("sibling.py", "VALUE = 7\n")
    run = "import subprocess, sys\n\ndef run(line):\n"
    run += "    done = subprocess.run([sys.executable, *line], capture_output=True, text=True)\n"
    cli.write("tasks.py", run + "    return [done.returncode, done.stdout]\n")
    cli.write("flow.yaml", f"steps: [{{id: a, python: 'tasks.py:run', with: {{line: {json.dumps(line)}}}}}]\n")
    ran = cli("run", "flow.yaml")
    assert ran.code == 0, ran.out + ran.err
    (step,) = cli("status", "last", "--json").json()["steps"]
    own = subprocess.run(
        [sys.executable, *line], cwd=cli.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert step["output"] == [own.returncode, own.stdout]
