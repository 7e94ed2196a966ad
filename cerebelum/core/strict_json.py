"""JSON as everybody reads it: readers disagree about keys that appear twice, NaN, and numbers too large for a float."""

from __future__ import annotations

import math
from typing import Any


def loads(text: str) -> Any:
    """The value that JSON text stands for. Raises ValueError (json.JSONDecodeError where it has a position)."""
    import json

    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_float, object_pairs_hook=_pairs)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        unseen = set(result)
        for name, _ in pairs:
            if name not in unseen:
                raise ValueError(f"the key `{name[:60]}` appears twice")
            unseen.remove(name)
    return result
