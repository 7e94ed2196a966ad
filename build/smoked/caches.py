"""Where the binary unpacks itself: caches that are damaged, full, shared, planted, and downloads that are broken."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smoked.desk import PATIENCE, Desk, Skipped, expect


def two_first_starts_at_once(desk: Desk) -> None:
    both = [desk.start("--version") for _ in range(4)]
    for process in both:
        process.communicate(timeout=PATIENCE)
    expect([p.returncode for p in both] == [0] * 4, "one of them failed")
    expect(len(list(desk.cache.iterdir())) == 1, f"left in the cache: {list(desk.cache.iterdir())}")


def a_damaged_copy_is_replaced(desk: Desk) -> None:
    desk("--version")
    (copy,) = desk.cache.iterdir()
    # Whatever is in it: the largest file is the interpreter's library.
    files = sorted((p for p in copy.rglob("*") if p.is_file() and not p.is_symlink()), key=lambda p: p.stat().st_size)
    os.truncate(files[-1], 100)
    files[len(files) // 2].write_bytes(b"rubbish")
    desk("list")
    files[-2].unlink()
    shutil.rmtree(files[len(files) // 2].parent)
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
        (path / "cerebelum").touch()
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


def a_home_that_is_not_there_is_no_obstacle(desk: Desk) -> None:
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


CHECKS = [
    two_first_starts_at_once,
    a_damaged_copy_is_replaced,
    old_copies_go_unless_used,
    a_bad_download_says_so,
    untrusted_caches_are_not_used,
    a_home_that_is_not_there_is_no_obstacle,
    noexec_and_full_places_are_passed_over,
]
