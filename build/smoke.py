"""Uses the built file as users do: real homes, terminals, signals, hostile places. `make smoke`

Every check starts in an empty home. As root all of them run a second time as an unprivileged user. Exits 1 if one
fails; what this machine cannot do is listed as skipped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from smoked import caches, lives, places, service, steps
from smoked.desk import perform

UNPACKED = [*lives.CHECKS, *steps.CHECKS, *service.CHECKS]
"""Checks that share what was unpacked once; the others see the first start of a user each."""
CHECKS = [*UNPACKED, *places.CHECKS, *caches.CHECKS]
NOBODY = 65534


def main() -> None:
    """Command line: the binary, and names of checks if not all are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=Path)
    parser.add_argument("only", nargs="*", help="names of checks, or parts of them")
    given = parser.parse_args()
    checks = [c for c in CHECKS if not given.only or any(part in c.__name__ for part in given.only)]
    with (
        tempfile.TemporaryDirectory(prefix="cerebelum-smoked-", dir="/var/tmp") as shelf,
        ProcessPoolExecutor() as pool,
    ):
        # Where every user can read it, whoever owns the checkout.
        os.chmod(shelf, 0o755)
        binary = Path(shutil.copy(given.binary, shelf))
        results = []
        for user in (None, NOBODY) if os.getuid() == 0 else (None,):
            cache = Path(shelf, f"unpacked-{user}")
            cache.mkdir(mode=0o700)
            if user is not None:
                os.chown(cache, user, user)
            results += [
                pool.submit(perform, check, binary, user, cache if check in UNPACKED else None) for check in checks
            ]
        failed = False
        for result in results:
            failed |= ": WRONG: " in result.result()
            print(result.result(), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
