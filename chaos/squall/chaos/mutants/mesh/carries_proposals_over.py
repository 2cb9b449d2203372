"""Who may vote is read from the newest roster: a proposal that is open goes on under another epoch."""

from __future__ import annotations

from squall.services.rules.voting import Epoch, Fold, Ignored


def install(node: str, role: str) -> None:
    enter = Fold._enter

    def and_take_along(self: Fold, epoch: Epoch) -> Ignored | None:
        ignored = enter(self, epoch)
        if ignored is None:
            for at in self.tasks.values():
                if at.open is not None:
                    at.open.epoch = epoch
        return ignored

    Fold._enter = and_take_along  # type: ignore[method-assign]
