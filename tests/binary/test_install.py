"""The install script downloads, compares and places, and leaves what was there alone when something is wrong."""

import functools
import hashlib
import http.server
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "build" / "install.sh"
NAME = "cerebelum-linux-" + {"aarch64": "arm64"}.get(platform.machine(), platform.machine())

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the Linux binary")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and its address, with a program that says a version."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / NAME).write_text("#!/bin/sh\necho cerebelum 9.9\n")
    digest = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {NAME}.old\n{digest}  {NAME}\n")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def install(to: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = {"HOME": str(to.parent), "PATH": os.environ["PATH"], "no_proxy": "127.0.0.1"}
    command = ["sh", str(SCRIPT), "--to", str(to), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_verified_binary_is_placed(site: tuple[Path, str], tmp_path: Path) -> None:
    to = tmp_path / "some bin"
    done = install(to, "--from", site[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cerebelum 9.9 is {to}/cerebelum\n")
    assert [path.name for path in to.iterdir()] == ["cerebelum"]
    assert os.access(to / "cerebelum", os.X_OK)


@pytest.mark.parametrize("wrong", ["altered", "unlisted", "missing", "does not start"])
def test_what_is_not_right_changes_nothing(site: tuple[Path, str], tmp_path: Path, wrong: str) -> None:
    folder, url = site
    to = tmp_path / "bin"
    to.mkdir()
    (to / "cerebelum").write_text("the old one")
    if wrong == "altered":
        (folder / NAME).write_text("#!/bin/sh\necho cerebelum 6.6\n")
    elif wrong == "unlisted":
        (folder / "SHA256SUMS").write_text("")
    elif wrong == "missing":
        (folder / NAME).unlink()
    else:
        (folder / NAME).write_text("#!/bin/sh\nexit 1\n")
        digest = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
        (folder / "SHA256SUMS").write_text(f"{digest}  {NAME}\n")
    done = install(to, "--from", url)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("install.sh: ")
    assert [(path.name, path.read_text()) for path in to.iterdir()] == [("cerebelum", "the old one")]


def test_it_asks_where_from(tmp_path: Path) -> None:
    done = install(tmp_path / "bin")
    assert (done.returncode, "--from URL" in done.stderr) == (1, True)
