"""Imports go down or sideways, never up and never in a circle: otherwise the layers are only a drawing."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = "cerebelum"
PACKAGE = Path(__file__).resolve().parent.parent / ROOT

# A package's level is that of all its modules. A module in this table need not exist yet.
LEVELS: dict[str, int] = {
    name: level
    for level, names in enumerate(
        [
            ["errors", "digests", "typed", "events", "model", "masking", "clock", "durations", "environment", "faults"],
            [
                "state",
                "decide",
                "store",
                "executor",
                "hookspecs",
                "lean",
                "scratch",
                "process",
                "summary",
                "graph",
                "plan",
                "output",
                "outputs",
                "choice",
                "origin",
                "confidential",
                "proctree",
                "phases",
                "standing",
                "outcome",
                "kind",
                "liveness",
                "ids",
                "perform",
                "settings",
            ],
            ["definition", "registry"],
            [
                "engine",
                "attempt",
                "runner",
                "session",
                "supervisor",
                "ownership",
                "lookup",
                "opening",
                "requests",
                "verify",
                "workers",
            ],
            ["client", "driving"],
            ["render", "cli", "about"],
            ["app"],
            ["__main__"],
        ]
    )
    for name in names
}
TOP = max(LEVELS.values())  # also the level of cerebelum/__init__.py

# Plugins and backends stand outside the levels: they see only the lowest ones, and only app.py sees them.
RIM = ("plugins", "backends")
RIM_SEES_LEVEL = 1
SEES_RIM = f"{ROOT}.app"

MAX_LINES = 450


def violations(sources: Mapping[str, str]) -> list[str]:
    """Everything in `sources` that breaks a rule, one sentence each.

    `sources` maps the path of a module inside the package, such as `cli/run.py`, to its text.
    """
    modules = {module_name(path): path for path in sources}
    graph: dict[str, set[str]] = {}
    found = []
    for module, path in modules.items():
        source = sources[path]
        if (lines := len(source.splitlines())) > MAX_LINES:
            found.append(f"{path}: has {lines} lines; past {MAX_LINES} a module is asking to be two")
        if module != ROOT and (room := part(module)) not in LEVELS and room not in RIM:
            found.append(f"{path}: has no level; add {room!r} to LEVELS in tests/test_architecture.py")
            continue
        package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
        graph[module] = set()
        for line, names in imports(ast.parse(source, path), package):
            for target in {resolve(name, modules) for name in names} - {None, module}:
                assert target is not None
                graph[module].add(target)
                if why := forbidden(module, target):
                    found.append(f"{path}:{line}: imports {target}; {why}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"imports go in a circle: {' -> '.join(reversed(error.args[1]))}")
    return found


def forbidden(module: str, target: str) -> str | None:
    """Why `module` may not import `target`, or None if it may."""
    mine, theirs = part(module), part(target)
    if theirs in RIM:
        if mine in RIM:
            return None if unit(module) == unit(target) else "plugins and backends don't import one another"
        return None if module == SEES_RIM else "only app.py imports plugins and backends"
    level = LEVELS.get(theirs, TOP)
    if mine in RIM:
        return None if level <= RIM_SEES_LEVEL else f"plugins and backends see levels 0 to {RIM_SEES_LEVEL} only"
    own_level = LEVELS.get(mine, TOP)
    return None if level <= own_level else f"that goes up, from level {own_level} to {level}"


def imports(tree: ast.Module, package: str) -> Iterator[tuple[int, set[str]]]:
    """Line and dotted names of every import of ours, also of those inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names = {alias.name for alias in node.names}
            case ast.ImportFrom():
                origin = node.module or ""
                if node.level:
                    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                    origin = ".".join([*parents, origin] if origin else parents)
                names = {f"{origin}.{alias.name}" for alias in node.names}
            case ast.Call(
                func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name))],
            ):
                names = {name}
            case _:
                continue
        if ours := {name for name in names if name == ROOT or name.startswith(f"{ROOT}.")}:
            yield node.lineno, ours


def resolve(name: str, modules: Mapping[str, str]) -> str | None:
    """The module that a dotted name belongs to; None for the version, which is a constant that everyone may read."""
    if name == f"{ROOT}.__version__":
        return None
    prefix = name
    while prefix not in modules and prefix.count(".") > 1:
        prefix = prefix.rpartition(".")[0]
    return prefix if prefix in modules or part(prefix) in {*LEVELS, *RIM} else ROOT


def module_name(path: str) -> str:
    return ".".join([ROOT, *path.removesuffix(".py").split("/")]).removesuffix(".__init__")


def part(module: str) -> str:
    """`cli` of `cerebelum.cli.run`; the empty text for the root package."""
    return module.split(".")[1] if "." in module else ""


