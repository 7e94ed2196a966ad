"""Our modules in the binary are without what nobody reads there, and are the same otherwise."""

import importlib
import inspect
import py_compile
import re
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

import cerebelum

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "build")]
bare: Any = importlib.import_module("bare")

SOURCE = '''"""A module."""
from __future__ import annotations
from typing import Any

class Wagon:
    """A class, which keeps all."""
    load: int = 1
    """What it carries."""

    def wheel(self, turns: int = 2, *more: str, fast: bool = False, **other: Any) -> str:
        """A method."""
        def inner(a: int) -> int:
            """One in another."""
            return a // 0
        assert turns, "asserts are kept"
        return str(inner(turns))

    async def brake(self, hard: bool) -> None:
        """Nothing but this."""

def words(text: str, /) -> str:
    "words"
    return text
'''


def made() -> dict[str, Any]:
    known: dict[str, Any] = {"__name__": "made"}
    exec(bare.bare(SOURCE, "made.py"), known)
    return known


def test_functions_are_without_annotations_and_docstrings_and_classes_are_whole() -> None:
    known = made()
    wagon = known["Wagon"]
    for function in (wagon.wheel, wagon.brake, known["words"]):
        assert function.__annotations__ == {}
        assert function.__doc__ is None
    assert str(inspect.signature(wagon.wheel)) == "(self, turns=2, *more, fast=False, **other)"
    assert inspect.iscoroutinefunction(wagon.brake)
    assert wagon.__annotations__ == {"load": "int"}
    assert (wagon.__doc__, known["__doc__"]) == ("A class, which keeps all.", "A module.")
    assert known["words"]("a") == "a"
    with pytest.raises(AssertionError, match="asserts are kept"):
        wagon().wheel(0)


def test_lines_are_where_they_were() -> None:
    def lines(code: Any) -> list[int]:
        known: dict[str, Any] = {"__name__": "made"}
        exec(code, known)
        with pytest.raises(ZeroDivisionError) as caught:
            known["Wagon"]().wheel()
        return [frame.lineno or 0 for frame in traceback.extract_tb(caught.tb) if frame.filename == "made.py"]

    assert lines(bare.bare(SOURCE, "made.py")) == lines(compile(SOURCE, "made.py", "exec")) == [16, 14]


def test_every_module_is_compiled_anew_but_those_that_users_import(tmp_path: Path) -> None:
    for name in ("app", "sdk/steps", "cli/run", "testing", "backends/conformance/law"):
        path = tmp_path / "root" / "cerebelum" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOURCE)
        compiled = tmp_path / "library" / "cerebelum" / f"{name}.pyc"
        compiled.parent.mkdir(parents=True, exist_ok=True)
        py_compile.compile(str(path), str(compiled), dfile=f"cerebelum/{name}.py", doraise=True)
    before = {path: path.read_bytes() for path in (tmp_path / "library").rglob("*.pyc")}
    assert bare.lay_bare(tmp_path / "library", tmp_path / "root") == 2
    changed = {path.stem for path, content in before.items() if path.read_bytes() != content}
    assert changed == {"app", "run"}
    assert all(path.read_bytes()[:16] == content[:16] for path, content in before.items())


def test_what_the_docs_let_users_import_is_whole() -> None:
    texts = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", *(ROOT / "examples").rglob("*.py")]
    found = {("cerebelum", name) for name in cerebelum.__all__}
    for text in texts:
        imports = re.findall(r"from (cerebelum(?:\.\w+)*) import (\([^)]*\)|[^\n#]*)", text.read_text("utf-8"))
        found |= {(module, name) for module, names in imports for name in re.findall(r"\w+", names)}
    assert len(found) > 30
    homes = {getattr(getattr(importlib.import_module(module), name), "__module__", module) for module, name in found}
    paths = {Path(*home.split(".")[1:]) for home in homes if home.startswith("cerebelum.")}
    bared = [path for path in paths if not bare.is_whole(path) and not bare.is_whole(path.with_suffix(".py"))]
    assert bared == []


def test_every_module_of_the_package_can_be_laid_bare() -> None:
    for path in sorted((ROOT / "cerebelum").rglob("*.py")):
        bare.bare(path.read_text("utf-8"), path.name)
