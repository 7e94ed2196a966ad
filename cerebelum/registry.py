"""Plugins: where they come from, what they add, and what is wrong with them, told in terms of the plugin.

Built-in ones are modules with the hooks that anybody's have. Only they are asked without pluggy, which takes longer to
load than all of them. Nothing is ever taken from the project at hand unasked.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.events import AnyEvent
from cerebelum.start import tricks
from cerebelum.steps.executor import Executor
from cerebelum.store import EventStore

if TYPE_CHECKING:
    import pluggy

Origin = Literal["built-in", "installed", "folder", "file"]
Opener = Callable[[str], EventStore]

PROJECT = "cerebelum"
"""The group of entry points that plugins are found in."""
_HOOKS = ("cerebelum_executors", "cerebelum_backends", "cerebelum_commands", "cerebelum_event")


class Candidate(msgspec.Struct, frozen=True):
    """Something that may turn out to be a plugin."""

    name: str
    origin: Origin
    where: str
    """A path, a distribution with its version, or a module."""
    load: Callable[[], object]


class Plugin(msgspec.Struct):
    """A plugin that was found, and what it adds."""

    name: str
    origin: Origin
    where: str
    module: Any = None
    hooks: tuple[str, ...] = ()
    executors: dict[str, Executor] = msgspec.field(default_factory=dict)
    backends: dict[str, Opener] = msgspec.field(default_factory=dict)
    problem: UsageError | None = None
    """Why it is of no use."""
    fatal: bool = False
    """Whether nothing should go on with this problem: it was asked for by name, or it errs silently."""


class Registry:
    """All plugins of this process. A problem of one is kept until `check`, so that it can also be shown."""

    def __init__(self) -> None:
        self._pm: pluggy.PluginManager | None = None
        self.plugins: list[Plugin] = []
        self._reported: set[str] = set()

    def add(self, candidate: Candidate) -> Plugin:
        """Load a plugin and take what it offers; what goes wrong is noted in the result."""
        plugin = Plugin(candidate.name, candidate.origin, candidate.where)
        self.plugins.append(plugin)
        try:
            plugin.module = candidate.load()
            if candidate.origin == "built-in" and tricks.on("built-in"):
                self._collect_own(plugin)
            else:
                self._register(plugin, self._others())
                self._collect(plugin)
        except _Misspelt as error:
            plugin.problem, plugin.fatal = error, True
        except UsageError as error:
            plugin.problem, plugin.fatal = error, candidate.origin in ("file", "built-in")
        except (Exception, SystemExit) as error:
            plugin.problem = UsageError(_why(error, candidate.where), where=f"plugin {plugin.name}", hint=_HINT)
            plugin.fatal = candidate.origin in ("file", "built-in")
        if plugin.problem is not None and self._pm is not None and self._pm.is_registered(plugin.module):
            self._pm.unregister(plugin.module)
        return plugin

    def check(self, tell: Callable[[str], None]) -> None:
        """Raise the first problem that must not be passed over; `tell` the others, each once."""
        for plugin in self.plugins:
            if plugin.problem is not None and plugin.fatal:
                raise plugin.problem
        for plugin in self.plugins:
            if plugin.problem is not None and plugin.name not in self._reported:
                self._reported.add(plugin.name)
                tell(f"{plugin.problem.text()}\n  the rest works without it")

    def executors(self) -> dict[str, Executor]:
        """Executors by key."""
        return {key: executor for plugin in self._sound() for key, executor in plugin.executors.items()}

    def backends(self) -> dict[str, Opener]:
        """Openers of stores by URL scheme."""
        return {scheme: opener for plugin in self._sound() for scheme, opener in plugin.backends.items()}

    def add_commands(self, group: Any, client: Callable[[], Any], renderer: Callable[[], Any]) -> None:
        """Let plugins add verbs to the command line. Raises UsageError for a verb that is taken."""
        given = {"group": group, "client": client, "renderer": renderer}
        for plugin, call in self._implementations("cerebelum_commands"):
            before = dict(group.commands)
            try:
                call(given)
            except Exception as error:
                raise UsageError(_why(error, plugin.where), where=f"plugin {plugin.name}") from error
            for name, command in before.items():
                if group.commands.get(name) is not command:
                    raise UsageError(f"adds the verb {name!r}, which is taken", where=f"plugin {plugin.name}")

    def observers(self) -> list[tuple[str, Callable[[str, AnyEvent], None], Callable[[BaseException], str]]]:
        """The plugins that want to know of events: a name, what to call, and what explains what that raises."""
        return [
            (plugin.name, partial(_hear, call), partial(_why, where=plugin.where))
            for plugin, call in self._implementations("cerebelum_event")
        ]

    def _sound(self) -> Iterable[Plugin]:
        return (plugin for plugin in self.plugins if plugin.problem is None)

    def _implementations(self, hook: str) -> Iterable[tuple[Plugin, Callable[[Mapping[str, Any]], Any]]]:
        if self._pm is None:
            return
        # One plugin at a time, in the order they were found: a failure is one plugin's alone.
        found = {id(impl.plugin): impl for impl in getattr(self._pm.hook, hook).get_hookimpls()}
        for plugin in self._sound():
            impl = found.get(id(plugin.module))
            if impl is not None:
                yield plugin, partial(_call, impl)

    def _others(self) -> pluggy.PluginManager:
        # Made for the first plugin that is not ours.
        if self._pm is None:
            import pluggy

            from cerebelum import hookspecs

            self._pm = pluggy.PluginManager(PROJECT)
            self._pm.add_hookspecs(hookspecs)
        return self._pm

    def _register(self, plugin: Plugin, manager: pluggy.PluginManager) -> None:
        import pluggy

        name = f"plugin {plugin.name}"
        if manager.is_registered(plugin.module):
            raise UsageError("is there twice", where=name)
        try:
            manager.register(plugin.module, f"{plugin.origin}:{plugin.where}:{plugin.name}")
        except pluggy.PluginValidationError as error:
            raise UsageError(str(error).replace("\n", "; "), where=name, hint="see cerebelum.hookspecs") from None
        callers = manager.get_hookcallers(plugin.module) or []
        for caller in callers:
            # The very thing that check_pending looks for, plugin by plugin, so that the error can name it.
            optional = all(i.optionalhook for i in caller.get_hookimpls() if i.plugin is plugin.module)
            if not caller.has_spec() and not optional:
                raise _Misspelt(f"there is no hook {caller.name!r}", where=name, hint=_nearest(caller.name))
        plugin.hooks = tuple(c.name for c in callers if c.has_spec())
        for attribute in _unmarked(plugin.module, {c.name for c in callers}):
            raise _Misspelt(
                f"{attribute!r} is not marked as a hook", where=name, hint="put @cerebelum.hookimpl above it"
            )
        if not plugin.hooks:
            raise UsageError(
                "has no hook, so it adds nothing",
                where=name,
                hint="a plugin has functions such as " + ", ".join(_HOOKS),
            )

    def _collect_own(self, plugin: Plugin) -> None:
        plugin.hooks = tuple(name for name in _HOOKS if hasattr(plugin.module, name))
        if "cerebelum_executors" in plugin.hooks:
            for executor in plugin.module.cerebelum_executors():
                self._take(plugin, "executor", "executors", executor.key, executor)
        if "cerebelum_backends" in plugin.hooks:
            for scheme, opener in plugin.module.cerebelum_backends().items():
                self._take(plugin, "backend", "backends", scheme, opener)

    def _collect(self, plugin: Plugin) -> None:
        for owner, call in self._implementations("cerebelum_executors"):
            for executor in (call({}) or ()) if owner is plugin else ():
                self._take(plugin, "executor", "executors", _checked_key(plugin, executor), executor)
        for owner, call in self._implementations("cerebelum_backends"):
            for scheme, opener in dict(call({}) or {}).items() if owner is plugin else ():
                self._take(plugin, "backend", "backends", scheme, opener)

    def _take(self, plugin: Plugin, kind: str, into: str, key: str, value: Any) -> None:
        for other in self._sound():
            if key in getattr(other, into):
                where = "itself" if other is plugin else f"plugin {other.name} ({other.origin}, {other.where})"
                raise _Misspelt(f"the {kind} {key!r} is there already, from {where}", where=f"plugin {plugin.name}")
        getattr(plugin, into)[key] = value


def _hear(call: Callable[[Mapping[str, Any]], Any], execution_id: str, event: AnyEvent) -> None:
    call({"execution_id": execution_id, "event": event})


def _call(implementation: pluggy.HookImpl, given: Mapping[str, Any]) -> Any:
    return implementation.function(*(given[name] for name in implementation.argnames))


class _Misspelt(UsageError):
    """A mistake that would make a plugin do less than it seems to; passing over it would help nobody."""


_HINT = "mend the plugin, or leave it out"


def _unmarked(module: object, known: set[str]) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if name.startswith("cerebelum_") and name not in known and callable(value)
    ]


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, _HOOKS, 1)
    return f"did you mean {near[0]}?" if near else "the hooks are " + ", ".join(_HOOKS)


def _checked_key(plugin: Plugin, executor: Any) -> str:
    where = f"plugin {plugin.name}"
    if isinstance(executor, type):
        raise UsageError(f"cerebelum_executors gave the class {executor.__name__}, not an instance", where=where)
    missing = [
        n for n in ("key", "summary", "body", "options", "literal", "run", "fingerprint") if not hasattr(executor, n)
    ]
    if missing:
        name = type(executor).__name__
        raise UsageError(f"the executor {name} lacks {', '.join(missing)}", where=where, hint="see cerebelum.steps")
    if not isinstance(executor.key, str) or not executor.key.isidentifier():
        raise UsageError(f"the executor's key {executor.key!r} is not a name", where=where)
    return executor.key


def _why(error: BaseException, where: str) -> str:
    """What went wrong and in which line of the plugin's file."""
    import traceback

    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename == where] or [f for f in frames if "importlib" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}: {what}" if own and own[-1].filename != __file__ else what


