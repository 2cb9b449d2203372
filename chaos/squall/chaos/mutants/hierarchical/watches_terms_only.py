"""A standby that looks at terms and not at renewals: each lease it takes over from a leader that is well."""

from __future__ import annotations

from squall.bus.term import Patience, Sight


def install(node: str, role: str) -> None:
    def observe(self: Patience, sight: Sight, now_s: float) -> bool:
        if self._sight is None or sight.term != self._sight.term:
            self._sight, self._since_s = sight, now_s
        return sight.term == 0 or sight.released or now_s - self._since_s >= self._lease_s

    Patience.observe = observe  # type: ignore[method-assign]
