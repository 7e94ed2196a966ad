"""What a `postgresql://` URL says: how to connect, which schema, and how to show it without a password."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from cerebelum.backends.postgres.driver import psycopg
from cerebelum.core.errors import UsageError

DEFAULT_SCHEMA = "cerebelum"
_MOST_BYTES = 63
"""Longest name PostgreSQL keeps; it would cut longer ones off silently."""
_SECRET = ("password", "sslpassword")
# A dead peer is noticed within 15 s also where nothing is being sent.
_DEFAULTS: dict[str, Any] = {
    "application_name": "cerebelum",
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


class Address(msgspec.Struct, frozen=True):
    """Where a store is."""

    parameters: dict[str, Any]
    """For libpq, by its names."""
    schema: str
    shown: str
    """The URL without passwords."""

    @property
    def quoted_schema(self) -> str:
        return '"' + self.schema.replace('"', '""') + '"'

    @property
    def channel(self) -> str:
        """The name that changes of this store are announced under."""
        name = f"cerebelum {self.schema}"
        return (
            name if len(name.encode()) <= _MOST_BYTES else "cerebelum " + hashlib.sha256(name.encode()).hexdigest()[:32]
        )

    def harmless(self, text: str) -> str:
        """The text of an error without a password that may be in it."""
        for name in _SECRET:
            value = str(self.parameters.get(name) or "")
            for form in {value, quote(value, safe=""), quote(value)} - {""}:
                text = text.replace(form, "***")
        return text


def parse(url: str) -> Address:
    """Raises UsageError, which does not repeat the URL, if libpq would not understand it."""
    base, question, query = url.partition("?")
    ours: dict[str, str] = {}
    theirs = []
    for item in query.split("&") if question else ():
        name, _, value = item.partition("=")
        if name == "schema":
            ours[name] = unquote(value)
        elif item:
            theirs.append(item)
    try:
        given: dict[str, Any] = dict(psycopg.conninfo.conninfo_to_dict("?".join([base, "&".join(theirs)])))
    except (psycopg.Error, UnicodeError) as error:
        # Its message may quote what is in the URL.
        raise UsageError(
            f"the URL of the store is not one that PostgreSQL understands ({_reason(str(error))})",
            hint="write postgresql://user@host:5432/database?schema=cerebelum; escape special characters as %xx",
        ) from None
    if not all(port.isdigit() for port in str(given.get("port") or "0").split(",")):
        raise UsageError(
            "the port in the URL of the store is not a number",
            hint="in a password, write / as %2F, @ as %40, : as %3A, and so on",
        )
    schema = ours.get("schema", DEFAULT_SCHEMA)
    if not schema or "\0" in schema or len(schema.encode("utf-8", "replace")) > _MOST_BYTES or schema.startswith("pg_"):
        raise UsageError(
            f"{schema!r} cannot be the name of a schema",
            hint=f"1 to {_MOST_BYTES} bytes, and not beginning with pg_",
        )
    return Address(_DEFAULTS | given, schema, _shown(given, schema))


def _reason(text: str) -> str:
    """The beginning of libpq's message, before what it quotes."""
    return text.partition(":")[0].partition('"')[0].strip() or "it is malformed"


def _shown(given: dict[str, Any], schema: str) -> str:
    user = f"{quote(str(given['user']), safe='')}@" if given.get("user") else ""
    hosts = str(given.get("host") or given.get("hostaddr") or "").split(",")
    ports = str(given.get("port") or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = ",".join(
        (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
        for host, port in zip(hosts, ports, strict=False)
    )
    database = quote(str(given.get("dbname") or ""), safe="")
    suffix = "" if schema == DEFAULT_SCHEMA else f"?schema={quote(schema, safe='')}"
    return f"postgresql://{user}{places}/{database}{suffix}"
