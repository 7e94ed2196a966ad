"""Who may ask the service for what: tokens, and the service that only shows."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping
from typing import Self

from cerebelum.core.errors import USAGE, CerebelumError, UsageError

_LEAST = 16
"""Characters of a token."""


class Unauthenticated(CerebelumError):
    """The request brings no token that the service knows."""

    exit_code = USAGE


class Forbidden(CerebelumError):
    """The service shows executions, and changes none."""

    exit_code = USAGE


class Tokens:
    """The tokens that are accepted, by the name of whom each was given to; an empty name for one that is anybody's."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        # As text they could only be compared if they were ASCII.
        self._tokens = [(token.encode(), name) for token, name in tokens.items()]

    @classmethod
    def read(cls, path: str) -> Self:
        """Those of a file: a line each, `TOKEN` or `NAME TOKEN`; empty lines and those with # are passed over.

        Raises UsageError for a file that cannot be read, holds none, or one that is too short to be secret.
        """
        try:
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
                mode = os.fstat(file.fileno()).st_mode
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UsageError(f"the tokens cannot be read: {why}", where=path) from None
        if mode & 0o077:
            raise UsageError("others can read this file of tokens", where=path, hint=f"chmod 600 {path}")
        found: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            where, token = f"{path}:{number}", words[-1]
            if len(words) > 2:
                raise UsageError("a line is TOKEN, or NAME TOKEN", where=where)
            if len(token) < _LEAST:
                raise UsageError(
                    f"a token has at least {_LEAST} characters", where=where, hint="make one with: openssl rand -hex 24"
                )
            if token in found:
                raise UsageError("this token is there twice", where=where)
            found[token] = words[0] if len(words) == 2 else ""
        if not found:
            raise UsageError("there is no token in this file", where=path, hint="make one: openssl rand -hex 24")
        return cls(found)

    def owner(self, authorization: str | None) -> str | None:
        """Whom the token of an `Authorization: Bearer …` header was given to; None if that is not said.

        Raises Unauthenticated. Takes the same time for every wrong token.
        """
        match = re.fullmatch(r"Bearer +(\S+)", authorization or "", re.IGNORECASE)
        if match is None:
            raise Unauthenticated("a token is needed", hint="send it as: Authorization: Bearer TOKEN")
        given, owner = match[1].encode("utf-8", "replace"), None
        for token, name in self._tokens:
            if hmac.compare_digest(token, given):
                owner = name
        if owner is None:
            raise Unauthenticated("the service does not know this token")
        return owner or None
