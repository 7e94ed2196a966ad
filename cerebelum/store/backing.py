"""Writes a store into one SQLite file while it is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cerebelum.core.errors import UsageError
from cerebelum.store import BacksUp, EventStore
from cerebelum.store.copying import Outcome, copy
from cerebelum.store.files import new_file


def back_up(
    store: EventStore, file: str, open_file: Callable[[str], EventStore], heed: Callable[[], None]
) -> Iterator[Outcome]:
    """Write a store file of everything in `store` as it stands; `open_file(path)` opens SQLite stores.

    A store that can, writes one consistent moment, and `heed` is called now and then; another one is copied, each
    execution as it stood when it was read, and this gives what became of each. The file is 0600 and durable once it is
    there. Raises UsageError if there is a file or it cannot be written, StoreError.
    """
    told = store.describe()
    if not told.exists:
        raise UsageError("there is nothing to back up: the store has not been created yet", where=told.where)
    with new_file(file) as (path, _):
        if isinstance(store, BacksUp):
            store.backup(path, heed)
        else:
            target = open_file(path)
            try:
                yield from copy(store, target, as_it_stands=True)
            finally:
                target.close()
