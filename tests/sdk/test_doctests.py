"""The examples in the docstrings of what `cerebelum` exports are right."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

import cerebelum

MODULES = sorted({module for module in cerebelum._EXPORTS if module != "hookspecs"} | {"sdk.chains"})
FUNCTIONS = ["approval", "poll", "retry", "sleep", "step", "workflow"]


@pytest.mark.parametrize("module", MODULES)
def test_examples_print_what_they_show(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(f"cerebelum.{module}"))
    assert found.failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example(name: str) -> None:
    assert examples(getattr(cerebelum, name))


@pytest.mark.parametrize("name", ["Builder", "Context", "ExecutionClient", "WorkflowError", "WorkflowRegistry"])
def test_every_class_has_an_example(name: str) -> None:
    kind = getattr(cerebelum, name)
    assert examples(kind) or any(examples(method) for _, method in inspect.getmembers(kind, inspect.isfunction))


def examples(of: Any) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(of.__doc__ or "")
