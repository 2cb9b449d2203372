"""A NATS credentials file that an environment variable names, for a broker that is somebody else's."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from squall.bus.identity import Credentials
from squall.bus.subjects import inbox
from squall.services.errors import SpecError


def text_of(variable: str, path: str) -> str:
    """What stands in the file that a variable names.

    Raises:
        SpecError: The file cannot be read.
    """
    try:
        return Path(path).read_text()
    except OSError as error:
        raise SpecError(
            f"{variable} names {path}, which cannot be read: {error.strerror}",
            "name a credentials file, or unset it",
        ) from error


def given(text: str, variable: str, path: str, node: str) -> Credentials:
    """The one credential of a file under a node's name.

    Args:
        variable, path: What names the file, and its place, for the error.

    Raises:
        SpecError: It is no credentials file.
    """
    parts = re.findall(r"-{3,}\n([\w.=+/-]+)\n-{3,}END", text)
    if len(parts) != 2:
        raise SpecError(
            f"{path} is no NATS credentials file",
            f"name one in {variable}, or unset it",
        )
    return Credentials(name=node, jwt=parts[0], seed=parts[1], inbox=inbox(node, secrets.token_hex(12)))
