"""What the binary's compiled files are besides Python: name, version, licence. What nobody has looked at is refused."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

LICENSES = Path(__file__).resolve().parent / "licenses"


class Kind(NamedTuple):
    """A piece of software, wherever its file comes from. `version` finds the version in the bytes of the file."""

    name: str
    licence: str
    texts: tuple[str, ...]
    version: bytes = b""


class Native(NamedTuple):
    """One that is in the binary, and the names of its files there."""

    kind: Kind
    version: str | None
    purl: str
    files: tuple[str, ...]


_BZIP2 = Kind("bzip2", "bzip2-1.0.6", ("bzip2",), rb"\0(1\.\d\.\d), \d+-\w+-\d{4}")
_COM_ERR = Kind("com_err", "MIT", ("com_err",))
_EXPAT = Kind("expat", "MIT", ("expat",), rb"expat_(\d+\.\d+\.\d+)")
_KRB5 = Kind("krb5", "MIT", ("krb5",), rb"KRB5_BRAND: krb5-(\d[\d.]*)")
_NCURSES = Kind("ncurses", "X11-distribute-modifications-variant", ("ncurses",), rb"ncurses (\d\.\d\.\d+)")
_OPENLDAP = Kind("openldap", "OLDAP-2.8", ("openldap",))
_OPENSSL = Kind("openssl", "Apache-2.0", ("openssl", "Apache-2.0"), rb"\0OpenSSL (\d\.\d+\.\d+[a-z]?) ")
_SQLITE = Kind("sqlite", "blessing", ("sqlite",), rb"(3\.\d{2}\.\d+)\0")

LIBRARIES = {
    "libbz2": _BZIP2,
    "libcom_err": _COM_ERR,
    "libcrypt": Kind("libcrypt", "LGPL-2.1-or-later", ("libcrypt", "LGPL-2.1")),
    "libcrypto": _OPENSSL,
    "libexpat": _EXPAT,
    "libffi": Kind("libffi", "MIT", ("libffi",)),
    "libgssapi_krb5": _KRB5,
    "libk5crypto": _KRB5,
    "libkeyutils": Kind("keyutils", "LGPL-2.0-or-later", ("keyutils", "LGPL-2.1")),
    "libkrb5": _KRB5,
    "libkrb5support": _KRB5,
    "liblber": _OPENLDAP,
    "libldap": _OPENLDAP,
    "liblzma": Kind("xz", "0BSD", ("xz",)),
    "libmpdec": Kind("libmpdec", "BSD-2-Clause", ("libmpdec",)),
    "libncursesw": _NCURSES,
    "libpanelw": _NCURSES,
    "libpq": Kind("postgresql", "PostgreSQL", ("postgresql",)),
    "libsasl2": Kind("cyrus-sasl", "BSD-4-Clause", ("cyrus-sasl",), rb"\0(2\.1\.\d+)\0"),
    "libsqlite3": _SQLITE,
    "libssl": _OPENSSL,
    "libtinfo": _NCURSES,
    "libtinfow": _NCURSES,
    "libuuid": Kind("libuuid", "BSD-3-Clause", ("libuuid",)),
    "libz": Kind("zlib", "Zlib", ("zlib",), rb"inflate (\d[\d.]*) Copyright"),
}
"""By the name of the shared library. Nothing under the GPL or AGPL may be added: it would bind the whole file."""

INSIDE = {
    "_decimal": Kind("libmpdec", "BSD-2-Clause", ("libmpdec",), rb"\0(\d\.\d\.\d)\0"),
    "pyexpat": _EXPAT,
    "pysqlite3/_sqlite3": _SQLITE,
    "yaml/_yaml": Kind("libyaml", "MIT", ("libyaml",), rb"\0(0\.\d\.\d)\0"),
}
"""What is compiled into extension modules, by their paths without suffix."""

LAUNCHER = {
    "musl-dev": Kind("musl", "MIT", ("musl",)),
    "libzstd-dev": Kind("zstd", "BSD-3-Clause", ("zstd",)),
}
"""What is compiled into the launcher, by Debian's package."""

