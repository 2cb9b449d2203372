"""The workload that a spec names."""

from __future__ import annotations

from collections.abc import Iterator

from squall.services.run.spec import Spec
from squall.services.trading.workload import Submission, independent

__all__ = ["Submission", "submissions"]


def submissions(spec: Spec) -> Iterator[Submission]:
    """The tasks a producer is to offer, in order; the same for the same seed."""
    return independent(spec.seed, spec.tasks)
