"""Inhospitable machines: no network, nothing that can be written, no room, other languages."""

from __future__ import annotations

import os
import shutil

from smoked.desk import Desk, expect
from smoked.lives import FLAKY
from smoked.steps import lay_out_calls

LONG = "name: long\nsteps:\n  - {id: a, run: 'true'}\n  - id: b\n    run: |\n" + "      : a long script\n" * 20_000


def odd_places_work(desk: Desk) -> None:
    odd = desk.make("a b 🧠 ü")
    shutil.copy(desk.binary, odd / "cerebelum")
    (odd / "flaky 🧠.yaml").write_text(FLAKY)
    env = {"LANG": "C", "CEREBELUM_CACHE_DIR": str(odd / "cache")}
    desk("run", "flaky 🧠.yaml", code=1, env=env, cwd=odd, program=odd / "cerebelum")
    expect(len(list((odd / "cache").iterdir())) == 1, "not unpacked where CEREBELUM_CACHE_DIR says")
    expect("🧠" in desk("history", "last", "--json", env=env), "the name of the file was mangled")
    desk("status", "last", env=env)
    desk("list", env={**env, "LC_ALL": "POSIX"})


def no_network_is_needed(desk: Desk) -> None:
    loopback = shutil.which("ip") is not None
    lay_out_calls(desk, shake_hands=loopback)
    # The step that shakes hands wants the loopback, which has to be switched on in a new namespace.
    desk("run", "calls.yaml", apart="ip link set lo up" if loopback else ":")
    desk("list", apart=":")


def a_home_that_is_read_only_says_what_to_set(desk: Desk) -> None:
    desk.write("flaky.yaml", FLAKY)
    read_only = f"mount --bind '{desk.home}' '{desk.home}'; mount -o remount,bind,ro '{desk.home}'"
    desk("--version", apart=read_only)
    desk("list", apart=read_only)
    said = desk("run", "flaky.yaml", code=74, apart=read_only)
    expect("--store" in said or "CEREBELUM_STORE" in said, f"it does not say where else executions could be: {said}")
    store = {"CEREBELUM_STORE": str(desk.folder / "store.db")}
    desk("run", "flaky.yaml", "--id", "f", code=1, env=store, apart=read_only)
    desk.write("mended", "")
    desk("resume", "f", env=store, apart=read_only)
    expect(not list(desk.home.iterdir()), "the home was not read-only")


def a_full_tmp_is_no_obstacle(desk: Desk) -> None:
    lay_out_calls(desk, shake_hands=False)
    desk.write("long.yaml", LONG)
    full = "mount -t tmpfs -o size=64k,mode=1777 tmpfs /tmp; cat /dev/zero > /tmp/full 2>/dev/null || :"
    for name in ("long", "calls"):
        desk("run", f"{name}.yaml", apart=full)


def nothing_stays_in_tmp(desk: Desk) -> None:
    lay_out_calls(desk, shake_hands=False)
    desk.write("flaky.yaml", FLAKY)
    desk.write("kills.yaml", "name: kills\nsteps: [{id: k, run: 'kill -9 $PPID; exec sleep 600'}]\n")
    own = desk.make("tmp", 0o1777)
    private = f"mount --bind '{own}' /tmp"
    for name, code in (("calls", 0), ("flaky", 1), ("kills", -9)):
        desk("run", f"{name}.yaml", "--id", name, code=code, apart=private)
    desk("cancel", "kills", apart=private)
    left = list(own.iterdir())
    expect(all(path.name.startswith("cerebelum-run-") for path in left), f"left behind: {left}")
    # What was left by SIGKILL goes with a later run.
    for path in left:
        os.utime(path, (0, 0))
    desk("run", "calls.yaml", apart=private)
    expect(not list(own.iterdir()), f"left behind: {list(own.iterdir())}")


CHECKS = [
    odd_places_work,
    no_network_is_needed,
    a_home_that_is_read_only_says_what_to_set,
    a_full_tmp_is_no_obstacle,
    nothing_stays_in_tmp,
]
