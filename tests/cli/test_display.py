"""The pure parts of what people read."""

import os
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerebelum.cli.lines import Lines
from cerebelum.cli.list import since
from cerebelum.cli.outlet import Outlet
from cerebelum.core.errors import UsageError
from cerebelum.render.display import harmless, harmless_data, length, one_line, size
from cerebelum.render.tables import table
from cerebelum.render.text import resume_command, value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (1.24, "1.2 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (65, "1 min 5 s"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_lengths_read_as_people_say_them(seconds: float, text: str) -> None:
    assert length(seconds) == text


def test_sizes_read_as_people_say_them() -> None:
    assert [size(n) for n in (1, 2048, 5 << 20, 3 << 30)] == ["1 bytes", "2.0 KiB", "5.0 MiB", "3.0 GiB"]


@given(st.binary())
def test_no_bytes_can_command_a_terminal(data: bytes) -> None:
    text = harmless_data(data).decode()
    assert all(c in "\n\t" or (ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0) for c in text)


@given(st.text())
def test_no_text_can_command_a_terminal(text: str) -> None:
    assert all(c in "\n\t" or (ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0) for c in harmless(text))


def test_ordinary_text_passes_unchanged() -> None:
    for text in ("plain\ttext\n", "größer → ✓ 日本", ""):
        assert harmless_data(text.encode()) == text.encode()
        assert harmless(text) == text
    assert "\u202e" not in harmless_data("abc\u202edef".encode()).decode()


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"\r", "ü".encode()])), st.data())
def test_lines_do_not_depend_on_how_the_output_was_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    once, pieces = Lines(b"s | "), Lines(b"s | ")
    expected = once.feed(whole) + once.flush()
    shown = b"".join(pieces.feed(whole[a:b]) for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True))
    assert shown + pieces.flush() == expected
    assert all(line.startswith(b"s | ") for line in expected.splitlines())


def test_a_line_that_does_not_end_is_shown_in_pieces() -> None:
    lines = Lines(b"")
    shown = b"".join(lines.feed("ü".encode() * 1001) for _ in range(100)) + lines.flush()
    assert shown.replace(b"\n", b"").decode() == "ü" * 100100
    assert len(shown.splitlines()) > 2


def test_the_resume_command_can_be_pasted_into_a_shell() -> None:
    assert resume_command("x-1") == "cerebelum resume x-1"
    assert resume_command("x-1", "my store.db", ["p.py"]) == "cerebelum resume x-1 --store 'my store.db' --plugin p.py"


def test_tables_line_up_and_values_stay_on_one_line() -> None:
    assert table([("a", "bb", ""), ("ccc", "d", "e")]) == ["a    bb", "ccc  d   e"]
    assert value({"a": "x\n"}) == '{"a":"x\\n"}'
    assert len(value("x" * 10_000)) == 500
    assert one_line("a\x1b[2Jb\nc") == "a␛[2Jb"


def test_since_takes_lengths_and_dates() -> None:
    now = datetime(2025, 6, 30, 12, tzinfo=UTC)
    assert since("2h", now) == datetime(2025, 6, 30, 10, tzinfo=UTC)
    assert since("2025-06-01T00:00:00Z", now) == datetime(2025, 6, 1, tzinfo=UTC)
    for text in ("soon", "", "9999999d"):
        with pytest.raises(UsageError):
            since(text, now)


def test_an_outlet_keeps_order_and_survives_its_reader() -> None:
    reader, writer = os.pipe()
    outlet = Outlet(writer)
    for number in range(1000):
        outlet.put(b"%d\n" % number)
    outlet.close()
    os.close(writer)
    with os.fdopen(reader, "rb") as read:
        assert read.read() == b"".join(b"%d\n" % n for n in range(1000))
    reader, writer = os.pipe()
    outlet = Outlet(writer)
    os.close(reader)
    outlet.put(b"x")
    outlet.close()
    assert outlet.broken
    assert outlet.offer(b"y" * (8 << 20))
    os.close(writer)


def test_an_outlet_that_nobody_reads_drops_instead_of_waiting_for_ever() -> None:
    reader, writer = os.pipe()
    outlet = Outlet(writer, patience=0.01)
    while outlet.offer(b"x" * (1 << 20)):
        pass
    outlet.put(b"never blocks")
    assert outlet.dropped == 1 << 20
    drained = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 1 << 20), b"")])
    drained.start()
    outlet.close()
    os.close(writer)
    drained.join()
    os.close(reader)
