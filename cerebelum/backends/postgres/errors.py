"""What PostgreSQL's errors mean to a user, and which of them pass by themselves."""

from __future__ import annotations

from cerebelum.backends.postgres.address import Address
from cerebelum.backends.postgres.driver import psycopg
from cerebelum.core.errors import StoreError

_SAFE = "what was recorded before is safe"
_GRANTS = "which rights it needs is in docs/postgres.md"
_EXPLANATIONS = {
    "25006": ("the server is read-only", "is it a standby? name the primary, or add target_session_attrs=read-write"),
    "28000": ("the server refuses this user", "check the user's name and pg_hba.conf"),
    "28P01": ("the server refuses this user or password", "check the user's name and the password"),
    "3D000": ("there is no such database", "make it with createdb --encoding=UTF8, or name another one"),
    "3F000": ("the store's schema is gone", "restore it from a backup"),
    "42501": ("this user has not the right to do that", _GRANTS),
    "42P01": ("tables of the store are gone", "restore them from a backup"),
    "53100": ("the server's disk is full", f"free some space there, then resume; {_SAFE}"),
    "53200": ("the server is out of memory", f"then resume; {_SAFE}"),
    "53300": ("the server has no connection left", "raise max_connections, or put PgBouncer in front of it"),
    "54000": ("this is too large for the store", "keep large data in files and record where they are"),
    "57014": ("the server cancelled the statement", "is there a statement_timeout? then try again"),
    "XX001": ("the store is damaged", "stop the server and copy its data directory away before anything else"),
    "XX002": ("the store is damaged", "stop the server and copy its data directory away before anything else"),
}
# Server shutting down, crashed, starting; no connections left; lost a race with another transaction; a standby that
# is about to be promoted.
_PASSING = {"57P01", "57P02", "57P03", "57P05", "53300", "40001", "40P01", "55P03", "25006"}
# libpq tells of a connection that was refused in words only.
_PASSING_WORDS = (
    "starting up",
    "shutting down",
    "not yet accepting",
    "in recovery",
    "too many clients",
    "remaining connection slots",
)
_WORDS = {
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "no pg_hba.conf entry": "28000",
    'FATAL: role "': "28000",
    "does not exist": "3D000",
    "permission denied for database": "42501",
}


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection cannot be used any more."""
    state = error.sqlstate or ""
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
        not state or state.startswith(("08", "57P"))
    )


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same may succeed a little later, on a new connection."""
    return is_lost(error) or error.sqlstate in _PASSING


def is_busy(error: psycopg.Error) -> bool:
    """Whether a server that could not be connected to is there, and only not ready."""
    return any(words in str(error) for words in _PASSING_WORDS)


def explain(error: psycopg.Error, address: Address, *, new: bool) -> StoreError:
    """The library's error as one that says what is the matter, and what to do; without a password.

    `new`: the server has never been reached by this process.
    """
    text = address.harmless(" ".join(str(error).split())) or type(error).__name__
    state = error.sqlstate or ""
    if not state and new:
        state = next((code for words, code in _WORDS.items() if words in text), "")
    if state in _EXPLANATIONS:
        message, hint = _EXPLANATIONS[state]
    elif not state and new:
        message, hint = "the server cannot be reached", "check that it runs, its host and port, and the network"
    elif not state or state.startswith(("08", "57P")):
        message, hint = "the server went away, and did not come back in time", f"{_SAFE}: resume when it is there again"
    else:
        message, hint = "the store failed", "run 'cerebelum doctor'"
    code = f"{error.sqlstate}: " if error.sqlstate else ""
    return StoreError(f"{message} ({code}{text})", where=address.shown, hint=hint)


def not_storable(error: Exception, address: Address) -> StoreError:
    """The error for text that the database cannot hold."""
    return StoreError(
        f"this cannot be stored: {address.harmless(str(error))}",
        where=address.shown,
        hint="it came from bytes that are not UTF-8; write it differently",
    )
