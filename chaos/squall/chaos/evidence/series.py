"""The directory of a series: a directory a run, and what was planned, so that one that is gone is missed.

runs/<id>/series.json   what was planned
runs/<id>/seed-1/       a run; see `services/run/directory.py`

What a run was to be, its spec and its schedule, is in its own directory. A digest of both stands in the plan,
so that one that was run otherwise is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from squall.chaos.errors import NotARunError
from squall.services.errors import DiskError, SpecError
from squall.services.run.directory import make, replace, unmake, writing

SERIES = "series.json"
HISTORY = "history.jsonl"
"""Which every run has from its beginning on."""

Name = Annotated[str, Meta(pattern=r"^[a-z0-9-]+$")]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a series is to be.

    Attributes:
        runs: Their names, which are those of their directories.
        all_faults: Whether its faults were drawn from all there are, on swarms as an experiment sets them up.
        strict: Whether it is held to all its promises all the same.
        digests: Of each run that was begun, by its name, what `digest` gives; none in older directories.
        interrupted: Whether the user wanted no more of it.
    """

    runs: tuple[Name, ...]
    all_faults: bool
    strict: bool = False
    digests: dict[Name, str] = {}
    interrupted: bool = False

    @property
    def may_leave_out(self) -> bool:
        """Whether what it did not exercise is no matter."""
        return not self.all_faults and not self.strict


def digest(spec: str, schedule: str) -> str:
    """A digest of the texts of ``spec.toml`` and ``schedule.toml``."""
    return hashlib.sha256(msgspec.json.encode([spec, schedule])).hexdigest()


def begin(folder: Path, planned: Planned) -> list[Path]:
    """Note what is planned in a directory that holds no series yet; the folders that were made for it.

    Raises:
        SpecError: It holds one, or cannot be written.
    """
    if (folder / SERIES).exists():
        raise SpecError(f"{folder} holds a series", "name a new directory with --out, or remove it")
    try:
        made = make(folder)
        note(folder, planned)
    except DiskError as error:
        raise SpecError(str(error), error.remedy) from error
    return made


def forget(folder: Path, made: Iterable[Path]) -> None:
    """Leave nothing of a series whose first run was refused before it began.

    Args:
        made: What `begin` said.
    """
    with contextlib.suppress(OSError):  # it must not hide why it was refused
        (folder / SERIES).unlink()
    unmake(made)


def note(folder: Path, planned: Planned) -> None:
    """Note what is planned from now on.

    Raises:
        DiskError: It cannot be written.
    """
    with writing(folder):
        replace(folder / SERIES, msgspec.json.encode(planned) + b"\n")


def planned_in(folder: Path) -> Planned | None:
    """What was planned of the series in a directory; None if there is none.

    Raises:
        NotARunError: It cannot be read.
    """
    path = folder / SERIES
    try:
        return msgspec.json.decode(path.read_bytes(), type=Planned)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is no plan of a series ({error})"
        raise NotARunError(f"{path} cannot be read: {reason}", name_one_of(folder)) from error


def name_one_of(folder: Path) -> str:
    """How to name one run of a series, by what is there."""
    runs = sorted(path.parent.name for path in folder.glob(f"*/{HISTORY}"))
    if not runs:
        return "no run is left in it: name another directory"
    others = f"; there are {len(runs)} in it" if len(runs) > 1 else ""
    return f"name one of its runs, for instance {folder / runs[0]}{others}"
