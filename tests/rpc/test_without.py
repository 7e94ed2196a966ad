"""`serve` and `--core-url` where what they need is missing: what is said, and what is served all the same."""

from __future__ import annotations

import json
import signal

import pytest

from tests.lifecycle.world import World, finish
from tests.stores import only_sqlite

pytestmark = only_sqlite


def hide(world: World, *packages: str) -> None:
    """Have the program find none of these packages."""
    for package in packages:
        text = f'raise ModuleNotFoundError("no {package}", name="{package}")'
        world.write(f"hidden/{package}/__init__.py", text)
    world.environ["PYTHONPATH"] = f"{world.folder / 'hidden'}:{world.environ['PYTHONPATH']}"


def test_without_grpc_there_is_http(world: World) -> None:
    hide(world, "grpc")
    process = world.start("serve", "--http", "127.0.0.1:0", "--json")
    assert process.stdout is not None
    said = process.stdout.readline()
    while said and not said.rstrip().endswith(b"}"):
        more = process.stdout.readline()
        assert more, finish(process)
        said += more
    assert json.loads(said)["grpc"] is None
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert (done.code, "cerebelum-service" in done.err) == (0, True)


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("grpc", ("serve", "--grpc", "127.0.0.1:0")),
        ("grpc", ("list", "--core-url", "127.0.0.1:1")),
        ("starlette", ("serve",)),
        ("uvicorn", ("serve",)),
    ],
)
def test_what_is_asked_for_and_missing_is_said(package: str, words: tuple[str, ...], world: World) -> None:
    hide(world, package)
    done = world(*words)
    assert (done.code, "not in this installation" in done.err, "pip install" in done.err) == (2, True, True), done
