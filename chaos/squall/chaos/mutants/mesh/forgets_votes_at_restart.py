"""Who is started again forgets what was voted before, and so votes again, and counts anew."""

from __future__ import annotations

import time
from typing import Any

from squall.services.roles.counted_log import CountedLog, Stored
from squall.services.rules.voting import Record


def install(node: str, role: str) -> None:
    made, take = CountedLog.__init__, CountedLog.take

    def begun(self: CountedLog, service: Any, **more: Any) -> None:
        made(self, service, **more)
        setattr(self, "begun_s", time.time() if service.start.incarnation > 1 else 0.0)  # noqa: B010

    def forgetful(self: CountedLog, stored: Stored) -> Record | None:
        is_old = stored.stored_s < getattr(self, "begun_s")  # noqa: B009 - not one of its own
        return None if is_old and ".log.vote." in stored.subject else take(self, stored)

    CountedLog.__init__ = begun  # type: ignore[method-assign]
    CountedLog.take = forgetful  # type: ignore[method-assign]
