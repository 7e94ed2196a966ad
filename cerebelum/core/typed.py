"""Plain data taken as the types that msgspec knows, by one thread at a time.

While msgspec looks at a class for the first time, a second thread finds it half looked at, and the process crashes.
"""

from __future__ import annotations

from _thread import RLock
from typing import Any

import msgspec

from cerebelum.core.durations import Duration, duration

_looking = RLock()


def convert(value: Any, kind: Any) -> Any:
    """`value` as the type `kind`, which may have `Duration` in it. Raises msgspec.ValidationError, which says where it
    does not fit.
    """
    with _looking:
        return msgspec.convert(value, kind, dec_hook=_special)


def _special(kind: type[Any], value: Any) -> Any:
    if kind is Duration:
        try:
            return Duration(duration(value))
        except ValueError as error:
            raise ValueError(f"`{str(value)[:60]}`: {error}") from None
    raise NotImplementedError(f"{kind} is no type that a key can have")


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """What reads JSON text as the type `kind`; threads may share it."""
    with _looking:
        return msgspec.json.Decoder(kind)
