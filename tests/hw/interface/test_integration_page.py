"""docs/hardware/integration.md: its table of errors has every code once, under the right kind."""

from __future__ import annotations

import re
from pathlib import Path

from fineq_hw.interface.error_codes import MISALIGNED, OUTSIDE, OVERLAPPED, READ_FAULT, WRITE_FAULT, ErrorCode

PAGE = Path(__file__).parents[3] / "docs" / "hardware" / "integration.md"

KINDS = {
    "contents of the descriptor": range(1, MISALIGNED),
    "not aligned": range(MISALIGNED, OUTSIDE),
    "outside the memory window": range(OUTSIDE, OVERLAPPED),
    "destination overlaps": range(OVERLAPPED, READ_FAULT),
    "a read failed": range(READ_FAULT, WRITE_FAULT),
    "a write failed": range(WRITE_FAULT, ErrorCode.ABORTED),
    "soft reset": [ErrorCode.ABORTED],
    "silent": [ErrorCode.MEMORY_TIMEOUT],
    "access to a register": range(ErrorCode.START_WHILE_BUSY, 0x80),
}
"""Words of a row, and the codes that it is about."""


def rows() -> dict[str, list[int]]:
    """What happened, and the first and last code."""
    found = re.findall(r"^\| (0x\w\w)(?: - (0x\w\w))? \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {text: [int(first, 16), int(last or first, 16)] for first, last, text in found}


def test_every_code_is_in_one_row():
    table = rows()
    assert len(table) == len(KINDS)
    for words, codes in KINDS.items():
        known = [code for code in ErrorCode if code in codes]
        (row,) = [codes for text, codes in table.items() if words in text]
        assert row == [min(known), max(known)], words
    covered = [code for code in ErrorCode for first, last in table.values() if first <= code <= last]
    assert covered == [code for code in ErrorCode if code is not ErrorCode.NONE]


def test_names_on_the_page_exist():
    """Registers and fields that the page names."""
    from fineq_hw.interface.registers import REGISTERS

    text = PAGE.read_text(encoding="utf-8")
    for register, field in re.findall(r"\b([A-Z]{4,})\.([a-z_]+)\b", text):
        assert REGISTERS[register].field(field)
    named = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b|\bSTATUS\b|\bWATCHDOG\b|\bERROR\b", text))
    assert named - {error.name for error in ErrorCode} <= set(REGISTERS)
