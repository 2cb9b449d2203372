"""What is refused of a value before it is encoded: encoding writes all of it before anybody sees its size.

A value that holds itself, or holds the same part many times over, takes a few bytes here and any number
of them as JSON. So its parts are counted first, and the count ends where there are too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class TooLargeError(Exception):
    """The value is too large as JSON.

    Attributes:
        bytes_min: What it takes at least, of what was counted of it.
    """

    def __init__(self, bytes_min: int) -> None:
        super().__init__(f"at least {bytes_min:,} bytes")
        self.bytes_min = bytes_min


class TooDeepError(Exception):
    """The value is nested too deeply; ``is_circle`` if it contains itself."""

    def __init__(self, *, is_circle: bool) -> None:
        super().__init__("it contains itself" if is_circle else "it is nested too deeply")
        self.is_circle = is_circle


_PLAIN = frozenset((str, int, float, bool, type(None)))
"""What most parts are, told by their very type, so that nothing is asked of each."""


def count(value: object, bytes_max: int, depth_max: int) -> None:
    """Count how many bytes a value takes as JSON at the least, as far as there may be so many.

    Args:
        depth_max: Levels of lists and objects that there may be.

    Raises:
        TooLargeError: It takes more than ``bytes_max``.
        TooDeepError: It has more levels.
    """
    size = 0
    path: list[int] = []

    def add(bytes_min: int) -> None:
        nonlocal size
        size += bytes_min
        if size > bytes_max:
            raise TooLargeError(size)

    def follow(part: object) -> None:
        inside = _inside(part)
        if inside is None:
            add(_length(part))
            return
        if len(path) == depth_max:
            raise TooDeepError(is_circle=id(part) in path or len({*path}) < depth_max)
        path.append(id(part))
        add(2 * len(inside) + 1)  # brackets, commas, and a character for each
        add(sum([len(each) for each in inside if type(each) is str]))
        for each in inside:
            if type(each) not in _PLAIN:
                follow(each)
        path.pop()

    follow(value)


def _inside(value: object) -> Sequence[Any] | None:
    """The parts of a list or an object, as msgspec reads them; None for what has none, or has hidden them."""
    if isinstance(value, str):
        return None
    if isinstance(value, dict):
        return [*dict.keys(value), *dict.values(value)]
    if isinstance(value, list | tuple | set | frozenset):
        return [*value]
    for names in ("__struct_fields__", "__dataclass_fields__"):
        fields = getattr(type(value), names, None)
        if fields is not None:
            return [getattr(value, name, None) for name in fields]
    fields = getattr(type(value), "__attrs_attrs__", None)
    return None if fields is None else [getattr(value, field.name, None) for field in fields]


def _length(value: object) -> int:
    if isinstance(value, str):
        return str.__len__(value)
    if isinstance(value, bytes | bytearray | memoryview | msgspec.Raw):
        return memoryview(value).nbytes
    return 1
