"""The files of the page: what they must never do, and how large they are. No browser is needed for this."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

import cerebelum
from cerebelum.core.status import GOING_ON
from cerebelum.render.palette import DARK, LIGHT

PAGE = Path(cerebelum.__file__).parent / "service" / "web" / "page"
FILES = {file.name: file.read_text() for file in sorted(PAGE.iterdir())}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_never_becomes_markup_or_code(name: str) -> None:
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc"
        r"|createContextualFragment|setHTML"
    )
    assert re.search(forbidden, SCRIPTS[name]) is None
    # Elements are made in one place, which makes text of strings; and runs of output, for speed, in another.
    if name not in ("dom.js", "ansi.js"):
        assert "createElement" not in SCRIPTS[name]


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    assert set(re.findall(r"https?://[^\"'` )]+", FILES[name])) <= {"http://www.w3.org/2000/svg"}


def test_the_policy_allows_all_of_index() -> None:
    index = FILES["index.html"]
    assert re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", index) is None
    for name in re.findall(r'static/([^"]+)"', index):
        assert name in FILES


def test_modules_import_what_there_is() -> None:
    for text in SCRIPTS.values():
        for names, module in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', text):
            exported = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", SCRIPTS[module], re.MULTILINE)
            assert {name.strip() for name in names.split(",")} <= set(exported), module
            used = [name.strip() for name in names.split(",")]
            assert all(len(re.findall(rf"\b{name}\b", text)) > 1 for name in used), used


def test_its_size() -> None:
    assert sum(len(gzip.compress(text.encode())) for text in FILES.values()) < 60_000
    assert all(text.count("\n") <= 450 for text in FILES.values())


def test_colours_are_those_of_reports() -> None:
    for name, light in LIGHT.items():
        assert f"--{name}: light-dark({light}, {DARK[name]});" in FILES["style.css"]


def test_what_goes_on_is_known() -> None:
    known = re.search(r"goesOn = \(status\) =>\s*\[([^\]]+)\]", FILES["display.js"])
    assert known is not None
    assert tuple(re.findall(r'"(\w+)"', known[1])) == GOING_ON
