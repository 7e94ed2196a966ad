"""Where cerebelum starts in the unpacked folder: launcher/program.c calls `start` in an interpreter without `site`.

Every start pays for what is imported here.
"""

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader, SourcelessFileLoader, spec_from_file_location

from cerebelum_frozen import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


def start() -> None:
    """Run cerebelum with the user's arguments, which come after three of program.c's, and end the process."""
    # Cerebelum turns it on when there is work to do; until then it would be run a dozen times.
    gc.disable()
    _, file, locale, *sys.argv = sys.argv
    sys.cerebelum_file = file or sys.argv[0]  # type: ignore[attr-defined]
    _give_back_locale(locale)
    names.offer()
    _read_at_once(__file__.rpartition("/")[0].rpartition("/")[0])
    from cerebelum.__main__ import main

    main()


def _give_back_locale(locale: str) -> None:
    """Undo what the interpreter does to the variable LC_CTYPE where the locale is C; its text is UTF-8 in any case."""
    # `os` is not loaded yet, and takes its environment from here.
    if posix.environ.get(b"LC_CTYPE", b"") == locale.encode("utf-8", "surrogateescape"):
        return
    if locale:
        posix.environ[b"LC_CTYPE"] = locale.encode("utf-8", "surrogateescape")
        posix.putenv(b"LC_CTYPE", posix.environ[b"LC_CTYPE"])
    else:
        del posix.environ[b"LC_CTYPE"]
        posix.unsetenv(b"LC_CTYPE")


class _File:
    """The file with the code of all, open for as long as nobody closes it: code of users may, and reuse its number."""

    def __init__(self, path: str) -> None:
        self._number = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        self._identity = posix.fstat(self._number)[1:3]

    def read(self, size: int, at: int) -> bytes:
        """The bytes at a place of the file; none if it is not open any more."""
        try:
            same = posix.fstat(self._number)[1:3] == self._identity
            return posix.pread(self._number, size, at) if same else b""
        except OSError:
            return b""


class _Loader(SourcelessFileLoader):
    """Loads a module that lies in the library as any other, but from the copy of its code in the file of all."""

    def __init__(self, name: str, path: str, finder: "_Finder", group: int) -> None:
        super().__init__(name, path)
        self._finder, self._group = finder, group

    def get_code(self, fullname: str) -> "CodeType | None":
        return self._finder.take(fullname, self._group) or super().get_code(fullname)


class _Finder:
    """Knows where the modules are that commands load; build/warm.py writes it down."""

    def __init__(self, library: str, file: _File) -> None:
        size = int.from_bytes(file.read(4, 0), "little")
        self._index, self._groups = marshal.loads(file.read(size, 4))
        self._library, self._file, self._offset = library, file, size + 4
        self._first = sys.path[:1]
        self._codes: dict[str, CodeType] = {}

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        known = self._index.get(name)
        # Once a user's folder comes first, its modules go before ours, as for any interpreter.
        if known is None or sys.path[:1] != self._first:
            return None
        relative, package, group = known
        file = f"{self._library}/{relative}"
        if group is None:
            return spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))
        spec = ModuleSpec(name, _Loader(name, file, self, group), origin=file)
        spec.submodule_search_locations = [file.rpartition("/")[0]] if package else None
        spec.cached, spec.has_location = file, True
        return spec

    def take(self, name: str, group: int) -> "CodeType | None":
        """The code of a module, once; that of the others of its group is read with it.

        None if it was taken before or the file cannot be read: then it comes from the library, as any other.
        """
        if name not in self._codes and (place := self._groups[group]) is not None:
            self._groups[group] = None
            at, size = place
            if code := self._file.read(size, at + self._offset):
                self._codes.update(marshal.loads(code))
        return self._codes.pop(name, None)


def _read_at_once(library: str) -> None:
    try:
        file = _File(f"{library}/start.bin")
    except OSError:
        # So it is while the file is being made.
        return
    sys.meta_path.insert(0, _Finder(library, file))
