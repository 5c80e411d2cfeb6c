"""What `make mutate` plants in the array and in the software; for the accelerator: `accelerator_faults`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A deliberate fault.

    Attributes:
        name: short name.
        meaning: what is wrong, for the report.
        file: the file it is in, relative to the top of the repository.
        old, new: the text that is there exactly once, and what takes its place.
        bench: name of a testbench run that must notice it, or ''.
        tests: pytest arguments of the tests that must notice it, for faults in software.
    """

    name: str
    meaning: str
    file: str
    old: str
    new: str
    bench: str = ""
    tests: tuple[str, ...] = ()

    @property
    def check(self) -> str:
        return self.bench or " ".join(self.tests)


_HW, _SW = "hw/fineq_hw", "sw/fineq"
_FORMAT_TESTS = ("tests/sw/test_format.py",)

ARRAY_FAULTS: tuple[Fault, ...] = (
    Fault(
        "decoder-fields-swapped",
        "decoder takes the two 3-bit fields in the wrong order",
        f"{_HW}/decoder.py",
        "slot = position - (position > zeroed)",
        "slot = 1 - (position - (position > zeroed))",
        "decoder/all",
    ),
    Fault(
        "decoder-sign-lost",
        "decoder drops the sign of 2-bit weights",
        f"{_HW}/decoder.py",
        "weight.sign.eq(normal[-1])",
        "weight.sign.eq(0)",
        "decoder/all",
    ),
    Fault(
        "decoder-wrong-index",
        "line decoder gives a cluster the index code of another pair",
        f"{_HW}/decoder.py",
        "indices.word_select(cluster // PAIR_CLUSTERS, INDEX_BITS)",
        "indices.word_select(cluster % (BLOCK_CLUSTERS // PAIR_CLUSTERS), INDEX_BITS)",
        "line_decoder/fineq_5x7",
    ),
    Fault(
        "encoder-off-by-one",
        "encoder sends one pulse too many",
        f"{_HW}/temporal_encoder.py",
        "enumerate(pulses[magnitude])",
        "enumerate(pulses[min(magnitude + 1, MAX_MAGNITUDE)])",
        "temporal_encoder/fineq_5x7",
    ),
    Fault(
        "encoder-stale-value",
        "encoder goes on with the pulses of the old weight when a new one comes",
        f"{_HW}/temporal_encoder.py",
        "Mux(self.load, incoming[width:], due >> width)",
        "due >> width",
        "temporal/fineq_5x7",
    ),
    Fault(
        "encoder-termination-ignored",
        "encoder does not run out of pulses",
        f"{_HW}/temporal_encoder.py",
        "incoming[width:], due >> width",
        "incoming[width:], due",
        "processing_array/fineq_5x7",
    ),
    Fault(
        "element-select-inverted",
        "processing element passes its activation when there is no pulse",
        f"{_HW}/processing_element.py",
        "(values[0], lines.pulse, 0)",
        "(values[0], ~lines.pulse, 0)",
        "processing_element/fineq_5x7",
    ),
    Fault(
        "tree-carry-dropped",
        "full adder forgets the carry of its third input",
        f"{_HW}/adder_tree.py",
        "self.carry.eq((self.a & self.b) | (self.c & (self.a ^ self.b)))",
        "self.carry.eq(self.a & self.b)",
        "adder_tree/mixed_structural",
    ),
    Fault(
        "correction-dropped",
        "accumulator leaves out the correction of the complemented products",
        f"{_HW}/accumulator.py",
        "[self.correction, *starts]",
        "[self.correction & 0, *starts]",
        "accumulator/fineq_5x7",
    ),
    Fault(
        "partial-not-added",
        "accumulator starts from zero instead of the partial sum",
        f"{_HW}/accumulator.py",
        "self.partial & self.take_partial.replicate(bits)",
        "self.partial & 0",
        "accumulator/fineq_5x7",
    ),
    Fault(
        "terminates-early",
        "control unit ends vectors with a +-3 one step too soon",
        f"{_HW}/control_unit.py",
        "cycles.eq(steps)",
        "cycles.eq(vector_cycles(min(magnitude, 2), encoding))",
        "temporal/fineq_5x7",
    ),
    Fault(
        "early-termination-stuck",
        "control unit ignores the early-termination input",
        f"{_HW}/control_unit.py",
        "with m.If(~self.early_termination):",
        "with m.If(~self.early_termination & 0):",
        "control_unit/fineq_5x7",
    ),
    Fault(
        "accumulate-ignored",
        "control unit never takes partial sums",
        f"{_HW}/control_unit.py",
        "self.take_partial.eq(takes_partial)",
        "self.take_partial.eq(0)",
        "temporal/fineq_5x7",
    ),
    Fault(
        "result-overwritten",
        "array goes on although its result was not taken",
        f"{_HW}/control_unit.py",
        "stalled = self.results_valid & ~self.results_ready",
        "stalled = self.results_valid & 0",
        "temporal/fineq_5x7",
    ),
    Fault(
        "row-counter-kept",
        "preload that ended early does not start again at row 0",
        f"{_HW}/control_unit.py",
        "m.d.sync += [row.eq(0), phase.eq(phases.COMPUTE)]",
        "m.d.sync += phase.eq(phases.COMPUTE)",
        "temporal/fineq_5x7",
    ),
    Fault(
        "slice-ignored",
        "packed core always takes the first weight vector of a line",
        f"{_HW}/core.py",
        "with m.Switch(line.slice):",
        "with m.Switch(line.slice & 0):",
        "layer_packed/4x12",
    ),
    Fault(
        "mac-skew-off-by-one",
        "MAC array delays every weight one cycle too long",
        f"{_HW}/mac_array.py",
        "[c if systolic else c + 1 for c",
        "[c + 1 for c",
        "mac/mac8x3_5x7",
    ),
    Fault(
        "mac-sign-ignored",
        "MAC array takes a negative weight as positive",
        f"{_HW}/mac_array.py",
        "Mux(weight.sign, -weight.magnitude, weight.magnitude)",
        "weight.magnitude",
        "mac/mac8x3_5x7",
    ),
    Fault(
        "pack-bit-order",
        "packing stores the fields of a block last first",
        f"{_SW}/format.py",
        "words |= fields[..., position].astype(np.uint64) << np.uint64(position * bits)",
        "words |= fields[..., position].astype(np.uint64) << np.uint64((fields.shape[-1] - 1 - position) * bits)",
        tests=_FORMAT_TESTS,
    ),
    Fault(
        "pack-index-swapped",
        "packing and unpacking both exchange index codes 1 and 3",
        f"{_SW}/format.py",
        "places, bits = [j for j in range(CLUSTER_WEIGHTS) if j != index_code - 1], OUTLIER_BITS",
        "places, bits = [j for j in range(CLUSTER_WEIGHTS) if j != 3 - index_code], OUTLIER_BITS",
        "line_decoder/fineq_5x7",
    ),
    Fault(
        "pack-sign-inverted",
        "packing stores the sign bit inverted",
        f"{_SW}/format.py",
        "(sign_bit if weight < 0 else 0)",
        "(sign_bit if weight > 0 else 0)",
        tests=_FORMAT_TESTS,
    ),
    Fault(
        "tie-takes-last",
        "quantizer in torch takes the last instead of the first among equal losses",
        f"{_SW}/quantizer.py",
        "is_less = candidate < least",
        "is_less = candidate <= least",
        tests=("tests/sw/test_kernels.py",),
    ),
    Fault(
        "kernel-tie-takes-last",
        "native quantizer takes the last instead of the first among equal losses",
        f"{_SW}/kernels/pairs.h",
        "Ints is_less = losses[code] < loss;",
        "Ints is_less = losses[code] <= loss;",
        tests=("tests/sw/test_reference.py",),
    ),
    Fault(
        "rounding-down",
        "activations are rounded down instead of half to even",
        f"{_SW}/activations.py",
        ".round().clamp(",
        ".floor().clamp(",
        tests=("tests/sw/test_activations.py",),
    ),
)
"""Faults of the array and of the software."""
