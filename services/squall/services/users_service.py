"""A service of a user's over HTTP, a handler or a sink: how it is asked, and how much of its answer is taken.

Nothing that it answers changes what it is asked next: no cookie is kept, and nobody is followed elsewhere. No
answer unpacks to more than is to be read of it.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Collection, Mapping

import httpx

PACKED = ("gzip", "x-gzip", "deflate")
"""How an answer may be packed, though it is asked for as it is: some servers pack whatever they send."""


SECRET_LENGTH_MIN = 6
"""A shorter text is no secret, and part of many others."""


class _Transport(httpx.AsyncHTTPTransport):
    """Leaves out of answers what the client would act on: httpx reads both even where it is to do nothing
    with them, and what it cannot read there raises errors that are not its own."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        for header in ("Set-Cookie", "Location"):
            answer.headers.pop(header, None)
        return answer


def client(
    url: str, headers: Mapping[str, str], *, connections: int, timeout: httpx.Timeout
) -> httpx.AsyncClient:
    """A client for one service, which is sent JSON.

    Args:
        headers: Those that it is sent beside ours.
    """
    return httpx.AsyncClient(
        headers={
            "Accept-Encoding": "identity",
            "User-Agent": "squall",
            **headers,
            "Content-Type": "application/json",
        },
        timeout=timeout,
        transport=_Transport(
            verify=ssl.create_default_context() if url.startswith("https:") else False,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,
        ),
        follow_redirects=False,
        trust_env=False,
    )


async def body_of(answer: httpx.Response, bytes_max: int) -> bytes:
    """The body of an answer; of one that is longer than this, one byte more than so much at least.

    Raises:
        httpx.HTTPError: It broke off, or is packed so that it cannot be unpacked.
    """
    packed = answer.headers.get("Content-Encoding", "identity").strip().lower()
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed in PACKED else None
    if unpack is None and packed not in ("", "identity"):
        raise httpx.DecodingError("its body is packed, though it was asked for as it is")
    text = bytearray()
    async for chunk in answer.aiter_raw():
        try:
            text += chunk if unpack is None else unpack.decompress(chunk, bytes_max + 1 - len(text))
        except zlib.error as error:
            raise httpx.DecodingError("its body cannot be unpacked") from error
        if len(text) > bytes_max:
            break
    return bytes(text)


def hidden(text: str, secrets: Collection[str]) -> str:
    """A text in which no secret is shown that a service was sent, and says again."""
    for secret in secrets:
        if len(secret) >= SECRET_LENGTH_MIN:
            text = text.replace(secret, "***")
    return text


def why_no_url(url: str) -> str:
    """Why nobody can be asked at this URL, as the end of a sentence; empty if somebody can."""
    try:
        httpx.URL(url).host  # noqa: B018  (decodes the name, which may be none)
        httpx.Request("POST", url)
    except (httpx.InvalidURL, UnicodeError) as error:  # what idna raises is a UnicodeError
        return str(error)
    return ""
