"""docs/hardware/registers.md: generated, complete, written whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fineq_hw.interface.descriptors import DESCRIPTOR_FIELDS
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.registers import REGISTERS
from fineq_reports.registers_page import document

PAGE = Path(__file__).parents[3] / "docs" / "hardware" / "registers.md"


def test_the_page_is_the_generated_one():
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "docs/hardware/registers.md is out of date: fineq registers --output docs/hardware/registers.md"
    )


def test_the_page_names_everything():
    text = document()
    for name in [*ErrorCode.__members__, *(field.name for field in DESCRIPTOR_FIELDS)]:
        assert f"`{name}`" in text
    for register in REGISTERS.values():
        assert f"0x{register.offset:03X}" in text


def test_the_page_is_written_whole_or_not_at_all(tmp_path):
    command = [sys.executable, "-m", "fineq", "registers", "--output"]
    assert subprocess.run([*command, tmp_path / "page.md"]).returncode == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == document()
    failed = subprocess.run([*command, tmp_path / "page.md" / "page.md"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stderr == f"error: cannot read or write {tmp_path}/page.md: File exists\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.md"]
