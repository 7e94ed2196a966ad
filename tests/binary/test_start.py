"""The code of all modules in one file: what is loaded from it is as if it came from the library, and so is the rest."""

import importlib
import os
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "build"), str(ROOT / "build" / "frozen")]
start: Any = importlib.import_module("cerebelum_frozen.start")
warm: Any = importlib.import_module("warm")

SOURCES = {
    "wagon": "from wagon import wheel\nload = wheel.turns",
    "wagon.wheel": "turns = __name__, __file__, __package__",
    "wagon.brake": "held = True",
    "lantern": "lit = 1",
}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Some compiled modules, and the file made of them, which is looked into first."""
    files = {}
    for name, source in SOURCES.items():
        path = tmp_path / (name.replace(".", "/") + ("/__init__" if name == "wagon" else ""))
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".py").write_text(source)
        py_compile.compile(str(path.with_suffix(".py")), str(path.with_suffix(".pyc")), doraise=True)
        path.with_suffix(".py").unlink()
        files[name] = str(path.with_suffix(".pyc").relative_to(tmp_path))
    warm.write(tmp_path, files, {name: frozenset({0} if "wagon" in name else ()) for name in SOURCES})
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    start._read_at_once(str(tmp_path))
    yield tmp_path
    for name in SOURCES:
        sys.modules.pop(name, None)


def known(module: ModuleType) -> dict[str, object]:
    """What a module knows of where it is from, and says of it."""
    spec = module.__spec__
    assert spec is not None
    names = ("__file__", "__cached__", "__package__", "__path__", "load", "turns")
    told = {name: getattr(module, name, None) for name in names}
    return told | {"origin": spec.origin, "places": spec.submodule_search_locations, "has_location": spec.has_location}


def test_modules_of_the_file_know_what_they_would_from_the_library(library: Path) -> None:
    ours = [known(importlib.import_module(name)) for name in SOURCES]
    assert type(sys.modules["wagon"].__loader__).__name__ == "_Loader"
    for name in SOURCES:
        del sys.modules[name]
    del sys.meta_path[0]
    importlib.invalidate_caches()
    theirs = [known(importlib.import_module(name)) for name in SOURCES]
    assert type(sys.modules["wagon"].__loader__).__name__ == "SourcelessFileLoader"
    assert ours == theirs


def test_what_the_same_commands_load_is_read_at_once_and_nothing_else(library: Path) -> None:
    finder = sys.meta_path[0]
    assert isinstance(finder, start._Finder)
    importlib.import_module("wagon")
    assert list(finder._codes) == ["wagon.brake"]
    importlib.import_module("wagon.brake")
    assert list(finder._codes) == []


def test_a_module_that_is_loaded_again_comes_from_the_library(library: Path) -> None:
    lantern: Any = importlib.import_module("lantern")
    lantern.lit = 0
    assert importlib.reload(lantern).lit == 1


@pytest.mark.parametrize("other", [None, os.devnull])
def test_without_the_file_modules_come_from_the_library(library: Path, other: str | None) -> None:
    """Users' code may close every descriptor, and have the number for a file of its own."""
    number = sys.meta_path[0]._file._number  # type: ignore[attr-defined]
    os.close(number)
    if other:
        taken = os.open(other, os.O_RDONLY)
        if taken != number:
            os.dup2(taken, number)
            os.close(taken)
    assert importlib.import_module("wagon").load[0] == "wagon.wheel"
    assert importlib.import_module("lantern").lit == 1
    if other:
        os.close(number)


def test_a_folder_of_the_user_goes_before_it(library: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    mine = tmp_path_factory.mktemp("mine")
    (mine / "lantern.py").write_text("lit = 2")
    sys.path.insert(0, str(mine))
    assert importlib.import_module("lantern").lit == 2


def test_the_standard_library_that_only_users_load_is_not_read_with_ours() -> None:
    everybody, psycopg = frozenset({0, 1}), frozenset({1})
    assert warm._group("threading", everybody) == warm._group("cerebelum.app", everybody)
    assert warm._group("json.decoder", psycopg) != warm._group("psycopg", psycopg)
    assert warm._group("msgspec", frozenset()) != warm._group("yaml", frozenset())
