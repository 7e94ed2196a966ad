"""A report is ordered somewhere else and asked for until it is there; the wait is in the log and outlives the process.

python examples/python/polling.py
cerebelum run examples/python/polling.py
cerebelum run examples/python/polling.py -i folder=/tmp/reports -i every=10s

The somewhere else is a folder: a report is there as soon as there is a file `<order>.txt`, which this one writes itself
unless a `folder` is given. Kill it and say `cerebelum resume last`: the order is not placed again.
"""

import tempfile
from pathlib import Path
from typing import Any

from cerebelum import Builder, Context, poll, step, workflow


@step
def order(inputs: dict[str, Any], context: Context) -> str:
    """Place an order; the key makes a second request with it the same order."""
    folder = Path(inputs["folder"]) if "folder" in inputs else Path(tempfile.mkdtemp(prefix="reports-"))
    if "folder" not in inputs:
        (folder / f"{context.execution_id}.txt").write_text("all is well\n")
    return str(folder / f"{context.execution_id}.txt")


@step
async def wait(order: str, inputs: dict[str, Any]) -> str:
    """Ask until the report is there. More than 5 seconds between are a wait that is recorded."""
    await poll(lambda: Path(order).exists(), interval=inputs.get("every", "1s"), timeout="7d")
    return order


@step
def read(wait: str) -> str:
    return Path(wait).read_text().strip()


@workflow
def polling(wf: Builder) -> None:
    wf.timeline(order >> wait >> read)


if __name__ == "__main__":
    print(polling.run().output)
