"""Workflows that are written in Python: found in their file, or a word on why there is none."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from types import ModuleType

from cerebelum.core.errors import CerebelumError, DefinitionError, Problem, UsageError
from cerebelum.core.step_kind import Defines
from cerebelum.plugins.python.call import load_file, nearest, user_frames

_EXAMPLE = "@workflow def deploy(wf): wf.timeline(fetch >> ship)"


def find_workflow(path: Path, wanted: str | None, name: str | None) -> Defines:
    """The workflow that the file knows as `wanted`, the one called `name`, or the only one.

    Raises UsageError if it cannot be told which, DefinitionError for a file that cannot be loaded.
    """
    module = _module(path)
    every = {
        key: value for key, value in vars(module).items() if not isinstance(value, type) and isinstance(value, Defines)
    }
    if wanted is not None:
        found = [every[wanted]] if wanted in every else [w for w in every.values() if w.name == wanted]
    else:
        found = list({id(w): w for w in every.values() if name is None or w.name == name}.values())
    if len(found) == 1:
        [one] = found
        one.found(Path(os.path.abspath(path)), next(key for key, each in every.items() if each is one))
        return one
    where = str(path)
    if not every:
        raise UsageError("there is no workflow in this file", where=where, hint=f"write one: {_EXAMPLE}")
    names = ", ".join(every)
    if wanted or name:
        hint = nearest(wanted or name or "", list(every)) or f"there is {names}"
        raise UsageError(f"there is no workflow {wanted or name} in this file", where=where, hint=hint)
    first = next(iter(every))
    raise UsageError(f"there are several workflows in this file: {names}", where=where, hint=f"say {path.name}:{first}")


def _module(path: Path) -> ModuleType:
    try:
        return load_file(path)
    except DefinitionError:
        raise
    except CerebelumError as error:
        raise DefinitionError([Problem(error.where or str(path), "", error.message, error.hint)]) from None
    except Exception as error:
        frames = traceback.extract_tb(user_frames(error.__traceback__))
        here = [frame for frame in frames if frame.filename == str(path)] or frames
        where = f"{here[-1].filename}:{here[-1].lineno}" if here else str(path)
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise DefinitionError([Problem(where, "", f"loading the file failed: {what}")]) from error
    except SystemExit as error:
        hint = 'is `if __name__ == "__main__":` missing before what it does as a program?'
        raise DefinitionError([Problem(str(path), "", f"loading the file ended it ({error.code!r})", hint)]) from None
