"""That gRPC gives back what it allocates for operations that fail, or that nobody waits for any more."""

from __future__ import annotations

import json
import subprocess
import sys

DROPPING = """
import asyncio, ctypes, gc, json, sys

import grpc

from cerebelum.service.rpc import batches


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]


libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo


def allocated():
    gc.collect()
    found = libc.mallinfo2()
    return found.uordblks + found.hblkhd


async def tell(request, context):
    for number in range(1000):
        await context.write(b"x" * 300)


async def main():
    if "cured" in sys.argv:
        batches.see_through()
        batches.see_through()
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(tell)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Telling", {"Tell": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    held = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream("/test.Telling/Tell")

        async def drop(count):
            for _ in range(count):
                stream = call(b"")
                assert await stream.read() == b"x" * 300
                stream.cancel()

        for count in (100, 400):
            await asyncio.gather(*(drop(count) for _ in range(10)))
            await asyncio.sleep(0)
            held.append(allocated())
        # What was not dropped is told to its end.
        whole = [message async for message in call(b"")]
    await server.stop(0)
    print(json.dumps({"grown": held[1] - held[0], "told": len(whole)}))


asyncio.run(main())
"""


def test_a_stream_that_is_dropped_leaves_nothing_of_its_operations() -> None:
    done = subprocess.run([sys.executable, "-c", DROPPING, "cured"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["told"] == 1000
    assert found["grown"] < 400_000, "where 4,000 streams would leave a megabyte"
