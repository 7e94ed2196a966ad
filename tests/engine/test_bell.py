"""A bell wakes whoever waits, also when a signal handler rings it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from cerebelum.host.bell import Bell
from tests.engine.harness import PATIENCE

IN_A_HANDLER = """
import os, signal, sys, threading
from cerebelum.host.bell import Bell

bell, heard = Bell(), threading.Semaphore(0)
def heed(number, frame):
    bell.ring()
    heard.release()
signal.signal(signal.SIGUSR1, heed)

def send():
    for _ in range(400):
        os.kill(os.getpid(), signal.SIGUSR1)
        heard.acquire()

sys.setswitchinterval(0.0001)
# Some of them come while the main thread is just about to wait, or to go on.
sending = threading.Thread(target=send)
sending.start()
while sending.is_alive():
    bell.wait(0.00001)
    bell.ring()
print("through")
"""


def test_a_ring_before_the_wait_counts_once_and_many_count_as_one() -> None:
    bell = Bell()
    assert not bell.wait(0.001)
    for _ in range(3):
        bell.ring()
    assert bell.wait(PATIENCE)
    assert not bell.wait(0.001)


def test_another_thread_wakes_it() -> None:
    bell = Bell()
    with ThreadPoolExecutor() as threads:
        woken = threads.submit(bell.wait, PATIENCE)
        bell.ring()
        assert woken.result(PATIENCE)


def test_a_signal_handler_may_ring_at_any_moment() -> None:
    command = [sys.executable, "-c", IN_A_HANDLER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "through\n", "")
