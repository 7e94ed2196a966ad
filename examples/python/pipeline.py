"""Rows are fetched, checked and added up side by side, then reported; a line that is busy is tried again.

python examples/python/pipeline.py
cerebelum run examples/python/pipeline.py
"""

import asyncio
from typing import Any

from cerebelum import Builder, Context, step, workflow

Row = dict[str, Any]


@step(retry={"attempts": 3, "delay": "100ms"}, timeout="1m")
def fetch(context: Context) -> list[Row]:
    """Get the rows of the day."""
    if context.attempt == 1:
        raise ConnectionError("the line is busy")
    return [{"city": "Quito", "sold": 3}, {"city": "Lima", "sold": 5}, {"city": "Quito", "sold": 1}]


@step
def check(fetch: list[Row]) -> int:
    """Count the rows that cannot be right."""
    return sum(row["sold"] < 0 for row in fetch)


@step
async def total(fetch: list[Row]) -> dict[str, int]:
    """Add up what each city sold."""
    await asyncio.sleep(0)  # a service would be asked here
    sums: dict[str, int] = {}
    for row in fetch:
        sums[row["city"]] = sums.get(row["city"], 0) + row["sold"]
    return sums


@step
def report(check: int, total: dict[str, int]) -> str:
    best = max(total, key=lambda city: total[city])
    return f"{best} sold most, {total[best]}; {check} rows were wrong"


@workflow(max_parallel=4)
def pipeline(wf: Builder) -> None:
    wf.timeline(fetch >> [check, total] >> report)


if __name__ == "__main__":
    result = pipeline.run()
    print(result.output)
    print("by city:", result.results["total"])
