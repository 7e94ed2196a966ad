"""Addresses of stores without their passwords: for what is shown, and for what must not be.

Taken apart by hand: a parser would leave a password that somebody forgot to quote where it is, and costs more to import
than this whole module to use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MASK = "***"

_URLS = ("CEREBELUM_STORE",)
"""Variables that hold the URL of a store."""
_PASSWORDS = ("PGPASSWORD",)
"""Variables that hold the password of one."""
_URL = r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+"
_PARAMETER = r"[?&]([^=&?]+)=([^&]*)"
_SECRET = ("password", "secret", "token")
"""How parameters end whose values are not shown: `password`, `sslpassword` …"""
_SURELY = 8
"""Characters from which on a password can be looked for by itself."""
_PHRASE = 16
"""Characters from which on it can be even if it is made of lower-case letters alone."""


def showable(url: str) -> str:
    """The URL (or path) of a store with `***` for each password in it."""
    shown, at = [], 0
    for start, end in _spans(url):
        shown += [url[at:start], MASK]
        at = end
    return "".join([*shown, url[at:]])


def without_passwords(text: str, urls: Iterable[str] = ()) -> str:
    """A text, such as a message of a database's library, without the passwords of `urls`, and of URLs in it."""
    for form in (form for url in urls for form in _masked(url)):
        text = text.replace(form, MASK)
    return re.sub(_URL, lambda match: showable(match[0]), text) if "://" in text else text


def hidden(environ: Mapping[str, str]) -> dict[str, str]:
    """By a name for each: what is to be masked like a secret, since the environment says how a store is reached.

    A password that is a plain word, or means something else in the URL as well (`postgres:postgres@`), is masked only
    together with what stands around it there: by itself it would be found where nobody meant it.
    """
    found: dict[str, str] = {}
    for name in _URLS:
        for form in _masked(environ.get(name, "")):
            found[f"{name} (password{f' {len(found) + 1}' if found else ''})"] = form
    for name in _PASSWORDS:
        if password := environ.get(name, ""):
            found[name] = password if _stands_out(password, "") else f"{name}={password}"
    return found


def revealing(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the variables that hold the password of a store."""
    return (*(n for n in _URLS if _spans(environ.get(n, ""))), *(n for n in _PASSWORDS if environ.get(n)))


def _masked(url: str) -> list[str]:
    """What to look for: each password as it is written and as it is meant, or with its surroundings."""
    forms = [
        form if _stands_out(form, url) else _surroundings(url, start, end)
        for start, end in _spans(url)
        for form in (url[start:end], _decoded(url[start:end]))
    ]
    return list(dict.fromkeys(forms))


def _stands_out(password: str, url: str) -> bool:
    """Whether the password is nothing that stands in many a text by chance."""
    word = password.isalpha() and password.islower() and len(password) < _PHRASE
    return len(password) >= _SURELY and not word and url.lower().count(password.lower()) < 2


def _surroundings(url: str, start: int, end: int) -> str:
    """The password with who it belongs to, as in `user:password@`, or what it is called, as in `password=…`."""
    begin = max(url.rfind(mark, 0, start) for mark in "/?&") + 1
    return url[begin : end + url.startswith("@", end)]


def _spans(url: str) -> list[tuple[int, int]]:
    """Where passwords stand in a URL, in order."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return []
    first = len(scheme) + len(separator)
    parameters = re.compile(_PARAMETER).finditer(url, first)
    spans = [match.span(2) for match in parameters if _is_secret(match[1]) and match[2]]
    if found := _in_userinfo(rest):
        start, end = first + found[0], first + found[1]
        spans = [(start, end), *(span for span in spans if span[0] >= end)]
    return spans


def _in_userinfo(rest: str) -> tuple[int, int] | None:
    """Where the password stands in `user:password@host/…`, which may hold what should have been quoted."""
    colon, slash = rest.find(":"), rest.find("/")
    at = rest.find("@", 0, slash if slash >= 0 else len(rest))
    if at >= 0:
        # One more @ before the path belongs to the password.
        at = rest.rfind("@", 0, next((i for i in range(at, len(rest)) if rest[i] in "/?"), len(rest)))
    elif 0 <= colon < slash and not rest[colon + 1 : slash].isdigit():
        # No port: the slash belongs to the password.
        query = rest.find("?")
        at = rest.rfind("@", 0, query if query >= 0 else len(rest))
    return (colon + 1, at) if 0 <= colon < at - 1 else None


def _is_secret(parameter: str) -> bool:
    return _decoded(parameter).lower().endswith(_SECRET)


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)
