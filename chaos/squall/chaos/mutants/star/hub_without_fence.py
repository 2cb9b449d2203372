"""A hub decides without its fence: no write is refused for an old term, and it looks for no newer one."""

from __future__ import annotations

from squall.chaos.mutants.hierarchical import lease_without_fence

install = lease_without_fence.install
