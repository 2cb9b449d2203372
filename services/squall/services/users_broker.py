"""A NATS broker of the user's own: where it answers, and what it knows us by, as a spec names them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from squall.bus.border import printable
from squall.bus.identity import Credentials
from squall.bus.tls import is_clear_text
from squall.services.credentials import given, text_of
from squall.services.errors import SpecError

SERVER = "NATS_URL"
"""The variable that names the server where a spec does not, as it does for the command ``nats``."""

SUBJECT_LENGTH_MAX = 200
"""Of a subject, in characters."""


@dataclass(frozen=True, kw_only=True)
class UsersBroker:
    """A broker that a spec names.

    Attributes:
        table: The table that names it, and what the errors say needs it.
        whose: What is reached by it, for a sentence: ``effects = 'nats:orders'``.
        server: Its URL; empty for the one that the variable `SERVER` names.
        variable: Names the variable that holds the path of a credentials file; empty where anybody is let in.
    """

    table: str
    whose: str
    server: str
    variable: str

    def url(self) -> str:
        """Where it answers.

        Raises:
            SpecError: Nobody says so, or it is no URL for it.
        """
        url = self.server or os.environ.get(SERVER, "")
        if not url:
            raise SpecError(
                f"it is not said where the broker of {self.whose} is",
                f"[{self.table}] server = 'nats://127.0.0.1:4222', or the variable {SERVER}",
            )
        try:
            parts = urlsplit(url)
            is_fine = parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
            has_secret = bool(parts.username or parts.password)
        except ValueError:
            is_fine, has_secret, parts = False, False, urlsplit("")
        if has_secret:
            raise SpecError(
                f"{self.table}: credentials do not belong in a URL, which is logged",
                "name the variable that names a credentials file: "
                f"[{self.table}] credentials = 'BROKER_CREDS'",
            )
        if not is_fine or not url.isprintable():
            raise SpecError(
                f"{self.table}: {printable(url, 100)} is no NATS URL", "for instance nats://127.0.0.1:4222"
            )
        if self.variable and is_clear_text(url):
            raise SpecError(
                f"{self.table}: {printable(url, 100)} is another machine, and would be sent signatures in "
                "clear text",
                f"use tls://{parts.netloc}",
            )
        return url

    def credentials(self, node: str) -> Credentials | None:
        """What it knows a node by; None if it lets anybody in.

        Raises:
            SpecError: The variable is not set, or names no credentials file.
        """
        name = self.variable
        if not name:
            return None
        path = os.environ.get(name, "")
        if not path:
            raise SpecError(
                f"the variable {name}, which is to name the credentials of {self.table}, is not set",
                f"set {name} to the path of a credentials file, or leave credentials out",
            )
        return given(text_of(name, path), name, path, node)


def is_subject(text: str) -> bool:
    """Whether a text is one subject of NATS: tokens of printable ASCII, and no wildcard."""
    tokens = text.split(".")
    is_ascii = all("!" <= character <= "~" for character in text)
    return len(text) <= SUBJECT_LENGTH_MAX and is_ascii and all(tokens) and not {"*", ">"} & {*tokens}
