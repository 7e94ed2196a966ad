"""Functions of the C library that Python has no words for."""

from __future__ import annotations


def call(name: str, *arguments: int) -> int | None:
    """What the function returns; None where there is none of this name.

    By what `ctypes` itself is made of, which takes a quarter of the time to load.
    """
    try:
        import _ctypes

        library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
        return int(_ctypes.call_function(_ctypes.dlsym(library, name), arguments))
    except (ImportError, AttributeError, OSError):
        return None