def built_in(module: ModuleType) -> Candidate:
    """One of ours. Its hooks are not marked: what marks them is part of pluggy, and takes as long to load."""

    def load() -> ModuleType:
        if not tricks.on("built-in"):
            from cerebelum.hookspecs import hookimpl

            for name in _HOOKS:
                if hasattr(module, name):
                    hookimpl(getattr(module, name))
        return module

    return Candidate(module.__name__.rpartition(".")[2], "built-in", module.__name__, load)


def from_file(path: str, origin: Origin) -> Candidate:
    """A plugin in one Python file; its folder is searched last for what it imports."""
    full = Path(path).expanduser().absolute()
    return Candidate(full.stem, origin, str(full), lambda: _import_file(full))


def _import_file(path: Path) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    if not path.is_file():
        raise UsageError("there is no such file", where=str(path), hint="--plugin takes a Python file")
    name = f"cerebelum_plugin_{path.stem}_{abs(hash(path)):x}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError("is not a Python file", where=str(path), hint="a plugin's name ends in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def installed(places: Iterable[str] = ()) -> list[Candidate]:
    """Plugins of installed distributions, by their entry points in the group `cerebelum`.

    Distributions are also found in `places`, folders and wheels; these are searched last for what anybody imports.
    """
    own = list(places)
    sys.path.extend(place for place in own if place not in sys.path)
    if not any(map(_may_have_plugins, sys.path)):
        return []
    from importlib.metadata import entry_points

    found = []
    for point in entry_points(group=PROJECT):
        where = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        place = str(point.dist.locate_file("")) if point.dist else ""
        if os.path.abspath(place) in own:
            where += f" in {place}"
        found.append(Candidate(point.name, "installed", where, point.load))
    return sorted(found, key=lambda c: (c.name, c.where))


