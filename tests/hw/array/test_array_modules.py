"""Each module below the cores against a few lines of Python, and the texts of the constructors' errors."""

from __future__ import annotations

import gc
import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from amaranth.sim import Simulator

from fineq.format import BLOCK_WEIGHTS, CLUSTER_PAYLOAD_BITS, INDEX_BITS, MAX_MAGNITUDE
from fineq.format.temporal import MAX_CYCLES, array_cycles
from fineq_hw.array.accumulator import Accumulator
from fineq_hw.array.control_unit import ControlUnit
from fineq_hw.array.encodings import groups
from fineq_hw.array.processing_element import ProcessingElement
from fineq_hw.array.temporal_encoder import make_encoder
from fineq_hw.baseline.mac_array import partial_bits
from fineq_hw.cells.adder_tree import AdderTree, Bit, FullAdder, HalfAdder, compress, popcount, popcount_arrival
from fineq_hw.cells.select_cells import Select
from fineq_hw.config import ArrayConfig, MacConfig
from fineq_hw.decode.decoder import Decoder, LineDecoder
from fineq_hw.latencies import tile_cycles

SIGNS = ["row", "column"]


def simulate(component, bench, clocked: bool = True) -> None:
    simulator = Simulator(component)
    if clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def reference_cluster(index: int, payload: int) -> list[tuple[int, int]]:
    """(magnitude, sign) of the three weights, read off the format's definition."""
    if index == 0:
        return [(payload >> 2 * j & 1, payload >> 2 * j + 1 & 1) for j in range(3)]
    survivors = [(payload & 3, payload >> 2 & 1), (payload >> 3 & 3, payload >> 5 & 1)]
    survivors.insert(index - 1, (0, 0))
    return survivors


def test_decoder_on_every_input():
    decoder = Decoder()

    async def bench(ctx):
        for index in range(1 << INDEX_BITS):
            for payload in range(1 << CLUSTER_PAYLOAD_BITS):
                ctx.set(decoder.index, index)
                ctx.set(decoder.payload, payload)
                weights = ctx.get(decoder.weights)
                assert [(w.magnitude, w.sign) for w in weights] == reference_cluster(index, payload)

    simulate(decoder, bench, clocked=False)


