"""Where plugins, the store and the client are put together: the only place that knows them all."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cerebelum.cli import terminal
from cerebelum.core.errors import UsageError
from cerebelum.host.environment import plugin_places
from cerebelum.sdk.core_url import VARIABLE, is_service, store_of
from cerebelum.start import brief, lean, tricks

if TYPE_CHECKING:
    from pathlib import Path

    from cerebelum.engine.observers import Observers
    from cerebelum.engine.settings import Listener
    from cerebelum.registry import Registry
    from cerebelum.sdk.verbs import Verbs
    from cerebelum.steps.executor import Executor
    from cerebelum.store import EventStore

COLLECTED_AFTER = (20_000, 20, 20)
"""How seldom garbage is looked for: hardly anything here is in circles."""


class App:
    """What one process needs; each part is made when it is first asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.store: str | None = None
        """What `--store` said."""
        self.plugin_files: list[str] = []
        """What `--plugin` named."""
        self.core_url: str | None = None
        """The service that CEREBELUM_CORE_URL names, which `--store` outdoes."""
        self._client: Verbs | None = None
        self._registry: Registry | None = None
        self._observers: Observers | None = None

    def about(self) -> Mapping[str, Any]:
        """What this program is made of: the shape of `--version --json`."""
        from cerebelum.backends.postgres import versions
        from cerebelum.backends.sqlite.library import library_version
        from cerebelum.cli.about import facts

        return facts(library_version(), *versions())

    # -- the store ----------------------------------------------------------------------------------------------------

    def store_url(self) -> str:
        """The URL of the store in use. Raises UsageError if there is no place for one."""
        given = self.store
        if given is None and self.core_url:
            return store_of(self.core_url, VARIABLE)
        if given is None:
            given = self.environ.get("CEREBELUM_STORE") or None
        return "sqlite:///" + os.path.join(self._state(), "cerebelum.db") if given is None else _url(given)

    def state_folder(self) -> Path:
        """The folder for what this user's executions leave behind. Raises UsageError if no home is known."""
        from pathlib import Path

        return Path(self._state())

    def _state(self) -> str:
        # By hand, since platformdirs costs as much as the rest of a short command, and pathlib a tenth of it.
        state = self.environ.get("XDG_STATE_HOME", "")
        if os.path.isabs(state):
            return os.path.join(state, "cerebelum")
        home = self.environ.get("HOME", "")
        if not os.path.isabs(home):
            raise UsageError(
                "HOME is not set, so there is no default place for the store",
                hint="name one with --store URL or CEREBELUM_STORE",
            )
        if sys.platform == "darwin":
            return os.path.join(home, "Library", "Application Support", "cerebelum")
        return os.path.join(home, ".local", "state", "cerebelum")

    def open_store(self, given: str | None = None) -> EventStore:
        """Open the store in use, or that of a URL or file. Raises UsageError for a URL nobody knows, StoreError."""
        url = self.store_url() if given is None else _url(given)
        scheme = _scheme(url)
        if tricks.on("built-in"):
            if scheme == "sqlite":
                from cerebelum.backends import sqlite

                return sqlite.open_store(url)
            if scheme == "memory":
                from cerebelum.backends import sqlite

                return sqlite.open_memory(url)
            if scheme in ("postgresql", "postgres"):
                from cerebelum.backends import postgres

                return postgres.open_store(url)
        if is_service(url):
            return self._service(url).store
        openers = self.registry().backends()
        if scheme in openers:
            return openers[scheme](url)
        raise _unknown_scheme(scheme, list(openers))

    # -- plugins ------------------------------------------------------------------------------------------------------

    def registry(self) -> Registry:
        """All plugins, sound ones. Raises UsageError for a problem that must not be passed over."""
        registry = self.every_plugin()
        registry.check(terminal.warn)
        return registry

    def every_plugin(self) -> Registry:
        """All plugins, those with problems included."""
        if self._registry is None:
            self._registry = self._load()
        return self._registry

    def _load(self) -> Registry:
        from cerebelum.registry import Registry, from_file, installed

        registry = Registry()
        candidates = [*_built_in(), *installed(plugin_places(self.environ))]
        candidates += [from_file(str(path), "folder") for path in self._folder_files()]
        named = [f for f in self.environ.get("CEREBELUM_PLUGINS", "").split(os.pathsep) if f]
        candidates += [from_file(path, "file") for path in [*named, *self.plugin_files]]
        seen: set[str] = set()
        for candidate in reversed(candidates):
            # The same file in the folder and on the command line is one plugin, and the command line decides.
            path = os.path.realpath(candidate.where) if candidate.origin in ("folder", "file") else ""
            if path and path in seen:
                candidates.remove(candidate)
            seen.add(path)
        for candidate in candidates:
            registry.add(candidate)
        return registry

    def _folder_files(self) -> list[Path]:
        config = self.environ.get("XDG_CONFIG_HOME", "")
        home = self.environ.get("HOME", "")
        if not os.path.isabs(config):
            if not os.path.isabs(home):
                return []
            config = os.path.join(home, ".config")
        from pathlib import Path

        folder = os.path.join(config, "cerebelum", "plugins")
        try:
            names = os.listdir(folder)
        except OSError:
            return []
        return [Path(folder, name) for name in sorted(names) if name.endswith(".py") and name[0] not in "_."]

    def executors(self) -> Mapping[str, Executor]:
        """Executors of all plugins by key."""
        return self.registry().executors()

    def listeners(self) -> tuple[Listener, ...]:
        """What hands events to plugins."""
        if self._observers is None and (interested := self.registry().observers()):
            from cerebelum.engine.observers import Observer, Observers

            self._observers = Observers([Observer(*parts) for parts in interested], terminal.warn)
        return () if self._observers is None else (self._observers.hear,)

    def add_commands(self, group: Any) -> None:
        """Let plugins add verbs to the command line."""
        self.registry().add_commands(group, self.client, _renderer)

    # -- the client ---------------------------------------------------------------------------------------------------

    def client(self) -> Verbs:
        """The client of this process."""
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def _make_client(self) -> Verbs:
        if (self.store or self.core_url) and is_service(url := self.store_url()):
            return self._service(url)
        from cerebelum.sdk.verbs import Verbs

        return Verbs(
            self.open_store,
            self.executors,
            environ=self.environ,
            observers=self.listeners,
            on_close=self._end_observers,
        )

    def _service(self, url: str) -> Verbs:
        """The verbs at a service. Raises UsageError."""
        try:
            from cerebelum.remote.verbs import verbs
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("grpc", "google"):
                raise
            raise UsageError(
                "gRPC is not in this installation, so it cannot ask a service",
                hint="it is in the file cerebelum-service, and comes with: pip install 'cerebelum[service]'",
            ) from None
        return verbs(url, self.environ)

    def close(self) -> None:
        """Let observers hear what is left, for a short while, and let go of the store."""
        if self._client is not None:
            self._client.close()

    def _end_observers(self) -> None:
        if self._observers is not None:
            self._observers.close()
            self._observers = None


