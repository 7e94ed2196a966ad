"""Calling a user's function: found in its file, given its arguments by name, and explained when it raises.

Used by the executor in its own process and by the child process of an isolated step.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import msgspec

from cerebelum.core.digests import sha256
from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import StepError
from cerebelum.core.step_kind import Defines
from cerebelum.plugins.python import siblings
from cerebelum.plugins.python.siblings import on_path, turn_of
from cerebelum.steps.context import Context, copied
from cerebelum.steps.executor import Invocation
from cerebelum.steps.loading import loading
from cerebelum.steps.output_values import clean
from cerebelum.steps.parameters import Parameters, parameters_of

_loaded: dict[str, tuple[tuple[int, int, int], str, ModuleType]] = {}
_OUR_FOLDER = str(Path(__file__).parents[2]) + os.sep
_real: dict[Path, str] = {}
"""Which of these a path led to."""
_FOREIGN = (
    *(_OUR_FOLDER, "<frozen ", *(str(Path(os.__file__).parent / name) for name in ("asyncio", "concurrent"))),
    # In the binary, modules do not name the folder they are in.
    *("cerebelum/", "asyncio/", "concurrent/"),
)


class ArgumentError(CerebelumError):
    """The function cannot be called with these arguments."""


class Target(msgspec.Struct, frozen=True):
    """What `python:` names: a file's path (None if an installed module has none), the module's name, the function's."""

    path: Path | None
    module: str | None
    """None for `file.py:function`."""
    function: str
    step: str | None = None
    """For a step of a workflow that is written in Python: its name, and `function` is the workflow's."""


def find_target(body: str, folder: Path) -> Target:
    """What `module:function` or `file.py:function` means in a workflow of `folder`; nothing of it is imported.

    For a module of a package, the package around it is. Raises CerebelumError if there is no such file or module.
    """
    named = _named(body, folder)
    for target in named:
        if os.path.isfile(target.path):  # type: ignore[arg-type]
            return target
    module, function, path = named[0].module, named[0].function, named[0].path
    if module is None:
        assert path is not None
        raise CerebelumError(f"there is no file {path}", hint=nearest(path.name, _siblings(path)))
    return Target(_installed(module, folder), module, function, named[0].step)


@functools.lru_cache(maxsize=1024)
def _named(body: str, folder: Path) -> tuple[Target, ...]:
    """Where to look for what `body` means, in order. Raises CerebelumError if it can mean nothing."""
    where, _, function = body.rpartition(":")
    function, _, step = function.partition(".")
    if not where or not function.isidentifier():
        raise CerebelumError(
            f"{body!r} is neither file.py:function nor module:function", hint="such as tasks.py:build or tasks:build"
        )
    if where.endswith(".py"):
        return (Target(folder / where, None, function, step or None),)
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", where):
        raise CerebelumError(f"{where!r} is not the name of a module", hint="a file needs its .py: tasks.py:build")
    base = folder.joinpath(*where.split("."))
    paths = (base.with_name(base.name + ".py"), base / "__init__.py")
    return tuple(Target(path, where, function, step or None) for path in paths)


def load_function(target: Target, folder: Path) -> Callable[..., Any]:
    """The function itself; its file is loaded, or loaded again if its content has changed.

    Raises CerebelumError for a syntax error and a missing function, and whatever the file raises when it is executed.
    """
    with siblings.lock:
        on_path(str(folder))
        alone = target.path is not None and (target.module is None or "." not in target.module)
        home = os.path.dirname(target.path) if target.path is not None and alone else str(folder)
        on_path(home)
        turn_of(home)
        if target.path is not None and alone and (target.module is None or target.path.is_relative_to(folder)):
            package = _package(target.path) if target.step is not None else ""
            return _function(_load_file(target.path, package), target)
        assert target.module is not None
        return _function(_import(target.module, target.path), target)