@pytest.mark.parametrize("columns", [1, 7, 16])
def test_line_decoder_takes_blocks_in_order(columns):
    config = ArrayConfig(rows=1, columns=columns)
    decoder = LineDecoder(config)

    async def bench(ctx):
        line = np.random.default_rng(columns).integers(0, 256, config.line_bytes).tolist()
        ctx.set(decoder.line, int.from_bytes(line, "little"))
        decoded = [(w.magnitude, w.sign) for w in ctx.get(decoder.weights)]
        assert len(decoded) == config.line_weights == config.line_blocks * BLOCK_WEIGHTS
        for cluster in range(config.line_decoders):
            block, inside = line[cluster // 8 * 7 :][:7], cluster % 8
            payload = int.from_bytes(block[1:], "little") >> 6 * inside & 63
            expected = reference_cluster(block[0] >> inside // 2 * 2 & 3, payload)
            assert decoded[3 * cluster : 3 * cluster + 3] == expected

    simulate(decoder, bench, clocked=False)


ENCODED = [
    ArrayConfig(encoding=encoding, sign_handling=sign)
    for encoding, sign in (
        ("unary", "row"),
        ("unary", "column"),
        ("2s-unary", "column"),
        ("bitplane", "row"),
        ("bitplane", "column"),
        ("parallel", "column"),
    )
]


@pytest.mark.parametrize("config", ENCODED, ids=lambda config: f"{config.encoding}-{config.sign_handling}")
def test_encoder_sends_the_weight_and_then_nothing(config):
    encoder = make_encoder(groups(config)[0])
    bitplane = config.encoding == "bitplane"

    async def bench(ctx):
        for magnitude in range(MAX_MAGNITUDE + 1):
            for sign in (0, 1):
                ctx.set(encoder.weights, [{"magnitude": magnitude, "sign": sign}])
                ctx.set(encoder.load, 1)
                ctx.set(encoder.update, 1)
                await ctx.tick()
                ctx.set(encoder.load, 0)
                ctx.set(encoder.weights, [{"magnitude": MAX_MAGNITUDE - magnitude, "sign": 1 - sign}])
                total = 0
                for _ in range(MAX_CYCLES[config.encoding]):
                    total = total * (1 + bitplane) + sent(ctx)
                    await ctx.tick()
                assert total == (-magnitude if sign else magnitude)
                assert sent(ctx) == 0

    def sent(ctx) -> int:
        lines = ctx.get(encoder.lines)
        if config.sign_handling == "row":
            return lines.pulse * (1 - 2 * lines.negative)
        if config.encoding in ("unary", "bitplane"):
            return lines.when_zero - lines.when_one
        return (lines.single + 2 * lines.double) * (1 - 2 * lines.negative)

    simulate(encoder, bench)


def test_cluster_encoder_takes_a_second_step_for_twins_only():
    """Every three weights that the format can store: each slot takes one value, and the pulses add up."""
    group = groups(ArrayConfig(encoding="cluster", sign_handling="column"))[0]
    encoder = make_encoder(group)
    values = range(-MAX_MAGNITUDE, MAX_MAGNITUDE + 1)

    async def bench(ctx):
        for weights in product(values, repeat=3):
            if max(map(abs, weights)) > 1 and 0 not in weights:
                continue
            ctx.set(encoder.weights, [{"magnitude": abs(w), "sign": int(w < 0)} for w in weights])
            ctx.set(encoder.load, 1)
            ctx.set(encoder.update, 1)
            await ctx.tick()
            ctx.set(encoder.load, 0)
            total = [0, 0, 0]
            steps = int(array_cycles([weights], "cluster")[0])
            assert steps == 1 + ([*map(abs, weights)].count(MAX_MAGNITUDE) == 2)
            for _ in range(steps):
                lines = ctx.get(encoder.lines)
                for slot in range(3):
                    taken = [(slot, 1)] if lines.single >> slot & 1 else []
                    taken += [(a, 2) for a in range(3) if a != slot and lines[f"double_{a}_in_{slot}"]]
                    assert len(taken) <= 1
                    for column, worth in taken:
                        total[column] += -worth if lines.negative >> column & 1 else worth
                await ctx.tick()
            assert total == list(weights)
            lines = ctx.get(encoder.lines)
            doubles = [lines[f"double_{a}_in_{slot}"] for slot in range(3) for a in range(3) if a != slot]
            assert not lines.single and not any(doubles), "the lines must be idle behind the last step"

    simulate(encoder, bench)


@pytest.mark.parametrize("config", ENCODED, ids=lambda config: f"{config.encoding}-{config.sign_handling}")
@pytest.mark.parametrize("bits", [2, 8])
def test_processing_element_selects(config, bits):
    element = ProcessingElement(groups(replace(config, activation_bits=bits))[0])
    half, mask = 1 << bits - 1, (1 << bits) - 1

    async def bench(ctx):
        for x in range(-half, half):
            ctx.set(element.activations, [x])
            ctx.set(element.load, 1)
            await ctx.tick()
            ctx.set(element.load, 0)
            ctx.set(element.activations, [~x])
            await ctx.tick()
            for negative, (u_single, u_double) in product((0, 1), ((0, 0), (1, 0), (0, 1))):
                u = (half - 1 - x if negative else x + half) & mask
                if config.sign_handling == "row":
                    ctx.set(element.lines, {"pulse": u_single, "negative": negative})
                    expected = [x & mask if u_single else 0]
                elif config.encoding in ("unary", "bitplane"):
                    idle = not u_single
                    ctx.set(element.lines, {"when_one": idle or negative, "when_zero": idle or not negative})
                    expected = [u if u_single else 0]
                else:
                    ctx.set(element.lines, {"negative": negative, "single": u_single, "double": u_double})
                    expected = [u * u_single, u * u_double]
                    if config.encoding == "2s-unary":
                        expected = [u * u_single + 2 * u * u_double]
                products_n = ctx.get(element.products_n)
                for index, (slot, value) in enumerate(zip(element.group.slots, expected, strict=True)):
                    assert products_n[f"slot_{index}"] == ~value & ((1 << slot.bits) - 1)

    simulate(element, bench)


@pytest.mark.parametrize("adder", [FullAdder(), HalfAdder()])
def test_adder_cells(adder):
    inputs = [getattr(adder, name) for name in "abc" if hasattr(adder, name)]

    async def bench(ctx):
        for bits in range(1 << len(inputs)):
            for position, port in enumerate(inputs):
                ctx.set(port, bits >> position & 1)
            assert 2 * ctx.get(adder.carry) + ctx.get(adder.sum) == bits.bit_count()

    simulate(adder, bench, clocked=False)


@pytest.mark.parametrize("structure", ["structural", "behavioural"])
@pytest.mark.parametrize(
    ("operand_bits", "sum_bits", "constant", "ripple_columns"),
    [
        ([1], 1, 0, 0),
        ([1], 3, 5, 0),
        ([3, 3], 4, 0, 4),
        ([8] * 5 + [12], 12, -640, 0),
        ([2, 7, 1, 9], 9, 300, 9),
        ([4] * 9 + [6], 6, -1, 3),
        ([5] * 3, 3, 4, 2),
    ],
)
def test_adder_tree_adds(structure, operand_bits, sum_bits, constant, ripple_columns):
    tree = AdderTree(operand_bits, sum_bits, constant=constant, structure=structure, ripple_columns=ripple_columns)
    numbers = random.Random(1)

    async def bench(ctx):
        for trial in range(60):
            values = [numbers.getrandbits(bits) if trial else (1 << bits) - 1 for bits in operand_bits]
            for index, value in enumerate(values):
                ctx.set(tree.operands[f"operand_{index}"], value)
            assert ctx.get(tree.sum) == (sum(values) + constant) % (1 << sum_bits)

    simulate(tree, bench, clocked=False)


@pytest.mark.parametrize("lines", [1, 2, 7, 64])
def test_popcount(lines):
    counter = popcount(lines, "structural")

    async def bench(ctx):
        for ones in range(lines + 1):
            picked = random.Random(ones).sample(range(lines), ones)
            ctx.set(counter.operands.as_value(), sum(1 << line for line in picked))
            assert ctx.get(counter.sum) == ones

    simulate(counter, bench, clocked=False)
    assert counter.plan().arrival == popcount_arrival(lines)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("sign_handling", SIGNS)
def test_row_tree_has_the_fewest_full_adders(sign_handling):
    config = ArrayConfig(sign_handling=sign_handling)
    tree = Accumulator(config).adder_tree()
    plan = tree.plan()
    # A full adder removes one bit; 64 bytes alone cannot do with fewer than 498, correction and old sum come on top.
    assert plan.count("full") <= sum(tree.operand_bits) - config.accumulator_bits
    assert plan.count("full") + plan.count("half") <= 512
    assert max(len(column) for column in plan.columns) == 2
    # Not deeper than its latest operand plus two full adders: no ripple inside the tree.
    assert plan.arrival <= max(max(tree.arrivals), 25) + 6
    del tree
    gc.collect()


def test_sum_of_64_bytes_takes_the_minimum_of_498_full_adders():
    columns = [[Bit(0, ("input", operand, bit)) for operand in range(64)] for bit in range(8)] + [[]] * 6
    plan = compress(columns, ripple_columns=14)
    assert plan.count("full") == 64 * 8 - 14
    assert plan.count("half") <= 8


def test_late_operand_enters_late():
    early = [[Bit(0, ("input", operand, 0)) for operand in range(30)], [], [], [], [], []]
    base = compress(early).arrival
    early[0].append(Bit(base - 3, ("input", 30, 0)))
    assert compress(early).arrival <= base + 3


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: AdderTree([], 4), "operand_bits is empty: an adder tree needs at least one operand"),
        (lambda: AdderTree([3, 0], 4), "operand_bits and sum_bits must be at least 1"),
        (lambda: AdderTree([3], 4, structure="csa"), "structure is 'csa': choose one of structural, behavioural"),
        (lambda: AdderTree([3], 4, arrivals=[0, 1]), "arrivals has 2 entries for 1 operands: give one each"),
        (lambda: ArrayConfig(rows=0), "rows is 0: it must be an integer between 1 and 1024"),
        (lambda: ArrayConfig(columns=2.5), "columns is 2.5: it must be an integer between 1 and 1024"),
        (lambda: ArrayConfig(activation_bits=1), "activation_bits is 1: it must be an integer between 2 and 16"),
        (lambda: ArrayConfig(accumulator_bits=65), "accumulator_bits is 65: it must be an integer between 4 and 64"),
        (
            lambda: ArrayConfig(accumulator_bits=15),
            "accumulator_bits is 15: a sum over 64 columns can overflow it, use at least 16",
        ),
        (lambda: ArrayConfig(encoding="morse"), "encoding is 'morse': choose one of "),
        (lambda: ArrayConfig(sign_handling="both"), "sign_handling is 'both': choose one of row, column"),
        (
            lambda: ArrayConfig(encoding="cluster"),
            "sign_handling is 'row' with encoding 'cluster': only unary and bitplane have one operand a column whose "
            "sign the accumulator can apply, choose column",
        ),
        (lambda: AdderTree([3, 4], 4, shifts=[1]), "shifts is [1] for 2 operands: give one each, at least 0"),
        (lambda: Select(4), "choices is 4: it must lie between 1 and 3"),
        (lambda: ArrayConfig(adder_tree="big"), "adder_tree is 'big': choose one of structural, behavioural"),
        (
            lambda: ArrayConfig(activation_storage="ram"),
            "activation_storage is 'ram': choose one of gated-flop, latch",
        ),
        (lambda: MacConfig(weight_bits=4), "weight_bits is 4: choose one of 3, 8"),
        (lambda: MacConfig(weight_path="mesh"), "weight_path is 'mesh': choose one of systolic, broadcast"),
        (
            lambda: MacConfig(accumulator_bits=21),
            "accumulator_bits is 21: a sum over 64 columns can overflow it, use at least 22",
        ),
        (
            lambda: tile_cycles(ArrayConfig(), 64, []),
            "a tile needs at least one weight vector: its last one releases the activations",
        ),
    ],
)
def test_error_texts(make, text):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(text)
    del error
    gc.collect()  # the rejected component warns here, where it is ignored


