"""A proxy as the server has it, and how that differs from what it was told. Pure."""

from __future__ import annotations

import msgspec

from squall.bus.border import printable


class ToxicState(msgspec.Struct, frozen=True):
    """A toxic as the server has it; the names are its own."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: dict[str, int]


class ProxyState(msgspec.Struct, frozen=True):
    """A proxy as the server has it."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[ToxicState, ...]


def differences(wanted: ProxyState, there: ProxyState | None) -> list[str]:
    """How a proxy is other than as it was told to be, each in words. Pure."""
    name = wanted.name
    if there is None:
        return [f"somebody removed the proxy {name}"]
    found = []
    for field in ("listen", "upstream", "enabled"):
        if getattr(there, field) != getattr(wanted, field):
            said = printable(str(getattr(there, field)), 60)
            found.append(f"somebody set {field} of {name} to {said}")
    ours = {toxic.name: toxic for toxic in wanted.toxics}
    theirs = {toxic.name: toxic for toxic in there.toxics}
    for toxic in ours:
        if toxic not in theirs:
            found.append(f"somebody removed {toxic} of {name}")
        elif theirs[toxic] != ours[toxic]:
            found.append(f"somebody changed {toxic} of {name}")
    found += [f"somebody added {printable(toxic, 60)} to {name}" for toxic in theirs if toxic not in ours]
    return found
