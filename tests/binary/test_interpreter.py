"""`sys.executable` of the frozen program takes the command lines that `python3` takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FROZEN = Path(__file__).resolve().parent.parent.parent / "build" / "frozen"
# Unfrozen, so that it can be compared with the interpreter it imitates.
START = (
    f"import sys; sys.path.insert(0, {str(FROZEN)!r}); from cerebelum_frozen.interpreter import run; "
    "del sys.path[0]; run(sys.argv[1:])"
)
IMITATION = ["-P", "-c", START]

LINES: list[tuple[str, ...]] = [
    ("-c", "import sys; print(sys.argv, __name__)", "a", "-c"),
    ("-Pc", "import sys; print(sys.argv, '' in sys.path)"),
    ("-Ic", "print(1)"),
    ("-c", "import sys; print('' in sys.path)"),
    ("-B", "-u", "-X", "utf8", "-Wignore", "-c", "import warnings; warnings.warn('x'); print(2)"),
    ("-W", "error", "-c", "import warnings; warnings.warn('x')"),
    ("-Xmine=7", "-c", "import sys; print(sys._xoptions['mine'])"),
    ("-m", "json.tool", "--help"),
    ("-m", "nothing_by_this_name"),
    ("script.py", "a", "b"),
    ("missing.py",),
    ("-c", "import sys; sys.exit(7)"),
    ("-c", "import sys; sys.exit('why')"),
    ("-c", "def f("),
    ("-",),
    ("--version",),
    ("-VV",),
    ("-c",),
    ("--no-such-option",),
]


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_it_does_what_the_interpreter_does(line: tuple[str, ...], tmp_path: Path) -> None:
    tmp_path.joinpath("script.py").write_text("import sys, sibling\nprint(sys.argv, __name__, __file__, sibling.V)\n")
    tmp_path.joinpath("sibling.py").write_text("V = 3\n")

    def outcome(*before: str) -> tuple[int, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(
            [sys.executable, *before, *line], cwd=tmp_path, env=env, input="print('from stdin')",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout if line != ("-VV",) else done.stdout[:6]

    assert outcome(*IMITATION) == outcome()
