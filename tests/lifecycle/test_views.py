"""Views of executions that are asked for again and again are what they would be if they were read anew."""

from __future__ import annotations

from pathlib import Path

from cerebelum.store import lookup
from cerebelum.store.views import Views
from tests.lifecycle.world import World, crash, wait_until
from tests.stores import only_sqlite


def test_a_view_grows_with_its_execution(world: World) -> None:
    process = world.begin("steps: [{id: a, run: 'echo a'}, {id: b, run: 'test -e mended || sleep 600'}]")
    world.wait_for_event("StepStarted b")
    store, views = world.client.store, Views()
    for _ in range(2):
        found, anew = views.view(store, "x"), lookup.view(store, "x", None)
        assert (found.state, found.status, found.reason) == (anew.state, anew.status, anew.reason)
    crash(process)
    wait_until(lambda: views.view(store, "x").status == "paused", "the news of its death")
    (world.folder / "mended").touch()
    assert world("resume", "x").code == 0
    assert views.view(store, "x") == lookup.view(store, "x", None)
    assert views.view(store, "x").status == "completed"


@only_sqlite
def test_little_room_and_another_log_under_the_same_id_change_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other", "sqlite:")
    try:
        for each in (world, other):
            for name in ("x", "y"):
                assert each.run("steps: [{id: a, run: 'echo a'}]", name=name).code == 0
        for views in (Views(), Views(most_characters=1)):
            for each in (world, other, world):
                for name in ("x", "y", "x"):
                    assert views.view(each.client.store, name) == lookup.view(each.client.store, name, None)
    finally:
        other.close()
