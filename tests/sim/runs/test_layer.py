"""A whole layer through the verilated core: exact sums, exact cycles, differences located."""

from dataclasses import replace

import numpy as np
import pytest

from fineq.quantizer.golden_vectors import read_vectors
from fineq_hw.config import ARRAYS
from fineq_sim.reference.core_cycles import layer_cycles
from fineq_sim.reference.golden import make_golden, read_golden
from fineq_sim.runs.layer import first_difference, run_layer


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """Several tiles along tokens and inputs, neither full at the end."""
    return read_vectors(make_golden(tmp_path_factory.mktemp("golden") / "layer", channels=11, inner=50, tokens=13))


@pytest.mark.parametrize("early_termination", [True, False])
def test_sums_and_cycles_are_exact(vectors, early_termination):
    run = run_layer(vectors, "fineq_5x7", early_termination=early_termination)
    assert run.sums.dtype == np.int32
    assert np.array_equal(run.sums, vectors.expected_sums)
    assert first_difference(run, vectors, "fineq_5x7") is None
    predicted = layer_cycles(vectors.codes, vectors.tokens, ARRAYS["fineq_5x7"], early_termination)
    assert (run.cycles, run.computing_cycles) == (predicted.total, predicted.computing)


def test_the_first_difference_is_located(vectors):
    run = run_layer(vectors, "fineq_5x7")
    damaged = run.partial_sums.copy()
    damaged[4, 9, 2] += 1
    damaged[4, 3, 5] += 1
    damaged[6, 0, 0] += 1
    difference = first_difference(replace(run, partial_sums=damaged), vectors, "fineq_5x7")
    assert (difference.token, difference.channel, difference.k_tile) == (9, 2, 4)
    assert difference.got == difference.expected + 1
    assert str(difference).startswith("first difference at token 9, output channel 2, tile 4 along K: running sum")


def test_wrong_weights_give_wrong_sums(vectors):
    blocks = vectors.blocks.copy()
    blocks[5, 1] ^= 0b11  # the first weight of channel 5
    run = run_layer(replace(vectors, blocks=blocks), "fineq_5x7")
    assert first_difference(run, vectors, "fineq_5x7").channel == 5


def test_bad_input(vectors):
    with pytest.raises(ValueError, match="^unknown array 'fineq_7x5': choose one of fineq_64x64, "):
        run_layer(vectors, "fineq_7x5")
    with pytest.raises(ValueError, match="^activations have 49 columns, the weights have 50$"):
        run_layer(replace(vectors, activations=vectors.activations[:, 1:]), "fineq_5x7")


def test_testbenches_read_the_same_vectors(tmp_path):
    directory = make_golden(tmp_path / "golden", channels=5, inner=30, tokens=3)
    ours, theirs = read_golden(directory), read_vectors(directory)
    for name in ("blocks", "codes", "activations", "expected_sums"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    file = directory / "codes.hex"
    file.write_text(file.read_text().replace("0", "1", 1))
    with pytest.raises(ValueError, match="codes.hex does not have the manifest's checksum$"):
        read_golden(directory)
