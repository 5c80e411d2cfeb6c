"""Processing elements of single columns: every activation with every select."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from helpers.hardware.amaranth_bench import simulate
from helpers.hardware.encoded_arrays import PULSED, encoding_label

from fineq_hw.array.encodings.registry import groups
from fineq_hw.array.processing_element import ProcessingElement
from fineq_hw.config import ROW_SIGN_ENCODINGS


@pytest.mark.parametrize("config", PULSED, ids=encoding_label)
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
                elif config.encoding in ROW_SIGN_ENCODINGS:
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
