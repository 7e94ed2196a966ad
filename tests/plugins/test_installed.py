"""Where distributions with plugins are looked for: what was looked at once is remembered only where that is safe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cerebelum import registry

OURS = "[cerebelum]\nmine = mine\n"
THEIRS = "[console_scripts]\nrun = run:main\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "_without", set())
    _put(tmp_path, "other-1.0.dist-info", THEIRS)
    return _old(tmp_path)


def _put(site: Path, name: str, points: str) -> None:
    (site / name).mkdir(exist_ok=True)
    (site / name / "entry_points.txt").write_text(points)


def _old(folder: Path) -> Path:
    """The folder, last changed a while ago."""
    then = os.stat(folder).st_mtime - 60
    os.utime(folder, (then, then))
    return folder


def _found(site: Path) -> bool:
    return registry._may_have_plugins(str(site))


def test_a_folder_without_plugins_is_read_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _found(site)
    monkeypatch.setattr(registry, "_names_us", lambda place, name: pytest.fail("it was read again"))
    assert not _found(site)


def test_what_is_installed_meanwhile_is_found(site: Path) -> None:
    assert not _found(site)
    _put(site, "mine-1.0.dist-info", OURS)
    assert _found(site)
    assert _found(_old(site))


def test_a_folder_that_has_just_changed_is_read_again(site: Path) -> None:
    _put(site, "more-1.0.dist-info", THEIRS)
    assert not _found(site)
    # As fast as a clock ticks: the folder's time stays the same.
    changed = os.stat(site)
    _put(site, "mine-1.0.dist-info", OURS)
    os.utime(site, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    assert _found(site)


def test_what_is_written_over_where_it_is_is_found(site: Path) -> None:
    _put(site, "mine.egg-info", THEIRS)
    _old(site)
    assert not _found(site)
    (site / "mine.egg-info" / "entry_points.txt").write_text(OURS)
    assert _found(site)


def test_what_the_binary_carries_is_not_looked_through(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(site, "mine-1.0.dist-info", OURS)
    monkeypatch.setattr("sys.prefix", str(site.parent))
    assert _found(site)
    monkeypatch.setattr("sys.cerebelum_file", "/usr/bin/cerebelum", raising=False)
    assert not _found(site)
    monkeypatch.setattr("sys.prefix", str(site)[:-1])
    assert _found(site)