def test_line_order_keeps_clusters_together():
    config = ArrayConfig(encoding="cluster", sign_handling="column")
    order = config.line_order
    assert sorted(order) == list(range(192))
    assert order[:64] == (*range(63), 189) and order[64:128] == (*range(63, 126), 190)
    five = ArrayConfig(columns=5, encoding="cluster", sign_handling="column").line_order
    assert sorted(five) == list(range(120)) and five[:5] == (0, 1, 2, 72, 73)
    assert ArrayConfig().line_order == tuple(range(192))


def test_minimum_widths_hold_the_extremes():
    config = ArrayConfig(columns=5, accumulator_bits=ArrayConfig().minimum_accumulator_bits(5))
    assert 5 * 128 * MAX_MAGNITUDE < 1 << config.accumulator_bits - 1
    mac = MacConfig(columns=4)
    assert 4 * 128 * 128 < 1 << partial_bits(mac, 4) - 1


def test_control_unit_waits_for_partial_sums_and_takes_one_beat_each():
    control = ControlUnit(ArrayConfig(rows=1, columns=1))

    async def bench(ctx):
        ctx.set(control.early_termination, 1)
        ctx.set(control.results_ready, 1)
        assert not ctx.get(control.weights_ready)
        ctx.set(control.activations_valid, 1)
        await ctx.tick()
        assert not ctx.get(control.activations_ready)
        ctx.set(control.magnitudes, [2])
        ctx.set(control.weights_valid, 1)
        ctx.set(control.weights_accumulate, 1)
        await ctx.tick()
        ctx.set(control.weights_valid, 0)
        for _ in range(3):
            assert ctx.get(control.partials_ready) and not ctx.get(control.computing)
            await ctx.tick()
        ctx.set(control.partials_valid, 1)
        assert ctx.get(control.computing) and ctx.get(control.take_partial) and not ctx.get(control.hold)
        await ctx.tick()
        assert ctx.get(control.computing) and not ctx.get(control.partials_ready) and ctx.get(control.hold)
        assert ctx.get(control.weights_ready)
        await ctx.tick()
        assert ctx.get(control.results_valid) and not ctx.get(control.computing)

    simulate(control, bench)