def call_function(
    function: Callable[..., Any], given: Mapping[str, Any], context: Callable[[], Context], inputs: Mapping[str, Any]
) -> Any:
    """Call with the arguments of `with:`, and `context()` and `inputs` where parameters of these names are free.

    Raises ArgumentError before the call if the arguments do not fit.
    """
    arguments = copied(given)
    takes = taken_by(function)
    if takes is None:
        return function(**arguments)
    if "context" in takes.named and "context" not in arguments:
        arguments["context"] = context()
    if "inputs" in takes.named and "inputs" not in arguments:
        arguments["inputs"] = copied(dict(inputs))
    if arguments.keys() == takes.named.keys() and not takes.positional:
        return function(**arguments)
    unknown = [] if takes.anything else sorted(arguments.keys() - takes.named.keys())
    missing = [name for name, required in takes.named.items() if required and name not in arguments]
    if unknown or missing:
        raise _misfit(function, unknown, missing, sorted(takes.named.keys() - arguments.keys()))
    positional = [arguments.pop(name) for name in takes.positional if name in arguments]
    return function(*positional, **arguments)


_known = functools.lru_cache(maxsize=256)(parameters_of)


def taken_by(function: Callable[..., Any]) -> Parameters | None:
    """What the function takes; None for the few built-in ones that do not tell."""
    try:
        return parameters_of(function) if type(function).__hash__ is None else _known(function)
    except (TypeError, ValueError):
        return None


def explain(error: BaseException) -> StepError:
    """What a function raised, with the user's part of the traceback."""
    import traceback

    kind = type(error)
    try:
        message = f"{kind.__qualname__}: {error}" if str(error) else kind.__qualname__
    except Exception:
        message = f"{kind.__qualname__} (its text cannot be made)"
    frames = user_frames(error.__traceback__)
    text: str | None
    try:
        text = "".join(traceback.format_exception(kind, error, frames)) if frames is not None else None
    except Exception:
        text = None
    if isinstance(error, SystemExit):
        message = f"SystemExit: the function tried to end the process (sys.exit({error.code!r}))"
    classes = tuple(each.__qualname__ for each in kind.__mro__[: kind.__mro__.index(BaseException)])
    return StepError(
        kind="exception", message=clean(message), traceback=clean(text, 16384) if text else None, classes=classes
    )


