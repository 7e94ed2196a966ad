"""What verbs are given to work with; `cerebelum.app` provides it, which stands above them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from cerebelum.registry import Registry
    from cerebelum.sdk.verbs import Verbs
    from cerebelum.steps.executor import Executor
    from cerebelum.store import EventStore


class Tools(Protocol):
    """The process's own client, plugins and settings, each made when it is first asked for."""

    environ: Mapping[str, str]
    store: str | None
    """What `--store` said."""
    plugin_files: list[str]
    """What `--plugin` named."""

    def about(self) -> Mapping[str, Any]:
        """What this program is made of: the shape of `--version --json`."""
        ...

    def client(self) -> Verbs: ...

    def store_url(self) -> str:
        """The URL of the store in use. Raises UsageError."""
        ...

    def open_store(self, given: str | None = None) -> EventStore:
        """Another store than the client's: that of a URL or file. Raises UsageError, StoreError."""
        ...

    def state_folder(self) -> Path:
        """The folder for what this user's executions leave behind. Raises UsageError."""
        ...

    def registry(self) -> Registry:
        """All plugins. Raises UsageError for a problem that must not be passed over."""
        ...

    def every_plugin(self) -> Registry:
        """All plugins, those with problems included."""
        ...

    def executors(self) -> Mapping[str, Executor]: ...
