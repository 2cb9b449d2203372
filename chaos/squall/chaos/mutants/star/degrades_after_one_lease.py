"""Spokes and gateway take a hub for lost after one lease of silence, before anybody can follow it."""

from __future__ import annotations

from squall.services.rules import degrade


def install(node: str, role: str) -> None:
    degrade.LEASES = 1