# PostgreSQL's library tells its version when asked, not in its bytes.
_ASKED = {"libpq": "import psycopg.pq as p; v = p.version(); print(f'{v // 10000}.{v % 10000}')"}


def natives(binaries: Iterable[tuple[str, str]], launcher: bool) -> list[Native]:
    """What the files `(path in the binary, where it came from)` are. Raises SystemExit for one that is not known."""
    found: dict[tuple[str, str], list[tuple[Kind, str, Path]]] = {}
    for inside, source in sorted(set(binaries)):
        kind, path = _kind(inside), Path(source)
        if kind is not None:
            # Each wheel brings its own.
            wheels = Path(sysconfig.get_path("platlib"))
            owner = path.relative_to(wheels).parts[0] if path.is_relative_to(wheels) else ""
            found.setdefault((kind.name, owner), []).append((kind, inside, path))
    parts = [_native(files) for files in found.values()]
    if launcher:
        parts += [
            Native(kind, *_named(kind, package, _installed(package)), ("launcher",))
            for package, kind in LAUNCHER.items()
        ]
    return sorted(parts, key=lambda part: (part.kind.name, part.files))


def _kind(inside: str) -> Kind | None:
    name = inside.replace("\\", "/")
    stem = re.split(r"\.(?:so|dylib|dll|pyd|cpython-|abi3|cp3)", name)[0]
    module = "/".join(part for part in stem.split("/") if part not in ("lib-dynload", "python3", "_internal"))
    base = re.sub(r"^python3\.\d+/", "", module)
    library = re.sub(r"([.-](?:x64|[0-9a-f]{8,}|\d[\d.]*))+$", "", base.rpartition("/")[2])
    if base in INSIDE:
        return INSIDE[base]
    if not library.startswith("lib") or library.startswith("libpython"):
        return None
    if library not in LIBRARIES:
        raise SystemExit(f"{inside}: find out what it is and under which licence, then enter it in build/natives.py")
    return LIBRARIES[library]


def _native(files: list[tuple[Kind, str, Path]]) -> Native:
    kind, paths = files[0][0], [path for _, _, path in files]
    names = tuple(dict.fromkeys(Path(inside).name for _, inside, _ in files))
    package = next(filter(None, map(_package, paths)), "")
    version = _installed(package) if package else None
    if version is None:
        version = next(filter(None, (_in_bytes(kind, path) for path in paths)), None) or _when_asked(names)
    return Native(kind, *_named(kind, package, version), names)


def _in_bytes(kind: Kind, path: Path) -> str | None:
    match = re.search(kind.version, path.read_bytes()) if kind.version else None
    return match[1].decode() if match else None


def _when_asked(names: Iterable[str]) -> str | None:
    script = next((text for name in names for start, text in _ASKED.items() if name.startswith(start)), None)
    if script is None:
        return None
    return (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stdout.strip()
        or None
    )


def _package(path: Path) -> str:
    """Debian's package of a file; the folder may be known by its name with or without /usr."""
    if shutil.which("dpkg-query") is None or path.is_relative_to(sysconfig.get_path("purelib")):
        return ""
    real = path.resolve()
    for place in (str(real), str(real).removeprefix("/usr"), str(path)):
        done = subprocess.run(["dpkg-query", "--search", place], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.split(":", 1)[0]
    return ""


def _installed(package: str) -> str | None:
    if shutil.which("dpkg-query") is None:
        return None
    query = ["dpkg-query", "--show", "--showformat=${Version}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout or None


def _named(kind: Kind, package: str, version: str | None) -> tuple[str | None, str]:
    at = "" if version is None else "@" + quote(version, safe="")
    if package and version is not None:
        system = platform.freedesktop_os_release().get("ID", "debian")
        return version, f"pkg:deb/{system}/{quote(package, safe='')}{at}"
    return version, f"pkg:generic/{kind.name}{at}"
