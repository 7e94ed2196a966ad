"""Uses the built file as users do: real homes, terminals, signals, hostile places. `make smoke`

Every check starts in an empty home. As root all of them run a second time as an unprivileged user. Exits 1 if one
fails; what this machine cannot do is listed as skipped.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0
"""Seconds after which anything counts as hanging."""
NOBODY = 65534

FLAKY = """
name: flaky
steps:
  - {id: one, run: 'echo one >> effects'}
  - {id: two, run: 'test -e mended'}
  - {id: three, run: 'echo three >> effects'}
"""
SLOW = """
name: slow
steps:
  - {id: one, run: 'echo one >> effects'}
  - {id: two, run: 'test -e mended || { touch started; exec sleep 600; }'}
"""
CALLS = """
name: calls
steps:
  - {id: here, python: 'tasks.py:here', output: json}
  - {id: apart, python: 'tasks.py:here', isolated: true}
  - {id: many, python: 'tasks.py:many'}
"""
TASKS = """
import asyncio, concurrent.futures, inspect, multiprocessing, ssl, subprocess, sys
import sibling

def here():
    assert "here" in inspect.getsource(here) and sibling.VALUE == 1 and sys.flags.utf8_mode
    assert ssl.create_default_context()
    said = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True).stdout
    return {"said": said.strip()}

def many():
    found = []
    for method in ("spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            found.append(list(pool.map(sibling.square, range(3))))
    async def child():
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "json.tool", "--help", stdout=-1)
        return await process.communicate()
    asyncio.run(child())
    return {"found": found}
"""
SIBLING = "VALUE = 1\ndef square(x):\n    return x * x\n"


class Wrong(Exception):
    """What a user would complain about."""


class Skipped(Exception):
    """Why a check is not possible here."""


@dataclass
class Desk:
    """An empty home, a folder to work in, and the binary."""

    binary: Path
    folder: Path
    user: int | None

    @property
    def env(self) -> dict[str, str]:
        return {"HOME": str(self.folder / "home"), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

    @property
    def cache(self) -> Path:
        return self.folder / "home" / ".cache" / "cerebelum"

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        self.own(path)

    def own(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, self.user, self.user)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
        drop = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [str(more.pop("program", self.binary)), *arguments],
            env={**self.env, **(env or {})},
            **{"cwd": self.folder, "text": True, **streams, **drop, **more},
        )

    def __call__(self, *arguments: str, code: int | None = 0, env: Mapping[str, str] | None = None, **more: Any) -> str:
        """What the program prints, errors included; it has to exit with `code`."""
        process = self.start(*arguments, env=env, **more)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Wrong(f"{arguments} hangs") from None
        expect(code is None or process.returncode == code, f"{arguments}: exit code {process.returncode}: {out}{err}")
        expect("\nTraceback" not in "\n" + err, f"{arguments}: {err}")
        return out + err


def expect(holds: bool, otherwise: str) -> None:
    """Raises Wrong."""
    if not holds:
        raise Wrong(otherwise)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a step has made `path`."""
    end = time.monotonic() + PATIENCE
    while not path.exists():
        expect(process.poll() is None, f"ended before {path.name} was there")
        expect(time.monotonic() < end, f"{path.name} never came")
        time.sleep(0.02)


# ---- checks --------------------------------------------------------------------------------------------------------


def it_says_what_it_is(desk: Desk) -> None:
    expect(desk("--version").startswith("cerebelum "), "--version")
    facts = json.loads(desk("--version", "--json"))
    expect(tuple(map(int, facts["sqlite"].split("."))) >= (3, 51, 3), f"SQLite {facts['sqlite']}")
    expect(facts["file"] == str(desk.binary.resolve()), f"it takes itself for {facts['file']}")
    licences = desk("--licenses")
    expect("psycopg" in licences and "PYTHON SOFTWARE FOUNDATION" in licences.upper(), "--licenses")


def every_verb_is_inside(desk: Desk) -> None:
    verbs = desk("--help").partition("Verbs:\n")[2].partition("\n\n")[0].splitlines()
    expect(len(verbs) > 10, "--help lists no verbs")
    for line in verbs:
        if not line.startswith("   "):
            desk(line.split()[0], "--help")
    for arguments in (["doctor"], ["plugins"], ["schema"], ["list"], ["store", "--help"]):
        desk(*arguments)


