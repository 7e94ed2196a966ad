"""Imports go down or sideways, never up and never in a circle: otherwise the layers are only a drawing."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = "cerebelum"
PACKAGE = Path(__file__).resolve().parent.parent / ROOT

# What each room may import besides itself. Every file is in a room, or is one of the few that lie at the door.
ROOMS: dict[str, set[str]] = {"core": set()}
ROOMS["host"] = {"core"}
ROOMS["store"] = {"core", "host"}
ROOMS["definition"] = {"core"}
ROOMS["steps"] = {"core", "host", "store"}
ROOMS["hookspecs"] = ROOMS["registry"] = {"core", "store", "steps", "hookspecs", "start"}
ROOMS["engine"] = {"core", "host", "definition", "store", "steps"}
ROOMS["sdk"] = {*ROOMS["engine"], "engine"}
ROOMS["render"] = {*ROOMS["sdk"], "sdk"}
ROOMS["wire"] = set()
ROOMS["remote"] = {*ROOMS["sdk"], "sdk", "wire"}
ROOMS["service"] = {*ROOMS["render"], "render", "wire"}
ROOMS["cli"] = {*ROOMS["service"], "service", "registry"}
ROOMS["start"] = {*ROOMS["cli"], "cli"}
ROOMS["app"] = {*ROOMS["start"], "start", "plugins", "backends", "remote"}
ROOMS["__main__"] = {"app", "start"}
ROOMS["testing"] = {*ROOMS["app"], "app"}

# Plugins and backends see the contracts, and what is below them; only app.py sees plugins and backends.
RIM = {"plugins": {"core", "host", "steps", "store"}, "backends": {"core", "host", "store"}}

# What some of them have in common.
SHARED = {"backends.sql"}

# Of `start`, the modules that import nothing of ours may be asked by anybody: each of them is a trick and its switch.
LEAVES = {f"{ROOT}.start", *(f"{ROOT}.start.{name}" for name in ("tricks", "lean", "plain_command"))}

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
        if module != ROOT and (room := part(module)) not in {*ROOMS, *RIM}:
            found.append(f"{path}: is in no room; ROOMS in tests/test_architecture.py says what {room!r} may import")
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
    if module == ROOT or (mine == theirs and mine not in RIM):
        return None
    if module in LEAVES:
        return f"{module} imports nothing of ours"
    if target in LEAVES:
        return None
    if mine in RIM:
        if theirs in RIM:
            return None if unit(target) in {unit(module), *SHARED} else "plugins and backends don't import one another"
        return None if theirs in RIM[mine] else f"{mine} may import {named(RIM[mine])}"
    if theirs in RIM:
        return None if mine == "app" else "only app.py imports plugins and backends"
    return None if theirs in ROOMS[mine] else f"{mine} may import {named(ROOMS[mine])}"


def named(rooms: set[str]) -> str:
    return ", ".join(sorted(rooms)) or "nothing but itself"


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
    return prefix if prefix in modules or part(prefix) in {*ROOMS, *RIM} else ROOT


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
        "core/errors.py": "import ast\nfrom cerebelum import __version__",
        "core/events.py": "from cerebelum.core.errors import CerebelumError",
        "store/__init__.py": "from cerebelum.core import events",
        "cli/__init__.py": "",
        "cli/run.py": "from cerebelum.sdk import client\nfrom . import table",
        "cli/table.py": "from cerebelum.render import text",
        "render/text.py": "from cerebelum.core.state import State",
        "__main__.py": "from cerebelum.app import main",
        "__init__.py": "def __getattr__(name): from cerebelum.app import deploy",
    },
    "app sees the rim": {
        "app.py": "from cerebelum.plugins import shell\nimport cerebelum.backends.sqlite",
        "plugins/shell.py": "from cerebelum.steps import Outcome",
        "backends/sqlite/__init__.py": "from cerebelum.backends.sqlite.schema import DDL",
        "backends/sqlite/schema.py": "from cerebelum.core.events import Event",
    },
    "a trick that asks nobody": {
        "start/tricks.py": "import os",
        "plugins/shell.py": "from cerebelum.start import tricks",
    },
    "a long module, just": {"core/errors.py": "x = 1\n" * MAX_LINES},
}

# What is wrong, the sources, and what the complaint has to say.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "up": (
        {"core/errors.py": "import os\nfrom cerebelum.store import Row"},
        "core/errors.py:2: imports cerebelum.store; core may import nothing but itself",
    ),
    "up, inside a function": (
        {"store/lookup.py": "def f():\n    import cerebelum.engine.loop"},
        "store/lookup.py:2: imports cerebelum.engine; store may import core, host",
    ),
    "up, for types only": (
        {"definition/x.py": "if TYPE_CHECKING:\n    from cerebelum import steps"},
        "definition/x.py:2: imports cerebelum.steps",
    ),
    "up, relatively": (
        {"definition/yaml.py": "from ..engine import run"},
        "definition/yaml.py:1: imports cerebelum.engine",
    ),
    "up, relatively, from a package": (
        {"definition/__init__.py": "from .. import sdk"},
        "imports cerebelum.sdk; definition may import core",
    ),
    "up, by name": (
        {"sdk/client.py": "importlib.import_module('cerebelum.cli.run')"},
        "sdk/client.py:1: imports cerebelum.cli",
    ),
    "up, to the root": ({"core/state.py": "import cerebelum"}, "core/state.py:1: imports cerebelum; core may import"),
    "a circle in one package": (
        {
            "cli/__init__.py": "from cerebelum.cli.run import run",
            "cli/run.py": "from cerebelum.cli.table import show",
            "cli/table.py": "from cerebelum.cli import run_again",
        },
        "imports go in a circle: ",
    ),
    "a plugin above the contracts": (
        {"plugins/shell.py": "from cerebelum.engine import Engine"},
        "plugins/shell.py:1: imports cerebelum.engine; plugins may import core, host, steps, store",
    ),
    "a backend above the contracts": (
        {"backends/sqlite.py": "from cerebelum.steps import Outcome"},
        "backends/sqlite.py:1: imports cerebelum.steps; backends may import core, host, store",
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
        {"sdk/client.py": "from cerebelum.backends.sqlite import Store", "backends/sqlite.py": ""},
        "sdk/client.py:1: imports cerebelum.backends.sqlite; only app.py imports plugins and backends",
    ),
    "a main that imports a plugin": ({"__main__.py": "import cerebelum.plugins.shell"}, "only app.py imports"),
    "a trick that asks somebody": (
        {"start/tricks.py": "from cerebelum.core import errors"},
        "start/tricks.py:1: imports cerebelum.core; cerebelum.start.tricks imports nothing of ours",
    ),
    "a module in no room": ({"helpers.py": ""}, "helpers.py: is in no room; ROOMS"),
    "a module that is too long": (
        {"core/errors.py": "x = 1\n" * (MAX_LINES + 1)},
        f"core/errors.py: has {MAX_LINES + 1} lines",
    ),
}


@pytest.mark.parametrize("sources", ALLOWED.values(), ids=ALLOWED.keys())
def test_allows(sources: dict[str, str]) -> None:
    assert violations(sources) == []


@pytest.mark.parametrize(("sources", "complaint"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(sources: dict[str, str], complaint: str) -> None:
    [found] = violations(sources)

    assert complaint in found


def test_executions_are_driven_through_the_verbs_alone() -> None:
    texts = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    assert [path for path, text in texts.items() if "engine.driver import" in text] == ["sdk/verbs.py"]
