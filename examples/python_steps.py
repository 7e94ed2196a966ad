"""The steps of python_steps.yaml: plain functions, whose results are the steps' outputs."""

import asyncio
import os
from typing import Any


def words(inputs: dict[str, Any]) -> list[str]:
    return str(inputs["text"]).split()


def longest(words: list[str], context: Any) -> str:
    """`context` knows the execution: its id, the attempt, a key that stays the same on every attempt, the secrets."""
    print(f"attempt {context.attempt} of {context.execution_id}")  # ends up in `cerebelum logs`
    return max(words, key=len)


async def lookup(words: list[str], limit: int) -> dict[str, int]:
    async def ask(word: str) -> tuple[str, int]:
        await asyncio.sleep(0)  # a service would be asked here
        return word, len(word)

    return dict(await asyncio.gather(*(ask(word) for word in words[:limit])))


def report(longest: str, known: dict[str, int]) -> dict[str, Any]:
    title = os.environ["TITLE"]
    print(f"{title}: the longest word is {longest!r}")
    return {"title": title, "longest": longest, "known": sorted(known)}
