"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# A busy machine is no reason to fail.
settings.register_profile("squall", deadline=None)
settings.load_profile("squall")
