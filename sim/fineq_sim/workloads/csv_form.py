"""Matrix products from a CSV file: the project's own columns, or SCALE-Sim's for GEMMs.

Own: `name,M,N,K` and, if wanted, `count,kind,weights`; `kind` is linear (the array runs it) or host (another unit
does); `weights` is a .npy file of integer weights [N, K] beside the CSV. SCALE-Sim: `Layer,M,N,K,`.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from fineq.format import MAX_MAGNITUDE
from fineq_sim.workloads.work import Head, Linear, Pass, Workload, WorkloadError

REQUIRED = ("name", "m", "n", "k")
OPTIONAL = ("count", "kind", "weights")
KINDS = ("linear", "host")
_NAMES = {"layer": "name", "layer name": "name"}
"""What SCALE-Sim calls the columns."""


def read_csv(path: Path) -> Workload:
    """The products of a file.

    Raises:
        WorkloadError: the file or a line of it is wrong; the sentence has the number of the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(reader.line_num, row) for reader in [csv.reader(file)] for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WorkloadError(f"cannot read {path}: {error}") from error
    rows = [(line, [cell.strip() for cell in row]) for line, row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise WorkloadError(f"{path} is empty: its first line names the columns, {','.join(REQUIRED)}")
    header = [_NAMES.get(cell.lower(), cell.lower()) for cell in rows[0][1]]
    while header and not header[-1]:
        header.pop()
    for name in header:
        if name not in REQUIRED + OPTIONAL or header.count(name) > 1:
            raise WorkloadError(
                f"{path}, line {rows[0][0]}: column {name!r} is unknown or twice: the columns are name,M,N,K and, if "
                f"wanted, {','.join(OPTIONAL)}"
            )
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise WorkloadError(f"{path}, line {rows[0][0]} names no column {missing[0].upper()}: it needs name,M,N,K")
    products = [_product(path, line, header, row) for line, row in rows[1:]]
    if not products:
        raise WorkloadError(f"{path} has columns but no products: add a line for each")
    linears = tuple(each for each in products if isinstance(each, Linear))
    heads = tuple(each for each in products if isinstance(each, Head))
    return Workload(path.stem, f"the products of {path.name}", (Pass("given", None, linears, (), heads),))


def _product(path: Path, line: int, header: list[str], row: list[str]) -> Linear | Head:
    where = f"{path}, line {line}"
    while len(row) > len(header) and not row[-1]:
        row.pop()
    if len(row) > len(header):
        raise WorkloadError(f"{where} has {len(row)} cells, the first line names {len(header)} columns")
    cells = dict(zip(header, row, strict=False))
    sizes = {}
    for name in ("m", "n", "k", "count"):
        text = cells.get(name) or ("1" if name == "count" else "")
        if not text.isdecimal() or int(text) < 1:
            said = f"{text!r}" if text else "missing"
            raise WorkloadError(f"{where}: {name.upper() if len(name) == 1 else name} is {said}: a number from 1 on")
        sizes[name] = int(text)
    name = cells.get("name") or f"line {line}"
    kind = cells.get("kind") or KINDS[0]
    if kind not in KINDS:
        raise WorkloadError(f"{where}: kind is {kind!r}: choose {' or '.join(KINDS)}")
    shape = (sizes["m"], sizes["n"], sizes["k"], sizes["count"])
    if kind == "host":
        return Head(name, *shape)
    if not cells.get("weights"):
        return Linear(name, *shape)
    weights = _weights(where, path.parent / cells["weights"], sizes["n"], sizes["k"])
    return Linear(name, *shape, codes=lambda: np.load(weights))


def _weights(where: str, path: Path, channels: int, inner: int) -> Path:
    """The path, checked."""
    try:
        codes = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise WorkloadError(f"{where}: cannot read the weights {path}: {error}") from error
    if (
        codes.shape != (channels, inner)
        or codes.dtype.kind not in "iu"
        or np.abs(codes.astype(int)).max() > MAX_MAGNITUDE
    ):
        raise WorkloadError(
            f"{where}: {path.name} holds {codes.dtype} {list(codes.shape)}: it must be integers of magnitude up "
            f"to {MAX_MAGNITUDE}, [N, K], {[channels, inner]}"
        )
    return path
