"""Anybody can check what is published: a fresh checkout in another folder builds the very file that is being tested."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.binary.program import program

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = os.environ.get("CEREBELUM_BIN")


@pytest.mark.needs_tool("git")
@pytest.mark.skipif(not FILE, reason="compares with the file that CEREBELUM_BIN names")
def test_a_clean_checkout_elsewhere_builds_the_same_file(tmp_path: Path) -> None:
    file = Path(str(FILE)).resolve()
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    told = subprocess.run([*program(), "--version", "--json"], capture_output=True, text=True, check=True).stdout
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    if commit not in told or changed:
        pytest.skip("the file was not built from the commit that is checked out")
    checkout, dist = tmp_path / "another place", tmp_path / "dist"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    build = [sys.executable, "build/binary.py", "--dist", str(dist)]
    subprocess.run(build, cwd=checkout, check=True, timeout=1200)
    assert (dist / "cerebelum").read_bytes() == file.read_bytes()
    assert (dist / "cerebelum.cdx.json").read_bytes() == (file.parent / "cerebelum.cdx.json").read_bytes()
    # Other files may have been built beside it.
    sums = file.parent / "SHA256SUMS"
    assert set((dist / sums.name).read_text().splitlines()) <= set(sums.read_text().splitlines())