_SETTLED = 2.0
"""Seconds after which what is put into a folder changes its time for certain."""
_without: set[tuple[int, int, int]] = set()
"""Folders (device, inode, and when they last changed) in which nothing names us."""


def _may_have_plugins(place: str) -> bool:
    """Whether distributions in this place of `sys.path` might have entry points of ours.

    Asking `importlib.metadata` would take longer than most commands, and nearly always for nothing.
    """
    if hasattr(sys, "cerebelum_file") and place.startswith(f"{sys.prefix}{os.sep}"):
        # What the binary carries is its own.
        return False
    try:
        status = os.stat(place or ".")
        seen = status.st_dev, status.st_ino, status.st_mtime_ns
        if seen in _without:
            return False
        names = os.listdir(place or ".")
    except NotADirectoryError:
        return True
    except OSError:
        return False
    found = any(name.endswith((".dist-info", ".egg-info", ".egg")) and _names_us(place, name) for name in names)
    # What is in an .egg-info is written over where it is; a .dist-info is always another one.
    settled = time.time() - status.st_mtime > _SETTLED and not any(name.endswith(".egg-info") for name in names)
    if settled and not found:
        _without.add(seen)
    return found


def _names_us(place: str, name: str) -> bool:
    try:
        with open(os.path.join(place, name, "entry_points.txt"), "rb") as file:
            return f"[{PROJECT}]".encode() in file.read().replace(b" ", b"")
    except OSError:
        return name.endswith(".egg")
