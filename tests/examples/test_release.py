"""The project's own release pipeline, examples/release.yaml: it goes through, and its checks find what they are for."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from cerebelum import __version__
from tests.binary.program import program
from tests.examples.program import EXAMPLES, ROOT, Program

RELEASE = EXAMPLES / "release.yaml"
TOOLS = EXAMPLES / "release"
WHEEL = f"cerebelum-{__version__}-py3-none-any.whl"
SDIST = f"cerebelum-{__version__}.tar.gz"
SBOM = f"cerebelum-{__version__}.cdx.json"

# Its unit test step must not run this test again.
A_FEW_TESTS = "tests/test_architecture.py"


def release(cerebelum: Program, dist: Path, *, version: str = __version__, code: int = 0) -> str:
    inputs = {"version": version, "tests": A_FEW_TESTS, "python": sys.executable, "dist": str(dist)}
    arguments = [part for name, value in inputs.items() for part in ("--input", f"{name}={value}")]
    # pip's settings, such as which index to use, may be in the home folder of whoever runs the tests.
    own = {"HOME": os.environ.get("HOME", "/")} | {k: v for k, v in os.environ.items() if k == "XDG_CONFIG_HOME"}
    command = [*program(), "run", str(RELEASE), *arguments]
    return cerebelum.execute(*command, cwd=ROOT, env=own, code=code, seconds=600).text


def test_the_pipeline_makes_a_release(cerebelum: Program, tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    release(cerebelum, dist)

    published = {path.name: path for path in dist.iterdir()}
    assert published.keys() == {WHEEL, SDIST, SBOM, "RELEASE_NOTES.md", "SHA256SUMS"}
    sums = set(published.pop("SHA256SUMS").read_text().splitlines())
    assert sums == {f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}" for name, path in published.items()}
    bill = published[SBOM].read_text()
    assert {"click", "msgspec", "cerebelum"} <= {part["name"] for part in json.loads(bill)["components"]}
    assert str(tmp_path) not in bill, "it differs from machine to machine"
    steps = cerebelum.json("status", "last")["steps"]
    assert {s["status"] for s in steps} == {"completed"}
    assert len([s for s in steps if s["group"] == "steps"]) >= 15


def test_another_version_than_the_code_s_is_refused_at_once(cerebelum: Program, tmp_path: Path) -> None:
    shown = release(cerebelum, tmp_path / "dist", version="99.0.0", code=1)

    assert f"cerebelum/__init__.py says {__version__}, not 99.0.0" in shown
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize(
    ("version", "entry"),
    [("1.2.0", "- twelve"), ("1.2.0rc1", "- candidate"), ("0.9.0", "- linked\n\n### More\n\n- text")],
)
def test_release_notes_are_the_changelog_s_entry(version: str, entry: str, cerebelum: Program, tmp_path: Path) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(
        "# Changelog\n\n## 1.2.0 - 2030-01-01\n\n- twelve\n\n## 1.2.0rc1\n\n- candidate\n\n## 1.1.0\n\n"
        "## [0.9.0]\n\n- linked\n\n### More\n\n- text\n"
    )
    shown = cerebelum.execute(sys.executable, TOOLS / "notes.py", changelog, version)

    assert shown.out == f"# cerebelum {version}\n\n{entry}\n"


@pytest.mark.parametrize(("version", "why"), [("1.1.0", "is empty"), ("1.1", "there is no entry")])
def test_a_version_without_an_entry_is_not_released(version: str, why: str, cerebelum: Program, tmp_path: Path) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("## 1.1.0\n\n## 1.0.0\n\n- text\n")

    assert why in cerebelum.execute(sys.executable, TOOLS / "notes.py", changelog, version, code=1).err


PACKED = ["cerebelum/__init__.py", "cerebelum/py.typed"]
INFO = [f"cerebelum-{__version__}.dist-info/{name}" for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")]
SOURCES = [*PACKED, "pyproject.toml", "build/recipe.py"]


def pack(folder: Path, wheel: list[str], sdist: list[str]) -> tuple[Path, Path]:
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name in wheel:
            archive.writestr(name, "")
    with tarfile.open(folder / SDIST, "w:gz") as tar:
        for name in sdist:
            tar.addfile(tarfile.TarInfo(f"cerebelum-{__version__}/{name}"), io.BytesIO())
    return folder / WHEEL, folder / SDIST


@pytest.mark.parametrize(
    ("wheel", "sdist", "complaint"),
    [
        ([*PACKED, *INFO], SOURCES, None),
        ([*PACKED, *INFO, "tests/test_it.py"], SOURCES, "wheel: tests/test_it.py does not belong there"),
        ([*PACKED, *INFO, "cerebelum/x.pyc"], SOURCES, "wheel: cerebelum/x.pyc comes from running"),
        ([PACKED[0], *INFO], SOURCES, "wheel: cerebelum/py.typed is missing"),
        (PACKED, SOURCES, "entry_points.txt is missing"),
        ([*PACKED, *INFO], SOURCES[:-1], "sdist: build/recipe.py is missing"),
        ([*PACKED, *INFO], [*SOURCES, "tests/__pycache__/a"], "sdist: tests/__pycache__/a comes from running"),
    ],
)
def test_a_package_with_something_missing_or_too_much_is_not_released(
    wheel: list[str], sdist: list[str], complaint: str | None, cerebelum: Program
) -> None:
    for name in SOURCES:
        path = cerebelum.folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    packages = pack(cerebelum.folder, wheel, sdist)
    ended = cerebelum.execute(sys.executable, TOOLS / "contents.py", *packages, code=1 if complaint else 0)

    assert (complaint or "") in ended.err
