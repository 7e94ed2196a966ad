"""What every store has to do, done by this one; and what is special about it."""

import os
import stat
import threading
from pathlib import Path

import pytest
from cerebelum_example_lmdb import open_store

from cerebelum.backends.conformance import StoreConformance
from cerebelum.backends.conformance.kit import create
from cerebelum.core.errors import StoreError, UsageError
from cerebelum.store import Query


class TestLmdb(StoreConformance):
    opener = staticmethod(open_store)

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"lmdb:///{tmp_path}/store"


@pytest.mark.parametrize("url", ["", "lmdb:", "lmdb://", "lmdb:///", "lmdb://x", "sqlite:///x", "lmdb:///a\0b"])
def test_what_names_no_folder_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(UsageError, match="lmdb:///relative"):
        open_store(url)


def test_reading_creates_nothing_and_what_is_created_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = open_store(f"lmdb:///{folder}")
    assert store.find(Query()).rows == []
    assert not store.describe().exists
    assert not folder.exists()
    create(store, "deploy-1")
    assert store.describe().exists
    modes = {path: stat.S_IMODE(os.stat(path).st_mode) for path in (folder, *folder.iterdir())}
    assert set(modes.values()) == {0o700, 0o600}
    store.close()


def test_two_names_of_a_folder_are_one_store(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("store")
    one, two = (open_store(f"lmdb:///{tmp_path}/{name}") for name in ("store", "link"))
    create(one, "deploy-1")
    assert len(two.read("deploy-1")) == 1
    one.close()
    assert len(two.read("deploy-1")) == 1
    two.close()


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = open_store(f"lmdb:///{tmp_path}/file/store")
    with pytest.raises(StoreError, match="the store failed"):
        create(store, "deploy-1")
    store.close()


def test_what_is_no_store_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"something else" * 1000)
    store = open_store(f"lmdb:///{tmp_path}")
    with pytest.raises(StoreError, match="is this the folder of an LMDB store"):
        store.find(Query())
    store.close()


def test_a_store_may_be_opened_and_closed_by_many_threads_at_once(tmp_path: Path) -> None:
    url = f"lmdb:///{tmp_path}/store"
    errors = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                store = open_store(url)
                create(store, f"deploy-{number}-{turn}")
                store.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    store = open_store(url)
    assert len(store.find(Query(limit=100)).rows) == 80
    store.close()