def _url(given: str) -> str:
    """What was given as a URL. Raises UsageError."""
    if not given or "\0" in given:
        raise UsageError("this names no store", hint="give a URL, or the path of a file")
    if _scheme(given):
        return given
    if _no_path(given):
        # It would be made a file with the password in its name.
        hint = "a URL is written like postgresql://user@host/database, a file of SQLite is named by its path"
        raise UsageError("this names no store", hint=hint)
    return "sqlite:///" + given


def _no_path(given: str) -> bool:
    """Whether somebody meant a URL, or wrote what Postgres calls a connection string."""
    if ":/" not in given and "=" not in given:
        return False
    looks = r"[a-z][a-z0-9+.-]+:/| *(host|dbname|user|service) *=|.*\bpassword *="
    return re.match(looks, given, re.IGNORECASE) is not None


def _scheme(url: str) -> str:
    if url.startswith("memory:"):
        return "memory"
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    return scheme if scheme in ("", "sqlite") or re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) else ""


def _renderer() -> Any:
    from cerebelum import render

    return render


def _built_in() -> list[Any]:
    from cerebelum.backends import postgres, sqlite
    from cerebelum.plugins import approval, python, shell, sleep
    from cerebelum.registry import built_in

    return [built_in(module) for module in (shell, python, sleep, approval, sqlite, postgres)]


def _unknown_scheme(scheme: str, known: Sequence[str]) -> UsageError:
    import difflib

    near = difflib.get_close_matches(scheme, known, 1)
    hint = f"did you mean {near[0]}://?" if near else "a path alone is an SQLite file"
    return UsageError(f"nobody knows how to open {scheme}://; known: {', '.join(known)}", hint=hint)


def _perform(arguments: Sequence[str], app: App) -> int:
    if tricks.on("lean"):
        lean.import_without_references("click")
    from cerebelum.cli.group import VERBS, build

    _before_work()
    return build(VERBS, app.add_commands).perform(list(arguments), app)


def _before_work() -> None:
    lean.take_back()
    if tricks.on("gc"):
        # All that was made so far stays, and is not looked through again.
        gc.freeze()
        gc.set_threshold(*COLLECTED_AFTER)
        gc.enable()


def main(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Perform one command line and return its exit code; messages have been printed then."""
    terminal.prepare()
    app = App(os.environ if environ is None else environ)
    app.core_url = app.environ.get(VARIABLE)
    try:
        try:
            if name := tricks.unknown():
                raise UsageError(f"{tricks.VARIABLE} names {name!r}; known: all, {', '.join(tricks.TRICKS)}")
            code = brief.perform(arguments, app, _before_work) if tricks.on("brief") else None
            if code is None:
                code = _perform(arguments, app)
            terminal.stdout().flush()
            return code
        finally:
            app.close()
    except BaseException as error:
        from cerebelum.cli import failures

        return failures.report(error, arguments, app.environ, app.state_folder)
