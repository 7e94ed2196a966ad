"""The install script downloads, compares and places, and leaves what was there alone when something is wrong."""

import functools
import hashlib
import http.server
import os
import platform
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "build" / "install.sh"
NAME = "cerebelum-linux-" + {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
SHELLS = [
    pytest.param(["sh"], id="sh"),
    pytest.param(["bash", "--posix"], id="bash", marks=pytest.mark.needs_tool("bash")),
    pytest.param(["busybox", "ash"], id="ash", marks=pytest.mark.needs_tool("busybox")),
]
TOOLS = ("awk", "cat", "chmod", "cut", "getconf", "id", "ls", "mkdir", "mktemp", "mv", "rm", "sh", "uname")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the Linux binary")


class Site(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; of files named in `broken` it sends half, and hangs up. Over https it leads to `leads_to`."""

    broken: ClassVar[set[str]] = set()
    leads_to: ClassVar[str | None] = None

    def do_GET(self) -> None:
        if self.leads_to is not None and isinstance(self.connection, ssl.SSLSocket):
            self.send_response(302)
            self.send_header("Location", self.leads_to + self.path)
            self.end_headers()
        else:
            super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.path.rpartition("/")[2] in self.broken:
            self.wfile.write(source.read(10))
            self.close_connection = True
        else:
            shutil.copyfileobj(source, outputfile)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and its address, with a program that says a version."""
    folder = tmp_path / "site"
    publish(folder, "#!/bin/sh\necho cerebelum 9.9\n")
    publish(folder / "9.8", "#!/bin/sh\necho cerebelum 9.8\n")
    with serving(folder) as port:
        yield folder, f"http://127.0.0.1:{port}"


@contextmanager
def serving(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    handler = functools.partial(Site, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def publish(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / NAME).write_text(script)
    digest = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {NAME}.old\n{digest}  {NAME}\n")


def install(
    to: Path,
    *arguments: str,
    shell: list[str] | None = None,
    path: str = os.environ["PATH"],
    more: dict[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    env = {"HOME": str(to.parent), "PATH": path, "no_proxy": "127.0.0.1", **(more or {})}
    command = [shutil.which((shell or ["sh"])[0]) or "sh", *(shell or [])[1:], str(SCRIPT), "--to", str(to), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def only(folder: Path, *names: str) -> str:
    """A PATH with these tools and the few that every machine has."""
    folder.mkdir()
    for name in (*TOOLS, *names):
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_verified_binary_is_placed(site: tuple[Path, str], tmp_path: Path, shell: list[str]) -> None:
    to = tmp_path / "some bin"
    done = install(to, "--from", site[1] + "/", shell=shell)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cerebelum 9.9 is {to}/cerebelum\nnote: {to} is not on PATH")
    assert f"to uninstall: rm '{to}/cerebelum'" in done.stdout
    assert [path.name for path in to.iterdir()] == ["cerebelum"]
    assert os.access(to / "cerebelum", os.X_OK)


@pytest.mark.parametrize("fetch", [pytest.param(n, marks=pytest.mark.needs_tool(n)) for n in ("curl", "wget")])
@pytest.mark.parametrize("digest", [pytest.param(n, marks=pytest.mark.needs_tool(n)) for n in ("sha256sum", "shasum")])
def test_either_tool_will_do(site: tuple[Path, str], tmp_path: Path, fetch: str, digest: str) -> None:
    to, extra = tmp_path / "bin", ["perl"] if digest == "shasum" else []
    done = install(to, "--from", site[1], "--version", "9.8", path=only(tmp_path / "tools", fetch, digest, *extra))
    assert done.stdout.startswith("cerebelum 9.8 is "), done.stderr
    (site[0] / NAME).write_text("altered")
    assert install(to, "--from", site[1], path=str(tmp_path / "tools")).returncode == 1


@pytest.mark.needs_tool("openssl")
@pytest.mark.parametrize("fetch", [pytest.param(n, marks=pytest.mark.needs_tool(n)) for n in ("curl", "wget")])
@pytest.mark.parametrize("leads", ["nowhere else", "to http"])
def test_https_does_not_lead_to_http(
    site: tuple[Path, str], tmp_path: Path, leads: str, fetch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*make.split(), "-keyout", "key", "-out", "cert"], cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "wgetrc").write_text(f"ca_certificate = {tmp_path}/cert\n")
    env = {"CURL_CA_BUNDLE": f"{tmp_path}/cert", "WGETRC": f"{tmp_path}/wgetrc", "no_proxy": "localhost,127.0.0.1"}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    monkeypatch.setattr(Site, "leads_to", site[1] if leads == "to http" else None)
    path = only(tmp_path / "tools", fetch, "sha256sum")
    with serving(site[0], context) as port:
        done = install(tmp_path / "bin", "--from", f"https://localhost:{port}", path=path, more=env)
    assert (done.returncode, "cannot download" in done.stderr) == ((1, True) if leads == "to http" else (0, False))


@pytest.mark.parametrize(("lacks", "names"), [("curl nor wget", ["sha256sum"]), ("sha256sum nor shasum", ["curl"])])
def test_what_is_missing_here_is_named(site: tuple[Path, str], tmp_path: Path, lacks: str, names: list[str]) -> None:
    done = install(tmp_path / "bin", "--from", site[1], path=only(tmp_path / "tools", *names))
    assert (done.returncode, lacks in done.stderr) == (1, True)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "wrong", ["altered", "broken off", "sums broken off", "unlisted", "twice", "no sums", "missing", "does not start"]
)
def test_what_is_not_right_changes_nothing(
    site: tuple[Path, str], tmp_path: Path, wrong: str, shell: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = site
    to = tmp_path / "bin"
    to.mkdir()
    (to / "cerebelum").write_text("the old one")
    if wrong == "altered":
        (folder / NAME).write_text("#!/bin/sh\necho cerebelum 6.6\n")
    elif wrong == "broken off":
        monkeypatch.setattr(Site, "broken", {NAME})
    elif wrong == "sums broken off":
        monkeypatch.setattr(Site, "broken", {"SHA256SUMS"})
    elif wrong == "unlisted":
        (folder / "SHA256SUMS").write_text("")
    elif wrong == "twice":
        (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text() + f"{'1' * 64} *{NAME}\n")
    elif wrong == "no sums":
        (folder / "SHA256SUMS").unlink()
    elif wrong == "missing":
        (folder / NAME).unlink()
    else:
        publish(folder, "#!/bin/sh\necho version GLIBC_2.99 not found >&2\nexit 1\n")
    done = install(to, "--from", url, shell=shell)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("install.sh: ")
    assert [(path.name, path.read_text()) for path in to.iterdir()] == [("cerebelum", "the old one")]
    if wrong == "does not start":
        assert "GLIBC_2.99" in done.stderr
        assert "docs/install.md" in done.stderr


def test_an_upgrade_leaves_a_running_program_alone(site: tuple[Path, str], tmp_path: Path) -> None:
    to = tmp_path / "bin"
    shutil.copy(str(shutil.which("sleep")), site[0] / "sleep")
    to.mkdir()
    shutil.copy(site[0] / "sleep", to / "cerebelum")
    with subprocess.Popen([to / "cerebelum", "600"]) as running:
        done = install(to, "--from", site[1])
        alive = running.poll() is None
        running.kill()
    assert (done.returncode, alive) == (0, True), done.stderr
    assert (to / "cerebelum").read_text().endswith("cerebelum 9.9\n")


@pytest.mark.parametrize("place", ["a file", "below a file", "a folder called cerebelum"])
def test_a_folder_that_cannot_be_used_is_named(site: tuple[Path, str], tmp_path: Path, place: str) -> None:
    to = tmp_path / "place"
    if place == "a folder called cerebelum":
        (to / "cerebelum").mkdir(parents=True)
    else:
        to.touch()
        to = to / "bin" if place == "below a file" else to
    done = install(to, "--from", site[1])
    assert done.returncode == 1
    assert str(to) in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_folder_of_somebody_else_is_named(site: tuple[Path, str], tmp_path: Path) -> None:
    command = ["sh", "-s", "--", "--to", "/usr/local/bin", "--from", site[1]]
    done = subprocess.run(
        command, input=SCRIPT.read_text(), env={"PATH": os.environ["PATH"]}, user=65534, cwd="/", capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "cannot write to /usr/local/bin" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--from URL"),
        (["--from", "http://example.org/x"], "not https"),
        (["--from", "http://localhost.example.org/x"], "not https"),
        (["--from", "http://127.0.0.1@example.org/x"], "needs https"),
        (["--from", "http://127.0.0.1:80@example.org/x"], "needs https"),
        (["--from", "file:///etc"], "not an https URL"),
        (["--from", "-x"], "not an https URL"),
        (["--from", "https://127.0.0.1:1", "--version", "../up"], "not a version"),
        (["--from", ""], "needs a value"),
        (["--to"], "needs a value"),
        (["--frm", "x"], "unknown option"),
    ],
)
def test_it_says_what_it_does_not_take(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = install(tmp_path / "bin", *arguments)
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "bin").exists()


@pytest.mark.parametrize(("says", "words"), [("Plan9", "no binary for Plan9"), ("Linux", "no binary for riscv64")])
def test_a_machine_without_a_binary_is_told(tmp_path: Path, says: str, words: str) -> None:
    path = only(tmp_path / "tools", "curl", "sha256sum")
    (tmp_path / "tools" / "uname").unlink()
    (tmp_path / "tools" / "uname").write_text(f'#!/bin/sh\n[ "$1" = -s ] && echo {says} || echo riscv64\n')
    (tmp_path / "tools" / "uname").chmod(0o755)
    done = install(tmp_path / "bin", "--from", "https://127.0.0.1:1", path=path)
    assert (done.returncode, words in done.stderr) == (1, True)


def test_half_of_the_script_does_nothing(tmp_path: Path) -> None:
    text = SCRIPT.read_text()
    for part in range(0, len(text) - len('main "$@"\n'), 500):
        done = subprocess.run(
            ["sh", "-s", "--", "--to", str(tmp_path / "bin"), "--from", "https://127.0.0.1:1"],
            input=text[:part], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout == ""
        assert "download" not in done.stderr
    assert not (tmp_path / "bin").exists()


@pytest.mark.needs_tool("shellcheck")
def test_shellcheck_has_no_complaint() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == ""
