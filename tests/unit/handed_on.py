"""A plugin for the projects of `pytest_projects`: says what agents of a test's swarm would be told."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from squall.chaos.pytest_plugin import UNDER_TEST


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    done = yield
    under_test = item.stash.get(UNDER_TEST, None)
    if under_test is not None and under_test.origin is not None:
        origin = under_test.origin
        told = {"handler": under_test.spec.handler, "path": origin.path, "file": origin.file}
        with Path(os.environ["HANDED_ON"]).open("a") as file:
            file.write(json.dumps({"test": item.name, **told}) + "\n")
    return done
