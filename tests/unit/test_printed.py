"""Lines that several threads print at a time stay whole."""

from __future__ import annotations

import io
import threading

from squall.services.node.printed import BEGUN_LENGTH_MAX, WholeLines

THREADS, LINES = 8, 200


class Slow(io.StringIO):
    """Lets other threads in between two writes."""

    def write(self, text: str) -> int:
        threading.Event().wait(0)
        return super().write(text)


def test_lines_of_several_threads_are_not_mixed() -> None:
    stream = Slow()
    printed = WholeLines(stream)

    def prints(name: int) -> None:
        for number in range(LINES):
            print("thread", name, "line", number, file=printed)  # type: ignore[call-overload]

    threads = [threading.Thread(target=prints, args=[name]) for name in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"thread {name} line {number}" for name in range(THREADS) for number in range(LINES)}
    assert set(stream.getvalue().splitlines()) == expected


def test_what_is_begun_waits_for_its_end_or_for_a_flush() -> None:
    stream = io.StringIO()
    printed = WholeLines(stream)
    printed.write("a")
    printed.writelines(["b", "c\nd"])
    assert stream.getvalue() == "abc\n"
    printed.flush()
    assert stream.getvalue() == "abc\nd"
    printed.write("x" * (BEGUN_LENGTH_MAX + 1))
    assert len(stream.getvalue()) == len("abc\nd") + BEGUN_LENGTH_MAX + 1


def test_what_else_a_stream_is_asked_it_answers() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    printed = WholeLines(stream)
    assert (printed.encoding, printed.isatty()) == ("ascii", False)
    printed.buffer.write(b"bytes")
    assert not printed.closed
