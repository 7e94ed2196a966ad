"""`python -m greeter --config FILE --announce FILE`: serves until SIGTERM."""

import argparse
import os
import signal
import threading
from pathlib import Path

from greeter.server import Server


def main() -> None:
    parser = argparse.ArgumentParser(prog="greeter")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--announce", type=Path, required=True, help="gets `PID PORT` while the service runs")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()

    server = Server(options.config, options.port)
    # `shutdown` waits for the loop that the signal has just interrupted, so it cannot be called right here.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    announcement = options.announce.with_suffix(".new")
    announcement.write_text(f"{os.getpid()} {server.port}\n")
    announcement.replace(options.announce)
    try:
        server.serve_forever(poll_interval=0.05)
    finally:
        server.server_close()
        options.announce.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
