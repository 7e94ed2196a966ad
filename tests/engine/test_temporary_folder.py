"""The private folder of a run is made where files have room, and goes with the run."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cerebelum.core.errors import UsageError
from cerebelum.host.temporary_folder import PREFIX, private_folder


def test_it_is_for_this_user_alone_and_goes_with_all_that_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with private_folder() as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "empty").mkdir()
        (folder / "full" / "deep").mkdir(parents=True)
        (folder / "full" / "deep" / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_place_with_room_for_folders_but_not_for_files_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.is_relative_to(tmp_path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", full)
    with private_folder() as folder:
        assert folder.name.startswith(PREFIX)
        assert not folder.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_none_can_be_made_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match="no temporary folder can be made: No space left"), private_folder():
        pass
    assert list(tmp_path.iterdir()) == []
