"""Select gates and the texts of their errors."""

from __future__ import annotations

import gc
from itertools import product

import pytest
from helpers.hardware.amaranth_bench import simulate

from fineq_hw.cells.select_cells import Select


@pytest.mark.parametrize("choices", [1, 2, 3])
def test_select_on_every_input(choices):
    cell = Select(choices)

    async def bench(ctx):
        for bits in product((0, 1), repeat=2 * choices):
            pairs = list(zip(bits[::2], bits[1::2], strict=True))
            for number, (d, s) in enumerate(pairs):
                ctx.set(getattr(cell, f"d{number}"), d)
                ctx.set(getattr(cell, f"s{number}"), s)
            assert ctx.get(cell.q_n) == (not any(d and s for d, s in pairs))

    simulate(cell, bench, clocked=False)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_more_than_three_choices_are_refused():
    with pytest.raises(ValueError) as error:
        Select(4)
    assert str(error.value) == "choices is 4: it must lie between 1 and 3"
    del error
    gc.collect()  # the rejected component warns here, where it is ignored
