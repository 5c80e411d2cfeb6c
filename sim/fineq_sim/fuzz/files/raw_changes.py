"""Changes of bytes and of JSON texts that know nothing of what they mean."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

RawChange = Callable[[bytearray, Random], None]

LENGTHS = (0, 1, 2, 7, 8, 100, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
"""Numbers at which readers break."""

TOKENS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"-", b"0", b"9", b"1e2", b".0", b"null", b"true", b"NaN",
    b"Infinity", b"\\u0000", b"\\ud800", b"\\n", b" ", b"\n", b"\0", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b"/**/",
    b'"":0,', b'"__metadata__":{},',
)  # fmt: skip
"""Pieces of JSON, and of what is none."""


def _place(data: bytearray, draw: Random) -> int:
    return draw.randrange(len(data)) if data else 0


def flip_bit(data: bytearray, draw: Random) -> None:
    if data:
        data[_place(data, draw)] ^= 1 << draw.randrange(8)


def set_byte(data: bytearray, draw: Random) -> None:
    if data:
        data[_place(data, draw)] = draw.randrange(256)


def truncate(data: bytearray, draw: Random) -> None:
    del data[_place(data, draw) :]


def remove_piece(data: bytearray, draw: Random) -> None:
    place = _place(data, draw)
    del data[place : place + draw.choice((1, 2, 8, 64, 512))]


def repeat_piece(data: bytearray, draw: Random) -> None:
    place, size = _place(data, draw), draw.choice((1, 2, 8, 64, 512))
    data[place:place] = data[place : place + size]


def move_piece(data: bytearray, draw: Random) -> None:
    place, size = _place(data, draw), draw.choice((1, 8, 64))
    piece = data[place : place + size]
    del data[place : place + size]
    target = _place(data, draw)
    data[target:target] = piece


def random_piece(data: bytearray, draw: Random) -> None:
    place, size = _place(data, draw), draw.choice((1, 2, 8, 64))
    data[place : place + size] = draw.randbytes(size)


def blank_piece(data: bytearray, draw: Random) -> None:
    place, size = _place(data, draw), draw.choice((1, 4, 8, 64))
    data[place : place + size] = draw.choice((b"\0", b"\xff", b" ")) * size


def append(data: bytearray, draw: Random) -> None:
    data += draw.choice((b"\0", b" ", b"}", draw.randbytes(8), bytes(data[-16:])))


def insert_token(data: bytearray, draw: Random) -> None:
    place = _place(data, draw)
    data[place : place + draw.choice((0, 0, 1))] = draw.choice(TOKENS)


def change_number(data: bytearray, draw: Random) -> None:
    """Another spelling or value for a run of digits."""
    place = _place(data, draw)
    while place < len(data) and not 48 <= data[place] <= 57:
        place += 1
    end = place
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    old = bytes(data[place:end])
    data[place:end] = draw.choice(
        (b"0", b"-" + old, b"0" + old, old + b".0", old + b"e0", b"1" + b"0" * 40, b"9" * 5000, old + b"0", b"+" + old)
        + tuple(str(number).encode() for number in LENGTHS)
    )


def lie_about_length(data: bytearray, draw: Random) -> None:
    """Of the header."""
    honest = int.from_bytes(data[:8], "little")
    wrong = (*LENGTHS, len(data), max(0, len(data) - 8), honest + 1, max(0, honest - 1), draw.randrange(2**64))
    data[:8] = (draw.choice(wrong) % 2**64).to_bytes(8, "little")


ANYWHERE: dict[str, RawChange] = {
    change.__name__: change
    for change in (
        flip_bit, set_byte, truncate, remove_piece, repeat_piece, move_piece, random_piece, blank_piece, append,
    )
}  # fmt: skip
"""Changes of any bytes."""

IN_TEXT: dict[str, RawChange] = {
    change.__name__: change for change in (flip_bit, set_byte, insert_token, change_number, remove_piece, repeat_piece)
}
"""Changes of a JSON text."""
