"""What is built in could have been written by anybody: it is asked without pluggy, and would work with it."""

from __future__ import annotations

from types import ModuleType

import pytest

import cerebelum
from cerebelum import hookspecs, registry
from cerebelum.app import App
from cerebelum.plugins import approval, python, shell, sleep
from cerebelum.registry import Candidate, Registry


@pytest.mark.parametrize("module", [approval, python, shell, sleep], ids=lambda module: module.__name__)
def test_a_built_in_plugin_works_like_any_other(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    short = module.__name__.rpartition(".")[2]
    [own] = [plugin for plugin in App({}).every_plugin().plugins if plugin.name == short]
    assert [name for name in vars(module) if name.startswith("cerebelum_")] == list(own.hooks)

    monkeypatch.setattr(module, "cerebelum_executors", cerebelum.hookimpl(module.cerebelum_executors))
    plugin = Registry().add(Candidate(short, "installed", "somewhere", lambda: module))
    assert plugin.problem is None
    assert (plugin.hooks, list(plugin.executors)) == (own.hooks, list(own.executors))


def test_the_registry_knows_all_hooks() -> None:
    assert [name for name in vars(hookspecs) if name.startswith("cerebelum_")] == list(registry._HOOKS)
    assert registry.PROJECT == hookspecs.PROJECT
