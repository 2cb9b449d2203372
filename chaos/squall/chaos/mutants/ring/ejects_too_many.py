"""More than a third of a stage are left out at a time, though others of it end their tasks well."""

from __future__ import annotations

from squall.services.rules import ejection


def install(node: str, role: str) -> None:
    if role == "router":
        ejection.SHARE_MAX = 0.9
