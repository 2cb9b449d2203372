"""Register with an age limit shorter than a retry: after it, nothing tells that a task had ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from squall.bus import register

AGE_S = 2.0


@contextlib.contextmanager
def staged() -> Iterator[None]:
    """The streams are made by the harness's own process, so it is there that this is switched."""
    made = register.stream_config

    def forgetful(*args: Any, **options: Any) -> dict[str, Any]:
        age = int(AGE_S * 1e9)
        return {**made(*args, **options), "max_age": age, "duplicate_window": age}

    with mock.patch.object(register, "stream_config", forgetful):
        yield
