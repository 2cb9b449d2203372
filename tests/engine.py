"""Whether tests may use a container engine: where there is none, they are skipped, unless they must run."""

from __future__ import annotations

import asyncio
import functools
import os

import pytest

from squall.bus.guard import Guard
from squall.services.errors import LaunchError, SpecError
from squall.services.launch.engine import Engine
from squall.services.launch.image import checked_image

NEEDED_ENV = "SQUALL_TEST_ENGINE"
"""Set where there is to be an engine with our image, so that nothing is skipped by mistake."""


def need_engine() -> None:
    """Skip a test where there is no engine, or no image of this code."""
    why = _missing()
    if why and not os.environ.get(NEEDED_ENV):
        pytest.skip(why)
    assert not why, why


@functools.cache
def _missing() -> str:
    return asyncio.run(_looked())


async def _looked() -> str:
    async with Guard() as guard:
        try:
            await checked_image(await Engine.found(guard))
        except (SpecError, LaunchError) as error:
            return str(error)
    return ""