def a_failed_execution_is_resumed(desk: Desk) -> None:
    desk.write("flaky.yaml", FLAKY)
    desk("validate", "flaky.yaml")
    desk("run", "flaky.yaml", "--id", "f", code=1)
    desk("resume", "f", code=1)
    desk.write("mended", "")
    desk("resume", "f")
    expect((desk.folder / "effects").read_text() == "one\nthree\n", "a step ran twice")
    for verb in ("status", "logs", "history"):
        desk(verb, "f")
    expect("f" in desk("list"), "list does not show it")
    desk("store", "verify")
    desk("fork", "f", "--from", "three")


def _started(desk: Desk) -> subprocess.Popen[str]:
    desk.write("slow.yaml", SLOW)
    process = desk.start("run", "slow.yaml", "--id", "s", start_new_session=True)
    wait_for(desk.folder / "started", process)
    return process


def _goes_on(desk: Desk) -> None:
    desk.write("mended", "")
    desk("resume", "s")
    expect((desk.folder / "effects").read_text() == "one\n", "a step ran twice")


def a_killed_runner_leaves_nothing_and_is_resumed(desk: Desk) -> None:
    process = _started(desk)
    process.kill()
    process.communicate(timeout=PATIENCE)
    # The pid that was started is the program: with it, nobody drives the execution any more.
    _goes_on(desk)
    left = [p for p in Path("/tmp").glob("_MEI*") if p.stat().st_uid == (desk.user or os.getuid())]
    expect(not left, f"left behind: {left}")


def signals_end_it_in_order(desk: Desk) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = _started(desk)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        expect(process.returncode == code, f"{number.name}: exit code {process.returncode}")
        _goes_on(desk)
        for name in ("effects", "started", "mended"):
            (desk.folder / name).unlink()
        shutil.rmtree(desk.folder / "home" / ".local")


def ctrl_c_in_a_terminal_is_heard_once(desk: Desk) -> None:
    desk.write("slow.yaml", SLOW)
    ours, theirs = pty.openpty()
    process = desk.start(
        *("run", "slow.yaml", "--id", "s"), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    wait_for(desk.folder / "started", process)
    os.write(ours, b"\x03")
    shown = _read_all(ours)
    expect(process.wait(PATIENCE) == 130, f"exit code {process.returncode}: {shown}")
    _goes_on(desk)


def _read_all(fd: int) -> str:
    said = b""
    while select.select([fd], [], [], PATIENCE)[0]:
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    return said.decode(errors="replace")


def users_python_works(desk: Desk) -> None:
    for name, text in (
        ("calls.yaml", CALLS.replace(", output: json", "")),
        ("tasks.py", TASKS),
        ("sibling.py", SIBLING),
    ):
        desk.write(name, text)
    desk("run", "calls.yaml")


def children_have_the_users_environment(desk: Desk) -> None:
    desk.write("env.yaml", "name: env\nsteps: [{id: e, run: env > seen; git --version; python3 -c 'import ssl'}]\n")
    given = {"VIRTUAL_ENV": "/some/venv", "LD_LIBRARY_PATH": "/some/lib", "PYTHONPATH": "/some/path"}
    for env in (given, {}):
        desk("run", "env.yaml", env=env)
        seen = dict(line.split("=", 1) for line in (desk.folder / "seen").read_text().splitlines() if "=" in line)
        for name in given:
            expect(seen.get(name) == env.get(name), f"{name} is {seen.get(name)!r}, not {env.get(name)!r}")
        ours = [n for n in seen if n.startswith(("_PYI", "_MEI", "_CEREBELUM", "LD_")) and n not in given]
        expect(not ours, f"steps see {ours}")


def plugins_come_from_a_folder(desk: Desk) -> None:
    info = desk.folder / "with 🦜" / "bird-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bird\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cerebelum]\nbird = bird\nbroken = missing_module\n")
    hook = "import cerebelum\n@cerebelum.hookimpl\ndef cerebelum_event(execution_id, event): pass\n"
    (info.parent / "bird.py").write_text(hook)
    env = {"CEREBELUM_PLUGIN_PATH": str(info.parent)}
    said = desk("plugins", env=env)
    expect("bird 1.0 in" in said and "missing_module" in said, said)
    desk("list", env=env)


