"""That a service's threads share their heaps."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

THREADS = """
import ctypes, json, re, sys, tempfile, threading

from cerebelum.host.heaps import few_heaps

if "few" in sys.argv:
    few_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(12)


def allocate():
    barrier.wait()
    for _ in range(100):
        libc.malloc(5000)
    barrier.wait()


threads = [threading.Thread(target=allocate) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with tempfile.NamedTemporaryFile() as file:
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(json.dumps(len(re.findall("<heap nr", open(file.name).read()))))
"""


def heaps(*words: str) -> int:
    done = subprocess.run([sys.executable, "-c", THREADS, *words], capture_output=True, text=True, check=True)
    found: int = json.loads(done.stdout)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_threads_share_two_heaps() -> None:
    assert heaps("few") == 2
    assert heaps() > 2
