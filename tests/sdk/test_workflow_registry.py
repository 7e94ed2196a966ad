"""Which workflows are known to a store and to this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from cerebelum import ExecutionClient, ExecutionState, WorkflowInfo, WorkflowRegistry
from cerebelum.core.errors import NotFound, UsageError
from cerebelum.sdk import workflow_registry
from tests.executions import START, fill
from tests.lifecycle.world import PATIENCE, World
from tests.sdk.test_client import TWO, held, write


@pytest.fixture(autouse=True)
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_registry, "imported", {})


@pytest.fixture
def registry(client: ExecutionClient) -> Iterator[WorkflowRegistry]:
    with WorkflowRegistry.over(client) as registry:
        yield registry


def test_what_was_started_and_what_was_imported_is_known(
    world: World, client: ExecutionClient, registry: WorkflowRegistry
) -> None:
    assert asyncio.run(registry.workflows()) == []
    flow = write(world, TWO)
    first, last = (client.wait.blocking(client.start_execution.blocking(flow), PATIENCE) for _ in range(2))
    assert first.started_at < last.started_at
    workflow_registry.register("two", "flows.py")
    workflow_registry.register("fresh", "old.py")
    workflow_registry.register("fresh", "flows.py")
    assert registry.workflows.blocking() == [
        WorkflowInfo(name="fresh", imported_from="flows.py"),
        WorkflowInfo(name="two", executions=2, last_started_at=last.started_at, imported_from="flows.py"),
    ]


def test_many_executions_are_counted(client: ExecutionClient, registry: WorkflowRegistry) -> None:
    fill(client.verbs.store, 100, steps=1)
    told = registry.workflows.blocking()
    assert [(one.name, one.executions) for one in told] == [(f"made-{n}", 15 if n < 2 else 14) for n in range(7)]
    assert all(one.last_started_at is not None and one.last_started_at > START for one in told)


def test_it_tells_of_executions_as_the_client_does(
    world: World, client: ExecutionClient, registry: WorkflowRegistry
) -> None:
    name = held(world, client)

    async def main() -> None:
        assert (await registry.get_execution_status("last")).execution_id == name
        assert [one.execution_id for one in await registry.get_active_workflows()] == [name]
        executions, total, more = await registry.list_executions("waiting", status="running")
        assert ([one.status for one in executions], total, more) == ([ExecutionState.RUNNING], 1, False)
        with pytest.raises(NotFound):
            await registry.get_execution_status("nope")

    asyncio.run(main())


def test_its_own_client_is_closed_with_it_and_a_lent_one_is_not(client: ExecutionClient, world: World) -> None:
    with WorkflowRegistry.over(client) as lent:
        pass
    assert lent.workflows.blocking() == []
    with WorkflowRegistry(world.folder / "x.db") as own:
        assert own.workflows.blocking() == []
    with pytest.raises(UsageError, match="closed"):
        own.workflows.blocking()
