"""The page of a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from fineq.common.markdown import table
from fineq_reports.plan.estimate import Estimate

PROCESSORS = (1, 8, 64, 256)
MACHINES = (1, 4, 16, 64)
NETWORK = 1.25e9
"""Bytes per second into one machine: 10 Gbit."""


def page(estimate: Estimate, machine: Mapping[str, str], command: str) -> str:
    """Tables and what they rest on, Markdown."""
    shape, sizes, done, calibration = estimate.shape, estimate.sizes, estimate.slice, estimate.calibration
    parts = [
        [number, hours(estimate.quantize_seconds(number) - estimate.merge_seconds), hours(estimate.merge_seconds),
         hours(estimate.quantize_seconds(number))]
        for number in PROCESSORS
    ]  # fmt: skip
    spread = calibration.products + calibration.solver
    calibrated = [
        [number, hours(spread / number), hours(calibration.factors),
         hours(estimate.sent / NETWORK if number > 1 else 0.0), hours(estimate.calibrate_seconds(number, NETWORK))]
        for number in MACHINES
    ]  # fmt: skip
    return f"""# {shape.name} on several machines: a plan

Made by `{command}`. {machine["processor"]}, {machine["cores"]} processors, {
        machine["busy processes at the start"]
    } busy at the
start. [How to use several machines](../quantizer/several-machines.md).

The files are {shape.source} in bfloat16, {sizes.parameters / 1e9:.2f} billion weights in shards with headers and
holes. Done for real is part {done.part}, {
        done.tensors
    } tensors of random weights, by the code of a worker; everything else
is this rate times a number.

| measured | |
|---|---:|
| part {done.part} quantized | {done.seconds:.1f} s, {done.processor_seconds:.1f} s of processors |
| weights per processor and second | {done.weights_per_processor_second / 1e6:.2f} million |
| read, written | {done.read_bytes / 1e9:.2f} GB, {done.written_bytes / 1e9:.3f} GB |
| read, checked and written again, as the merge does | {done.copied_per_second / 1e6:.0f} MB/s |

| disk | |
|---|---:|
| the model | {sizes.source_bytes / 1e9:.1f} GB |
| the result | {sizes.total_bytes / 1e9:.1f} GB, {sizes.bits_of_quantized:.3f} bits per weight of the quantized layers |
| with the parts, until the merge is done | {2 * sizes.total_bytes / 1e9:.1f} GB |

## Without data

{table(("processors", "parts", "merge", "together"), parts, "r")}
Processors are taken to be like this one and to have the disk for themselves: each reads {
        2 * done.weights_per_processor_second / 1e6:.0f} MB/s.

## Calibrated

{estimate.windows} windows of {
        estimate.length
    } tokens. Nothing of it is measured at this size: products at the speed of this
machine's matrix products, solver and factors by the constants that `fineq quantize` foretells its time with. A machine
needs {estimate.memory / 1e9:.0f} GB of memory.

{
        table(
            ("machines like this", "products and solver", "factors, by one", "network, 10 Gbit", "together"),
            calibrated,
            "r",
        )
    }
{estimate.sent / 1e12:.1f} TB of products go to the machine that adds. Factors and network do not become less with more
machines.
"""


def hours(seconds: float) -> str:
    """A duration as a table has it."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def record(estimate: Estimate, machine: Mapping[str, str]) -> str:
    """The same as JSON."""
    content = {
        "model": estimate.shape.name,
        "machine": dict(machine),
        "sizes": asdict(estimate.sizes),
        "slice": asdict(estimate.slice),
        "calibration_seconds": asdict(estimate.calibration),
        "memory": estimate.memory,
        "sent": estimate.sent,
    }
    return json.dumps(content, indent=1) + "\n"