def unit(module: str) -> str:
    """One plugin or backend: `plugins.shell` of `cerebelum.plugins.shell`, which may itself be a package."""
    return ".".join(module.split(".")[1:3])


def test_the_package_keeps_its_rules() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}

    assert len(sources) > 5, f"{PACKAGE} is not the package"
    found = violations(sources)
    assert not found, "\n".join(["", *found])


ALLOWED: dict[str, dict[str, str]] = {
    "down and sideways": {
        "errors.py": "import ast\nfrom cerebelum import __version__",
        "events.py": "from cerebelum.errors import CerebelumError",
        "cli/__init__.py": "",
        "cli/run.py": "from cerebelum import client, errors\nfrom . import table",
        "cli/table.py": "from cerebelum.render import text",
        "render.py": "from cerebelum.state import State",
        "__main__.py": "from cerebelum.app import main",
        "__init__.py": "def __getattr__(name): from cerebelum.app import deploy",
    },
    "app sees the rim": {
        "app.py": "from cerebelum.plugins import shell\nimport cerebelum.backends.sqlite",
        "plugins/shell.py": "from cerebelum.executor import Outcome",
        "backends/sqlite/__init__.py": "from cerebelum.backends.sqlite.schema import DDL",
        "backends/sqlite/schema.py": "from cerebelum.events import Event",
    },
    "a long module, just": {"errors.py": "x = 1\n" * MAX_LINES},
}

# What is wrong, the sources, and what the complaint has to say.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "up": (
        {"errors.py": "import os\nfrom cerebelum.state import State"},
        "errors.py:2: imports cerebelum.state; that goes up, from level 0 to 1",
    ),
    "up, inside a function": (
        {"store.py": "def f():\n    import cerebelum.engine"},
        "store.py:2: imports cerebelum.engine",
    ),
    "up, for types only": (
        {"model.py": "if TYPE_CHECKING:\n    from cerebelum import decide"},
        "model.py:2: imports cerebelum.decide",
    ),
    "up, relatively": (
        {"definition/yaml.py": "from ..engine import run"},
        "definition/yaml.py:1: imports cerebelum.engine",
    ),
    "up, relatively, from a package": ({"definition/__init__.py": "from .. import client"}, "imports cerebelum.client"),
    "up, by name": (
        {"client.py": "importlib.import_module('cerebelum.cli.run')"},
        "client.py:1: imports cerebelum.cli",
    ),
    "up, to the root": (
        {"state.py": "import cerebelum"},
        f"state.py:1: imports cerebelum; that goes up, from level 1 to {TOP}",
    ),
    "a circle in one level": (
        {"events.py": "import cerebelum.model", "model.py": "from cerebelum import events"},
        "imports go in a circle: ",
    ),
    "a circle in one package": (
        {
            "cli/__init__.py": "from cerebelum.cli.run import run",
            "cli/run.py": "from cerebelum.cli.table import show",
            "cli/table.py": "from cerebelum.cli import run_again",
        },
        "imports go in a circle: ",
    ),
    "a plugin above its level": (
        {"plugins/shell.py": "from cerebelum.engine import Engine"},
        "plugins/shell.py:1: imports cerebelum.engine; plugins and backends see levels 0 to 1 only",
    ),
    "a backend above its level": (
        {"backends/sqlite.py": "import cerebelum"},
        "backends/sqlite.py:1: imports cerebelum; plugins and backends see",
    ),
    "a plugin that imports a plugin": (
        {"plugins/http.py": "from cerebelum.plugins import shell", "plugins/shell.py": ""},
        "plugins/http.py:1: imports cerebelum.plugins.shell; plugins and backends don't import one another",
    ),
    "a plugin that imports a backend": (
        {"plugins/http.py": "from cerebelum.backends.sqlite import Store"},
        "plugins and backends don't import one another",
    ),
    "a client that imports a backend": (
        {"client.py": "from cerebelum.backends.sqlite import Store", "backends/sqlite.py": ""},
        "client.py:1: imports cerebelum.backends.sqlite; only app.py imports plugins and backends",
    ),
    "a main that imports a plugin": ({"__main__.py": "import cerebelum.plugins.shell"}, "only app.py imports"),
    "a module without a level": ({"helpers.py": ""}, "helpers.py: has no level; add 'helpers' to LEVELS"),
    "a module that is too long": ({"errors.py": "x = 1\n" * (MAX_LINES + 1)}, f"errors.py: has {MAX_LINES + 1} lines"),
}


@pytest.mark.parametrize("sources", ALLOWED.values(), ids=ALLOWED.keys())
def test_allows(sources: dict[str, str]) -> None:
    assert violations(sources) == []


@pytest.mark.parametrize(("sources", "complaint"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(sources: dict[str, str], complaint: str) -> None:
    [found] = violations(sources)

    assert complaint in found
