"""Which instances of a stage should have lanes: those that are there. Pure.

    heard of ──► present ──silent for too long──► absent ──heard of again──► present

Who is there only steers where tasks go, so a mistake costs a move and nothing else. All absent means that
whoever asks cannot hear, or that there is nobody to give lanes to: then everything stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable


class Presence:
    """Who is there, as one listener hears it, by a monotonic clock.

    Args:
        names: Those that were there before; each counts as heard of when this begins to listen.
        absent_s: Silence after which one is absent. Higher moves fewer lanes needlessly; lower leaves lanes
            for a shorter time with one that has died.
    """

    def __init__(self, names: Iterable[str], now_s: float, *, absent_s: float) -> None:
        self._absent_s = absent_s
        self._heard_s = dict.fromkeys(names, now_s)

    def heard(self, name: str, now_s: float) -> None:
        """One has said that it lives."""
        self._heard_s[name] = now_s

    def absent(self, now_s: float) -> frozenset[str]:
        """Those that have been silent for too long; not who was never heard."""
        return frozenset(n for n, heard_s in self._heard_s.items() if now_s - heard_s >= self._absent_s)

    def is_present(self, name: str, now_s: float) -> bool:
        """Whether it was heard, and lately."""
        return now_s - self._heard_s.get(name, float("-inf")) < self._absent_s

    def members(self, now_s: float, *, among: Iterable[str], before: Iterable[str]) -> tuple[str, ...]:
        """Those of a stage that should have lanes.

        Args:
            among: The instances of the stage.
            before: Those that have lanes now, who keep them where nobody is present.
        """
        present = tuple(sorted(name for name in among if self.is_present(name, now_s)))
        return present or tuple(sorted(set(before)))
