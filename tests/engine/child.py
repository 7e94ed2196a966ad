"""A runner process for the tests to signal, kill and starve: runs or resumes, and exits as the command line would."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cerebelum.core.errors import CerebelumError
from cerebelum.sdk.verbs import Verbs
from tests.engine.harness import executors
from tests.stores import open_store


def main(url: str, verb: str, target: str) -> int:
    client = Verbs(lambda: open_store(url), executors)
    try:
        if verb == "run":
            result = client.run(Path(target), {}, heed_signals=True)
        else:
            result = client.resume(target, heed_signals=True)
    except CerebelumError as error:
        print(error.text(), file=sys.stderr)
        return error.exit_code
    finally:
        client.close()
    return result.exit_code


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
