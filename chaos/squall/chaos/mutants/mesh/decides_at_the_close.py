"""What is closed without a quorum is taken for approved: once its time is over it is decided anyway."""

from __future__ import annotations

from squall.services.rules.voting import Closed, Fold, Ignored, Place


def install(node: str, role: str) -> None:
    close = Fold._close

    def approve(self: Fold, place: Place, record: Closed) -> Ignored | None:
        ignored = close(self, place, record)
        if ignored is None:
            self.tasks[record.task].proposals[record.attempt - 1].outcome = "approve"
        return ignored

    Fold._close = approve  # type: ignore[method-assign]
