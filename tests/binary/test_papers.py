"""What goes with the binary on paper is complete: every compiled file has a licence that somebody has looked at."""

import importlib
import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.binary.program import program

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "build"))
binary: Any = importlib.import_module("binary")
contents: Any = importlib.import_module("contents")
natives: Any = importlib.import_module("natives")
papers: Any = importlib.import_module("papers")

SITE = Path(sysconfig.get_path("platlib"))


def compiled() -> list[tuple[str, str]]:
    """The compiled files of what the wheels of cerebelum's distributions bring."""
    folders = [SITE / name for name in ("pysqlite3", "yaml", "psycopg_binary.libs", "psycopg_binary")]
    return [(path.relative_to(SITE).as_posix(), str(path)) for f in folders for path in f.rglob("*.so*")]


def test_the_version_is_the_one_inside_the_file() -> None:
    from cerebelum.backends.sqlite.library import library_version

    found = {part.kind.name: part.version for part in natives.natives(compiled(), launcher=False)}
    if "sqlite" in found:
        assert found["sqlite"] == library_version()
    if "openssl" in found:
        assert re.fullmatch(r"\d+\.\d+\.\d+", found["openssl"])


@pytest.mark.parametrize("file", ["libreadline.so.8", "lib/libgdbm.so.6", "x.libs/libunheard-0123abcd.so.1.2"])
def test_a_library_that_nobody_has_looked_at_stops_the_build(file: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=file):
        natives.natives([(file, str(tmp_path / "file"))], launcher=False)


def test_no_licence_of_a_native_part_binds_the_whole_file() -> None:
    kinds = [*natives.LIBRARIES.values(), *natives.INSIDE.values(), *natives.LAUNCHER.values()]
    assert not [kind.name for kind in kinds if re.search(r"\bA?GPL", kind.licence)]
    for name in {name for kind in kinds for name in kind.texts}:
        assert (natives.LICENSES / f"{name}.txt").stat().st_size > 80, name


def test_what_is_under_the_gpl_in_the_standard_library_stays_out() -> None:
    assert {"readline", "_gdbm", "_dbm"} <= contents.NOT_SHIPPED


def test_every_distribution_has_its_licence_and_its_line() -> None:
    names = contents.bundled()
    parts = natives.natives(compiled(), launcher=False)
    text, bill = papers.licenses(names, parts), json.loads(papers.sbom(names, parts))
    refs = [part["bom-ref"] for part in bill["components"]]
    assert len(refs) == len(set(refs)) == len(names) + len(parts)
    assert all(part["licenses"] for part in bill["components"])
    for part in [*bill["components"], bill["metadata"]["component"]]:
        assert f"\n{part['name']}".lower() in text.lower(), part["name"]
    assert papers.sbom(names, parts) == papers.sbom(names, natives.natives(reversed(compiled()), launcher=False))


def test_a_module_that_no_requirement_installed_is_named() -> None:
    here, foreign = SITE / "click" / "core.py", SITE / "_pytest" / "main.py"
    assert papers.strays(contents.bundled(), [str(here), str(foreign), os.__file__]) == [str(foreign)]


@pytest.mark.skipif("CEREBELUM_BIN" not in os.environ, reason="looks into the file that CEREBELUM_BIN names")
def test_the_licences_are_in_the_file() -> None:
    text = subprocess.run([*program(), "--licenses"], capture_output=True, text=True, check=True).stdout
    for title in ("Python 3.", "psycopg ", "openssl ", "sqlite ", "Text of a licence: GPL-3"):
        assert f"\n{title}" in text, title


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_the_promised_glibc_is_the_one_that_the_build_checks(page: str) -> None:
    promised = set(re.findall(r"glibc (\d+\.\d+) or newer", (ROOT / page).read_text()))
    assert promised == {".".join(map(str, binary.GLIBC_FLOOR))}