def user_frames(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is the user's."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_FOREIGN):
        frames = frames.tb_next
    return frames


def syntax_error(error: SyntaxError | ValueError, path: Path) -> CerebelumError:
    """The error to show for a file that cannot be compiled."""
    if not isinstance(error, SyntaxError):
        return CerebelumError(f"not Python: {error}", where=str(path))
    return CerebelumError(
        f"not Python: {error.msg}", where=f"{path}:{error.lineno}:{error.offset or 1}" if error.lineno else str(path)
    )


def _function(module: ModuleType, target: Target) -> Callable[..., Any]:
    where = str(target.path or target.module)
    try:
        function = getattr(module, target.function)
        if target.step is not None:
            return _step_of(function, target.step, where)
    except AttributeError:
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        hint = nearest(target.function, names)
        raise CerebelumError(f"there is no function {target.function} in {where}", hint=hint) from None
    if not callable(function):
        raise CerebelumError(f"{target.function} in {where} is not a function but of type {type(function).__name__}")
    return function  # type: ignore[no-any-return]


def _step_of(workflow: Any, step: str, where: str) -> Callable[..., Any]:
    if not isinstance(workflow, Defines):
        raise CerebelumError(f"what {where} has there is no workflow but of type {type(workflow).__name__}")
    try:
        return workflow.function_of(step)  # type: ignore[no-any-return]
    except KeyError:
        raise CerebelumError(f"the workflow {workflow.name} in {where} has no step {step}") from None


def facts(call: Invocation) -> dict[str, Any]:
    """What a context says of where it is."""
    return {
        "execution_id": call.execution_id,
        "workflow_name": call.workflow,
        "step_name": call.step.id,
        "attempt": call.attempt,
        "idempotency_key": call.idempotency_key,
    }


def load_file(path: Path) -> ModuleType:
    """The module of a file; it is loaded, or loaded again if its content has changed. Raises what the file raises.

    In a folder with an `__init__.py` it is a module of that package.
    """
    with siblings.lock:
        on_path(str(path.parent))
        turn_of(str(path.parent))
        # Of a sibling that it imports, bytecode would be taken for current for a second after an edit.
        written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            return _load_file(path, _package(path))
        finally:
            sys.dont_write_bytecode = written


def _package(path: Path) -> str:
    """The package that a file is in; an empty text if it is in none."""
    names: list[str] = []
    folder = Path(os.path.abspath(path)).parent
    while folder.name.isidentifier() and (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    if names:
        on_path(str(folder))
    return ".".join(names)


def _load_file(path: Path, package: str = "") -> ModuleType:
    status = os.stat(path)
    stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
    known = _loaded.get(_real.get(path, ""))
    if known is not None and known[0] == stamp:
        return known[2]
    key = _real[path] = os.path.realpath(path)
    if (script := getattr(sys.modules.get("__main__"), "__file__", None)) and os.path.realpath(script) == key:
        # The program itself, which is not to be performed once more.
        return sys.modules["__main__"]
    known = _loaded.get(key)
    if known is not None and known[0] == stamp:
        return known[2]
    source = path.read_bytes()
    digest = sha256(source)
    if known is not None and known[1] == digest:
        _loaded[key] = (stamp, digest, known[2])
        return known[2]
    # Compiled here, because the cached bytecode of an import is found stale only after a second.
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise syntax_error(error, path) from None
    name = _name(path, package, known[2] if known is not None else None)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise CerebelumError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        with loading(str(path)):
            exec(code, module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    _loaded[key] = (stamp, digest, module)
    return module


def _name(path: Path, package: str, before: ModuleType | None) -> str:
    """The name under which a file's module is known.

    Where a plain import would find the same file it is the name for that: siblings then share the module, and a process
    that `multiprocessing` spawns can import it. Otherwise it is one that nothing else has.
    """
    inside = f"{package}." if package else ""
    full = f"{inside}{path.stem}"
    importlib.invalidate_caches()
    if package:
        importlib.import_module(package)
    loaded = sys.modules.get(full)
    if path.stem.isidentifier() and (loaded is None or loaded is before):
        spec = importlib.util.find_spec(full)
        if spec is not None and spec.origin and os.path.realpath(spec.origin) == os.path.realpath(path):
            return full
    key = os.path.realpath(path).encode("utf-8", "surrogateescape")
    return f"{inside}_cerebelum_{sha256(key)[:12]}_{path.stem}"


def _import(name: str, path: Path | None) -> ModuleType:
    importlib.invalidate_caches()
    loaded = sys.modules.get(name)
    # A file of another workflow may have been given the name.
    theirs = next((key for key, known in _loaded.items() if os.path.isabs(key) and known[2] is loaded), None)
    if path is not None and theirs not in (None, os.path.realpath(path)):
        del sys.modules[name]
    module = importlib.import_module(name)
    if path is None or module.__file__ is None:
        return module
    if os.path.realpath(module.__file__) != os.path.realpath(path):
        raise CerebelumError(
            f"the module {name} is already loaded from {module.__file__}, not from {path}",
            hint="give the step `isolated: true`",
        )
    digest = sha256(path.read_bytes())
    known = _loaded.get(name)
    if known is not None and known[1] != digest:
        module = importlib.reload(module)
    _loaded[name] = ((0, 0, 0), digest, module)
    return module


def _installed(name: str, folder: Path) -> Path | None:
    """The source file of an importable module; None if it has none."""
    with siblings.lock:
        on_path(str(folder))
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            spec = None
        except Exception as error:
            raise CerebelumError(f"the package of {name} cannot be imported: {type(error).__name__}: {error}") from None
    if spec is None:
        raise CerebelumError(
            f"there is no module {name} in {folder}, and none is installed",
            hint=nearest(name, [path.stem for path in folder.glob("*.py")]),
        )
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") and spec.has_location else None


def _misfit(function: Callable[..., Any], unknown: list[str], missing: list[str], free: list[str]) -> ArgumentError:
    import inspect

    said = [f"there is no parameter {name}" for name in unknown] + [f"{name} is missing" for name in missing]
    name = getattr(function, "__name__", str(function))
    takes = ", ".join(inspect.signature(function).parameters) or "nothing"
    hint = next((near for word in unknown if (near := nearest(word, free))), f"it takes {takes}; give them in `with:`")
    return ArgumentError(f"{name} cannot be called: {'; '.join(said)}", hint=hint)


def _siblings(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
    except OSError:
        return []


def nearest(word: str, names: list[str]) -> str | None:
    """A hint that names the nearest one."""
    import difflib

    near = difflib.get_close_matches(word, names, 1, 0.6)
    return f"did you mean {near[0]}?" if near else None
