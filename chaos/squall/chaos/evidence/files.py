"""The files of a run's directory, line by line, and what of them could not be read."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from squall.bus.border import printable
from squall.chaos.errors import NotARunError
from squall.chaos.evidence.facts import Asked, Injected, Intended
from squall.chaos.evidence.model import Handled
from squall.chaos.evidence.said import Said
from squall.chaos.evidence.series import HISTORY, SERIES, digest, name_one_of
from squall.services import jsonl
from squall.services.jsonl import LINE_BYTES_MAX, decode

SPEC = "spec.toml"
NODES = "nodes.jsonl"
FAULTS = "faults.jsonl"
SCHEDULE = "schedule.toml"
VENUE = "venue.sqlite"

WITNESSES = "squall.chaos.inject.handlers:"
"""Of which module the handlers are that log what they do."""

REMEDY = "name the directory of a run, for instance runs/<id>"

WHY_LENGTH_MAX = 160

T = TypeVar("T")


def require_run(run: Path) -> None:
    """See that a directory is one of a run.

    Raises:
        NotARunError: It is no directory, or holds neither a spec nor a history.
    """
    if not run.is_dir():
        raise NotARunError(f"{run} is no directory", REMEDY)
    if (run / SERIES).exists():
        raise NotARunError(f"{run} is a series of runs", name_one_of(run))
    if not (run / SPEC).exists() and not (run / HISTORY).exists():
        raise NotARunError(f"{run} holds no run: it has neither {SPEC} nor {HISTORY}", REMEDY)


def require_spec(run: Path) -> None:
    """See that it is known what a run was asked for, without which there is nothing to hold it to.

    Raises:
        NotARunError: It is not.
    """
    try:
        values = tomllib.loads((run / SPEC).read_text())
        why = "" if isinstance(values.get("pattern"), str) else "names no pattern"
    except FileNotFoundError:
        why = "is missing"
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        why = f"is not valid TOML: {printable(str(error), WHY_LENGTH_MAX)}"
    if why:
        raise NotARunError(
            f"{run / SPEC} {why}, so that nobody knows what the run was asked for",
            "put back the one that it was run with, or name another run",
        )


def digest_in(run: Path) -> str:
    """What `digest` gives of the files in a run's directory; empty where one cannot be read."""
    try:
        return digest((run / SPEC).read_text(), (run / SCHEDULE).read_text())
    except (OSError, UnicodeDecodeError):
        return ""


class Files:
    """Reads the files of one run.

    Attributes:
        truncated: Half lines at the end of a file, left by a writer that was killed.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._unreadable: list[str] = []
        self._malformed: dict[str, list[int]] = {}
        self.truncated = 0

    @property
    def unreadable(self) -> tuple[str, ...]:
        """What could not be read, each with its reason in words."""
        more = [
            f"{len(numbers) - 1} more lines of {file} are malformed"
            for file, numbers in self._malformed.items()
            if len(numbers) > 1
        ]
        return (*self._unreadable, *more)

    def reject(self, file: str, number: int, why: object) -> None:
        """A whole line that says nothing: the first is described, the rest counted."""
        if file not in self._malformed:
            self._malformed[file] = []
            self._unreadable.append(f"{file} line {number} is malformed ({printable(str(why))})")
        self._malformed[file].append(number)

    def give_up(self, why: str) -> None:
        """A file, or a part of it, that cannot be read at all."""
        self._unreadable.append(why)

    def lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """The lines of a file, numbered from 1; a half one at the end is counted and left out."""
        try:
            with (self._run / name).open("rb") as file:
                for number, line in enumerate(jsonl.lines(file), start=1):
                    if line is None:
                        self.reject(name, number, f"longer than {LINE_BYTES_MAX:,} bytes")
                    elif not line.endswith(b"\n") and not _is_json(line):
                        self.truncated += 1
                    else:
                        yield number, line
        except FileNotFoundError:
            return
        except OSError as error:
            self.give_up(f"{name} cannot be read: {error.strerror}")

    def records(self, name: str, kind: type[T]) -> Iterator[T]:
        """The lines of a file that holds one kind of them."""
        decoder = msgspec.json.Decoder(kind)
        for number, line in self.lines(name):
            try:
                yield decode(decoder, line)
            except msgspec.DecodeError as error:
                self.reject(name, number, error)

    def faults(self) -> tuple[Injected, ...]:
        """Each fault once, as its last line tells, in the order of their beginnings."""
        found: dict[str, Injected] = {}
        for place, fault in enumerate(self.records(FAULTS, Injected)):
            found[fault.id or f"#{place}"] = fault
        return tuple(sorted(found.values(), key=lambda fault: fault.start_s))

    def intended(self) -> tuple[Intended, ...] | None:
        """The faults of the run's schedule; None if there is none, or none that can be read."""
        try:
            return msgspec.convert(tomllib.loads((self._run / SCHEDULE).read_text()), _Schedule).interval
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            reason = f"is unusable: {error}"
        self.give_up(f"{SCHEDULE} {reason}")
        return None

    def witness(self, handler: str | None) -> Mapping[str, Handled]:
        """By task, what the harness's own handlers wrote into their nodes' logs; nothing of another handler.

        A log holds whatever handlers print, so what cannot be read there is no line of the evidence's.
        """
        found: dict[str, Handled] = {}
        for said in self.said(handler):
            handled = found.setdefault(said.task, Handled())
            if said.effects is None:
                handled.given += 1
            else:
                handled.returned[said.attempt] = said.effects
        return found

    def said(self, handler: str | None) -> Iterator[Said]:
        """Each line of it, node after node, in the order in which it was written."""
        if handler is None or not handler.startswith(WITNESSES):
            return
        for log in sorted((self._run / "logs").glob("*.log")):
            for line in _lines_of_a_log(log):
                if (found := _WITNESS.fullmatch(line)) is not None:
                    effects = found["effects"]
                    yield Said(
                        node=log.stem,
                        at=found["at"].decode(),
                        task=found["task"].decode(),
                        attempt=int(found["attempt"]),
                        effects=None if effects is None else int(effects),
                    )

    def asked(self) -> tuple[Asked, Mapping[str, object]]:
        """What the spec asks for: as far as every pattern has it, and all of it as it stands there."""
        try:
            values = tomllib.loads((self._run / SPEC).read_text())
            return msgspec.convert(values, Asked), values
        except FileNotFoundError:
            reason = "is missing"
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            reason = f"is unusable: {error}"
        self.give_up(f"{SPEC} {reason}")
        return Asked(), {}


def _lines_of_a_log(log: Path) -> Iterator[bytes]:
    """The lines of a regular file, as far as they can be read; a handler may have put anything there."""
    with contextlib.suppress(OSError):
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                yield from (line for line in jsonl.lines(file) if line is not None)


class _Schedule(msgspec.Struct):
    interval: tuple[Intended, ...] = ()


_WITNESS = re.compile(
    rb"(?P<at>[0-9 :,-]{10,40}) INFO witness (?P<task>[a-z0-9-]{1,64}) (?P<attempt>[0-9]{1,4}) "
    rb"(?:given|returned (?P<effects>[0-9]{1,4}))\n"
)

_raw = msgspec.json.Decoder(msgspec.Raw)


def _is_json(line: bytes) -> bool:
    with contextlib.suppress(msgspec.DecodeError):
        decode(_raw, line)
        return True
    return False
