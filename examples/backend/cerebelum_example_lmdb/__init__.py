"""A cerebelum backend that keeps events in a folder with an LMDB database: `lmdb:///relative`, `lmdb:////absolute`.

LMDB has one writer at a time, and readers that see a snapshot: a transaction of it is just what the contract asks for.
`store` is the contract, `executions` what is searched, `shelf` how the database is opened and laid out.
"""

from collections.abc import Callable, Mapping

from cerebelum import hookimpl
from cerebelum.core.errors import UsageError
from cerebelum.store import EventStore


def open_store(url: str) -> EventStore:
    """The store in the folder of a URL; the folder is made when something is first written.

    Raises UsageError if the URL names no folder; the store's methods raise StoreError.
    """
    scheme, _, path = url.partition(":///")
    if scheme != "lmdb" or not path or "\0" in path:
        raise UsageError(
            f"{url!r} names no LMDB store", hint="write lmdb:///relative/folder or lmdb:////absolute/folder"
        )
    # Not before it is needed: `cerebelum --version` loads plugins, too.
    from cerebelum_example_lmdb.store import LmdbStore

    return LmdbStore(path)


@hookimpl
def cerebelum_backends() -> Mapping[str, Callable[[str], EventStore]]:
    """The hook: cerebelum calls it once, and opens URLs with this scheme by it."""
    return {"lmdb": open_store}
