"""What a command line asks for: the spec of a swarm, and the broker that it is to run on."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from squall.bus.border import NAME_LENGTH_MAX, printable
from squall.bus.tls import is_clear_text
from squall.services.errors import SpecError
from squall.services.intake.subject import comes_in
from squall.services.launch.places import PLACES
from squall.services.patterns import DEFAULT
from squall.services.printing import say
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import convert, read, with_tasks

PATH_LENGTH_MAX = 100


def resolve(pattern: str, **overrides: Any) -> Spec:
    """The spec that a PATTERN argument and options mean.

    Raises:
        SpecError: There is no such pattern or file, or it cannot be run.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if given.get("tasks_from") == "":
        raise SpecError("--tasks-from names no file and no subject", "for instance --tasks-from tasks.jsonl")
    if pattern.endswith(".py"):
        named = printable(pattern, PATH_LENGTH_MAX)
        raise SpecError(
            f"{named} is no pattern", f"if its function is decide: {DEFAULT} --handler {named}:decide"
        )
    if is_file(pattern):
        said = said_in(Path(pattern))
        convert(said, pattern)  # so that what is wrong in it is said of it
        said = with_tasks(said, pattern)
        if "tasks_from" in given and not comes_in(given["tasks_from"]):
            said = {name: value for name, value in said.items() if not name.startswith("tasks_")}
        return convert({**said, **given}, "the command line")
    return convert({"pattern": pattern, **given}, "the command line")


def said_in(path: Path) -> dict[str, Any]:
    """What a `swarm.toml` says; that it says nothing is told, as nobody writes a file for that.

    Raises:
        SpecError: It cannot be read.
    """
    says = read(path)
    if not says:
        say(f"{path} says nothing, and all defaults of {DEFAULT} are taken")
    return says


def is_file(pattern: str) -> bool:
    """Whether a PATTERN argument is the path of a file."""
    return pattern.endswith(".toml") or "/" in pattern


def named_apart(spec: Spec) -> Spec:
    """The spec of a swarm whose streams are called like no other's, for a broker that others use too."""
    return msgspec.structs.replace(spec, swarm=f"{spec.swarm[:30]}-{secrets.token_hex(4)}")


def check_url(url: str, *, insecure: bool) -> None:
    """See that an outside broker can be reached at a URL, and may be.

    Args:
        insecure: Whether clear text may pass a network.

    Raises:
        SpecError: It is no such URL, or would send in clear text what must not be.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SpecError(f"{url!r} is no NATS URL", "for instance --nats nats://127.0.0.1:4222") from error
    # What nats-py reads in a URL must be what is read here: so no upper case, and nothing that is left out.
    ordinary = url.startswith(("nats://", "tls://")) and re.fullmatch(r"[!-~]+", url) is not None
    if not ordinary or not parts.hostname or port == 0:
        raise SpecError(f"{url!r} is no NATS URL", "for instance --nats nats://127.0.0.1:4222")
    if parts.username or parts.password:
        raise SpecError(
            "credentials do not belong in a URL, which is logged", "name a credentials file in NATS_CREDS"
        )
    if is_clear_text(url) and not insecure:
        raise SpecError(
            f"{url} is another machine, and nats:// would send signatures and all traffic in clear text",
            f"use tls://{parts.netloc}, or add --insecure-nats if the network is yours alone",
        )


def check_on(place: str) -> None:
    """See that nodes can run in a place of this name.

    Raises:
        SpecError: There is none.
    """
    if place not in PLACES:
        raise SpecError(
            f"nodes cannot run on {printable(place, NAME_LENGTH_MAX)!r}",
            f"leave --on out, or choose one of {', '.join(PLACES)}",
        )