def odd_places_work(desk: Desk) -> None:
    odd = desk.folder / "a b 🧠 ü"
    odd.mkdir()
    desk.own(odd)
    shutil.copy(desk.binary, odd / "cerebelum")
    (odd / "flaky 🧠.yaml").write_text(FLAKY)
    env = {"LANG": "C", "CEREBELUM_CACHE_DIR": str(odd / "cache"), "COLUMNS": "10"}
    desk("run", "flaky 🧠.yaml", code=1, env=env, cwd=odd, program=odd / "cerebelum")
    expect(len(list((odd / "cache").iterdir())) == 1, "not unpacked where CEREBELUM_CACHE_DIR says")
    desk("status", "last", env=env)
    desk("list", env={**env, "LC_ALL": "POSIX"})


def two_first_starts_at_once(desk: Desk) -> None:
    both = [desk.start("--version") for _ in range(4)]
    for process in both:
        process.communicate(timeout=PATIENCE)
    expect([p.returncode for p in both] == [0] * 4, "one of them failed")
    expect(len(list(desk.cache.iterdir())) == 1, f"left in the cache: {list(desk.cache.iterdir())}")


def a_damaged_copy_is_replaced(desk: Desk) -> None:
    desk("--version")
    (copy,) = desk.cache.iterdir()
    (packages,) = (copy / "lib").glob("python3.*")
    damage: list[Callable[[], object]] = [
        lambda: os.truncate(copy / "cerebelum", 100),
        lambda: (packages / "cerebelum" / "app.pyc").write_bytes(b"rubbish"),
        (packages / "json" / "decoder.pyc").unlink,
        lambda: shutil.rmtree(copy / "lib"),
        (copy / "bin" / "python3").unlink,
    ]
    for inflict in damage:
        inflict()
        desk("list")
    expect(len(list(desk.cache.iterdir())) == 1, f"left in the cache: {list(desk.cache.iterdir())}")


def old_copies_go_unless_used(desk: Desk) -> None:
    desk.cache.mkdir(parents=True, mode=0o700)
    for path in (desk.cache, desk.cache.parent):
        desk.own(path)
    old = desk.cache / ("a" * 40)
    for path in (old, desk.cache / ".new-killed", desk.cache / "somebody's"):
        path.mkdir()
        desk.own(path)
        os.utime(path, (0, 0))
    desk("--version")
    left = {path.name for path in desk.cache.iterdir()}
    expect(old.name not in left and ".new-killed" not in left, f"still there: {left}")
    expect("somebody's" in left, "a foreign folder was removed")


