"""The user's environment variables, as steps are to inherit them."""

from __future__ import annotations

import os
from collections.abc import Mapping


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that steps inherit: the user's, without what a frozen program's start adds to it."""
    env = {k: v for k, v in environ.items() if not k.startswith(("_PYI", "_MEI"))}
    for name in [k for k in env if k.endswith("_ORIG") and k.startswith("LD_")]:
        env[name.removesuffix("_ORIG")] = env.pop(name)
    return {k: v for k, v in env.items() if not _broken(k) and not _broken(v)}


def _broken(text: str) -> bool:
    return "\0" in text or os.fsdecode(os.fsencode(text)) != text
