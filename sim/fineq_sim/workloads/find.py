"""A workload by what the user calls it: a name, a directory, a config.json, a CSV or an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fineq_sim.workloads.csv_form import read_csv
from fineq_sim.workloads.language_model import ModelShape, passes
from fineq_sim.workloads.named import NAMES, named_shape
from fineq_sim.workloads.onnx_form import read_onnx
from fineq_sim.workloads.work import Workload, WorkloadError

SEQUENCE = 2048
"""Length where none is asked for."""


def find_workload(
    which: str,
    phase: str = "prefill",
    sequences: Sequence[int] = (),
    batch: int = 1,
    generate: int = 0,
) -> Workload:
    """The workload.

    Args:
        which: a known model, a model directory or its config.json, a .csv or an .onnx file.
        phase, sequences, batch, generate: see `fineq_sim.workloads.language_model.passes`.

    Raises:
        WorkloadError, FineqError: there is no such workload, it cannot be read, or a number makes no sense.
    """
    path = Path(which)
    if path.suffix.lower() == ".csv" and path.is_file():
        if sequences or generate or batch != 1 or phase != "prefill":
            raise WorkloadError(
                f"{which} states its sizes itself: phase, sequence, batch and tokens to generate are for models"
            )
        return read_csv(path)
    if path.suffix.lower() == ".onnx" and path.is_file():
        if generate or phase != "prefill" or len(sequences) > 1:
            raise WorkloadError(f"{which} is one pass: phase, several lengths and tokens to generate are for models")
        if batch < 1 or min(sequences, default=1) < 1:
            raise WorkloadError("batch and sequence length must be at least 1")
        return read_onnx(path, sequences[0] if sequences else None, batch)
    shape = find_shape(which)
    return Workload(shape.name, shape.source, passes(shape, phase, sequences or (SEQUENCE,), batch, generate))


def find_shape(which: str) -> ModelShape:
    """The shape of a model; raises as `find_workload`."""
    path = Path(which)
    if which not in NAMES and path.exists():
        from fineq_sim.workloads.huggingface import read_shape  # torch and transformers

        if path.is_dir() or path.suffix == ".json":
            return read_shape(path)
        raise WorkloadError(f"{which} is no workload: give a directory, a config.json, a .csv or an .onnx file")
    return named_shape(which)
