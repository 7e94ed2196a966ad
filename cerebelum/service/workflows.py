"""The workflows that a service was given to start, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from cerebelum.core.errors import NotFound, UsageError

_ENDINGS = (".yaml", ".yml", ".py")


class Workflows:
    """Files that may be started. They are read when the service begins, and anew by whatever process starts one."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = dict(files)

    @classmethod
    def of(cls, places: Iterable[str], name_of: Callable[[Path], str]) -> Workflows:
        """Those of files, such as `deploy.yaml` or `jobs.py:nightly`, and all that are in folders.

        `name_of(path)` gives the name of the workflow in a file. Raises UsageError (DefinitionError), also for two that
        have one name.
        """
        files: dict[str, str] = {}
        for place in places:
            for file in _files(place):
                name = name_of(Path(file))
                if name in files and files[name] != file:
                    raise UsageError(f"{files[name]} holds a workflow {name}, too", where=file, hint="give it another")
                files[name] = file
        return cls(files)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._files)

    def file(self, name: str) -> str:
        """The file with this workflow. Raises NotFound."""
        if name in self._files:
            return self._files[name]
        import difflib

        near = difflib.get_close_matches(name, self._files, 1)
        known = ", ".join(self.names()) or "none; it is started with: cerebelum serve FILE..."
        hint = f"did you mean {near[0]}?" if near else f"the service was given: {known}"
        raise NotFound(f"the service knows no workflow {name!r}", hint=hint)


def _files(place: str) -> list[str]:
    path = Path(place)
    if not path.is_dir():
        file, colon, name = place.rpartition(":")
        return [f"{Path(file).absolute()}:{name}" if colon and name.isidentifier() else str(path.absolute())]
    found = [str(file.absolute()) for file in sorted(path.iterdir()) if file.suffix in _ENDINGS and file.is_file()]
    if not found:
        raise UsageError("there is no workflow file in this folder", where=place)
    return found
