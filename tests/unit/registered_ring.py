"""The pattern of stages in a row where it is not registered yet: for as long as a test lasts it is.

Nodes of their own processes do not see it, so such a test has none.
"""

from __future__ import annotations

import pytest

from squall.chaos.judge import checks
from squall.chaos.judge.checks import ring as promises
from squall.services.patterns import PATTERNS, ring


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it be known to this process."""
    monkeypatch.setitem(PATTERNS, ring.NAME, ring.PATTERN)  # type: ignore[arg-type]
    monkeypatch.setattr(checks, "BUILT_IN", (*checks.BUILT_IN, promises.PROMISES))
    checks.promises_of.cache_clear()