def a_bad_download_says_so(desk: Desk) -> None:
    whole = desk.binary.read_bytes()
    bad = desk.folder / "bad"
    cuts = {"cut": whole[:-1000], "half": whole[: len(whole) // 2]}
    for at in (len(whole) // 3, len(whole) - 60, 200_000, 20_000_00 // 2):
        cuts[f"byte {at}"] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for name, content in cuts.items():
        bad.write_bytes(content)
        bad.chmod(0o755)
        said = desk("--version", program=bad, code=65, env={"CEREBELUM_CACHE_DIR": str(desk.folder / "c")})
        expect("download it again" in said, f"{name}: {said}")


def untrusted_caches_are_not_used(desk: Desk) -> None:
    elsewhere = desk.folder / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    desk.own(elsewhere)
    link, open_to_all = desk.folder / "link", desk.folder / "open"
    link.symlink_to(elsewhere)
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    desk.own(open_to_all)
    places = {link: "is a link", open_to_all: "can be written by others", open_to_all / "below": "can replace it"}
    if os.getuid() == 0:
        foreign = desk.folder / "foreign"
        foreign.mkdir(mode=0o755)
        os.chown(foreign, 12345, 12345)
        places[foreign] = "belongs to somebody else"
    for place, why in places.items():
        said = desk("--version", env={"CEREBELUM_CACHE_DIR": str(place)}, code=71)
        expect(why in said and "CEREBELUM_CACHE_DIR" in said, said)
    expect(not list(elsewhere.iterdir()), "the link was followed")


def a_home_that_cannot_be_written_is_no_obstacle(desk: Desk) -> None:
    env = {"HOME": "/proc/nowhere", "TMPDIR": str(desk.folder)}
    desk("--version", env=env)
    desk("list", env={**env, "CEREBELUM_STORE": str(desk.folder / "store.db")})
    expect(bool(list(desk.folder.glob("cerebelum-*"))), "not unpacked in TMPDIR")


def noexec_and_full_places_are_passed_over(desk: Desk) -> None:
    for options, why in (("noexec,size=200m", "noexec"), ("size=1m", "cannot hold")):
        with _mounted(desk, options) as place:
            said = desk("--version", env={"CEREBELUM_CACHE_DIR": str(place)}, code=71)
            expect(why in said, said)
            desk("--version", env={"XDG_CACHE_HOME": str(place), "TMPDIR": str(desk.folder)})
            expect(not list(place.glob("*/.new-*")), "half an unpacking was left")


@contextmanager
def _mounted(desk: Desk, options: str) -> Iterator[Path]:
    place = desk.folder / "mounted"
    place.mkdir(exist_ok=True)
    if os.getuid() != 0:
        raise Skipped("mounting needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{options},mode=0700,uid={desk.user or 0}", "tmpfs", place],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Skipped(f"no tmpfs here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def the_example_deploys(desk: Desk) -> None:
    tree = desk.folder / "project"
    shutil.copytree(ROOT / "examples", tree / "examples", ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache"))
    (desk.folder / "bin").mkdir()
    (desk.folder / "bin" / "cerebelum").symlink_to(desk.binary)
    if desk.user is not None:
        subprocess.run(["chown", "-R", str(desk.user), tree], check=True)
    # The example's own steps want Python 3.11 as `python3`.
    python = str(Path(sys.executable).parent.resolve()) if desk.user is None else "/usr/bin"
    path = f"{desk.folder / 'bin'}:{python}:{desk.env['PATH']}"
    said = desk(cwd=tree, program=tree / "examples/deploy/demo.sh", env={"PATH": path})
    expect("Everything went as described" in said, said)


CHECKS: list[Callable[[Desk], None]] = [
    it_says_what_it_is,
    every_verb_is_inside,
    a_failed_execution_is_resumed,
    a_killed_runner_leaves_nothing_and_is_resumed,
    signals_end_it_in_order,
    ctrl_c_in_a_terminal_is_heard_once,
    users_python_works,
    children_have_the_users_environment,
    plugins_come_from_a_folder,
    odd_places_work,
    two_first_starts_at_once,
    a_damaged_copy_is_replaced,
    old_copies_go_unless_used,
    a_bad_download_says_so,
    untrusted_caches_are_not_used,
    a_home_that_cannot_be_written_is_no_obstacle,
    noexec_and_full_places_are_passed_over,
    the_example_deploys,
]


def perform(check: Callable[[Desk], None], binary: Path, user: int | None) -> str:
    """Perform a check at a desk of its own; returns `ok`, or what was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="cerebelum-smoke-", dir="/var/tmp")).resolve()
    desk = Desk(binary, folder, user)
    try:
        desk.own(folder)
        (folder / "home").mkdir()
        desk.own(folder / "home")
        check(desk)
    except Skipped as why:
        return f"skipped: {why}"
    except Wrong as what:
        return f"WRONG: {what}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "ok"


def main() -> None:
    """Command line: the binary, and names of checks if not all are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=Path)
    parser.add_argument("only", nargs="*", help="names of checks, or parts of them")
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="cerebelum-smoked-", dir="/var/tmp") as shelf:
        # Where every user can read it, whoever owns the checkout.
        os.chmod(shelf, 0o755)
        binary = Path(shutil.copy(given.binary, shelf))
        for user in (None, NOBODY) if os.getuid() == 0 else (None,):
            for check in CHECKS:
                if given.only and not any(part in check.__name__ for part in given.only):
                    continue
                began = time.monotonic()
                result = perform(check, binary, user)
                failed |= result.startswith("WRONG")
                who = "" if user is None else " (unprivileged)"
                print(
                    f"{time.monotonic() - began:6.1f} s  {check.__name__.replace('_', ' ')}{who}: {result}", flush=True
                )
    sys.exit(failed)


if __name__ == "__main__":
    main()
