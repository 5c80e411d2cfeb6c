"""The texts of the cycle counts' errors; the counts are checked on the cores."""

from __future__ import annotations

import pytest

from fineq_hw.config import ArrayConfig
from fineq_hw.latencies import tile_cycles


def test_a_tile_without_vectors_is_refused():
    with pytest.raises(ValueError) as error:
        tile_cycles(ArrayConfig(), 64, [])
    assert str(error.value) == "a tile needs at least one weight vector: its last one releases the activations"
