"""Usage: contents.py WHEEL SDIST. Fails, naming every file, if one holds what it should not or lacks something."""

import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

PACKAGE = "cerebelum"
IN_SDIST = (
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    f"{PACKAGE}.spec",
)
FOLDERS_IN_SDIST = (PACKAGE, "tests", "build", "docs", "examples", "benchmarks")
FOLDERS_LEFT_OVER = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
RUNS = "benchmarks/results/partial/"
LEFT_OVER = (".pyc", ".pyo", ".so", ".db", ".orig", ".rej", "~")


def wheel_problems(names: list[str], version: str, root: Path) -> list[str]:
    """What is wrong with a wheel's list of files."""
    info = f"{PACKAGE}-{version}.dist-info/"
    problems = [f"wheel: {n} does not belong there" for n in names if not n.startswith((f"{PACKAGE}/", info))]
    wanted = [*sources(root, [PACKAGE]), f"{PACKAGE}/py.typed", info + "entry_points.txt", info + "licenses/LICENSE"]
    return problems + [f"wheel: {n} is missing" for n in wanted if n not in names]


def sdist_problems(names: list[str], root: Path) -> list[str]:
    """What is wrong with an sdist's list of files (without the folder that they are all in)."""
    # What the repository does not have (yet), the sdist cannot have either.
    wanted = sources(root, FOLDERS_IN_SDIST) + [n for n in IN_SDIST if (root / n).exists()]
    return [f"sdist: {n} is missing" for n in wanted if n not in names]


def sources(root: Path, folders: Iterable[str]) -> list[str]:
    """The files in these folders of the repository, without what running or editing them leaves behind."""
    files = (path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    names = sorted(path.relative_to(root).as_posix() for path in files)
    return [name for name in names if not is_left_over(name)]


def is_left_over(name: str) -> bool:
    return (
        name.endswith(LEFT_OVER) or name.startswith(RUNS) or not FOLDERS_LEFT_OVER.isdisjoint(PurePosixPath(name).parts)
    )


def left_over(names: list[str], what: str) -> list[str]:
    return [f"{what}: {name} comes from running or editing the sources" for name in names if is_left_over(name)]


def main(wheel: Path, sdist: Path, root: Path) -> None:
    version = wheel.name.split("-")[1]
    in_wheel = [n for n in zipfile.ZipFile(wheel).namelist() if not n.endswith("/")]
    with tarfile.open(sdist) as archive:
        in_sdist = [m.name.removeprefix(f"{PACKAGE}-{version}/") for m in archive if m.isfile()]
    problems = wheel_problems(in_wheel, version, root) + sdist_problems(in_sdist, root)
    problems += left_over(in_wheel, "wheel") + left_over(in_sdist, "sdist")
    if problems:
        sys.exit("\n".join(problems))
    print(f"{wheel.name}: {len(in_wheel)} files; {sdist.name}: {len(in_sdist)} files")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path.cwd())
