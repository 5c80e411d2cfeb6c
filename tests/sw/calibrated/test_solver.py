"""The solver of one layer: against brute force, and never worse with more freedom."""

import itertools
from dataclasses import replace

import pytest
import torch
from helpers.models.inputs import correlated_hessian

import fineq
from fineq import format as block_format
from fineq.calibrated import CalibratedRecipe, SolverOptions, TrainingOptions, output_error, solve
from fineq.calibrated.moments import Retargeting
from fineq.calibrated.pairs import magnitude_limits, nearest_codes
from fineq.common.errors import FineqError

ALL_CODEWORDS = torch.tensor(
    sorted(
        {
            word
            for limit in magnitude_limits().int().tolist()
            for word in itertools.product(*[range(-most, most + 1) for most in limit])
        }
    ),
    dtype=torch.float64,
)
FULL = SolverOptions()


def least_error(target: torch.Tensor, scale: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
    """Over every codeword of the format: [rows]."""
    errors = target[:, None] - scale[:, None, None] * ALL_CODEWORDS
    return torch.einsum("rci,ij,rcj->rc", errors, metric, errors).amin(dim=1)


def test_the_list_of_codewords_is_the_format():
    assert len(ALL_CODEWORDS) == 7569
    assert (block_format.smallest_index(ALL_CODEWORDS.int().numpy()) <= 3).all()


# -- one pair --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["diagonal", "correlated"])
def test_nearest_codes_are_those_of_brute_force(metric):
    torch.manual_seed(1)
    target = torch.randn(60, 6, dtype=torch.float64)
    scale = torch.rand(60, dtype=torch.float64) + 0.1
    matrix = correlated_hessian(6)
    matrix = matrix.diagonal().diag() if metric == "diagonal" else matrix + 0.05 * torch.eye(6)
    codes, index, loss = nearest_codes(target, scale, matrix, breadth=1 if metric == "diagonal" else 400)
    error = target - codes * scale[:, None]
    torch.testing.assert_close(loss, ((error @ matrix) * error).sum(dim=1))
    least = least_error(target, scale, matrix)
    torch.testing.assert_close(loss, least)
    block_format.pack(codes.int().numpy(), index[:, None].numpy())  # raises if the codes do not fit their index


def test_a_wider_search_is_never_worse():
    torch.manual_seed(2)
    target, scale = torch.randn(300, 6, dtype=torch.float64), torch.full((300,), 0.6, dtype=torch.float64)
    matrix = correlated_hessian(6) + 0.05 * torch.eye(6)
    losses = [nearest_codes(target, scale, matrix, breadth)[2].sum().item() for breadth in (1, 4, 64)]
    assert losses[0] > losses[1] >= losses[2]


def test_no_code_is_larger_than_allowed_and_the_best_of_those_is_taken():
    torch.manual_seed(8)
    target, scale = torch.randn(40, 6, dtype=torch.float64), torch.full((40,), 0.4, dtype=torch.float64)
    codes, _, loss = nearest_codes(target, scale, torch.eye(6, dtype=torch.float64), largest=2)
    allowed = ALL_CODEWORDS[ALL_CODEWORDS.abs().amax(dim=1) <= 2]
    errors = (target[:, None] - scale[:, None, None] * allowed).square().sum(dim=2).amin(dim=1)
    torch.testing.assert_close(loss, errors)
    assert codes.abs().max() == 2
    for hessian in ("full", "diagonal"):
        layer = solve(torch.randn(16, 90), correlated_hessian(90), replace(FULL, hessian=hessian, largest=2))
        assert layer.codes(strict=True).abs().max() == 2


def test_bad_largest_magnitudes():
    with pytest.raises(FineqError, match="largest is 4: choose a magnitude from 1 to 3"):
        SolverOptions(largest=4)
    with pytest.raises(FineqError, match="training uses all magnitudes: leave the solver's largest as it is"):
        CalibratedRecipe(solver=SolverOptions(largest=2), block=TrainingOptions(steps=1))


# -- one layer -------------------------------------------------------------------------------------------------


def test_one_pair_with_full_hessian_is_optimal_for_its_scale():
    torch.manual_seed(3)
    weight, hessian = torch.randn(40, 6, dtype=torch.float64), correlated_hessian(6)
    packed = solve(weight, hessian, replace(FULL, breadth=400, damping=0.0))
    found = output_error(weight, packed.dequantize(torch.float64), hessian)
    least = least_error(weight, packed.scales.double(), hessian)
    torch.testing.assert_close(found, least)


def test_without_hessian_and_sweeps_it_is_recipe_mse_clipped():
    torch.manual_seed(4)
    weight = torch.randn(16, 100)
    packed = solve(weight, None, replace(FULL, hessian="identity", sweeps=0))
    assert torch.equal(packed.blocks, fineq.quantize(weight, "mse-clipped").blocks)
    torch.testing.assert_close(packed.scales, fineq.quantize(weight, "mse-clipped").scales)


@pytest.mark.parametrize("columns", [6, 31, 96, 129])
def test_every_step_lowers_the_error_of_the_outputs(columns):
    torch.manual_seed(5)
    weight, hessian = torch.randn(32, columns), correlated_hessian(columns)
    steps = [
        replace(FULL, hessian="identity", sweeps=0),
        replace(FULL, hessian="diagonal", sweeps=0),
        replace(FULL, feedback_scales=(1.0,), breadth=1, sweeps=0),
        replace(FULL, breadth=1, sweeps=0),
        replace(FULL, breadth=1),
    ]
    packed = [solve(weight, hessian, step) for step in steps]
    errors = [output_error(weight, layer.dequantize(), hessian).sum().item() for layer in packed]
    assert errors[2:] == sorted(errors[2:], reverse=True)
    assert errors[2] < 0.9 * min(errors[:2])
    for layer in packed:
        codes = layer.codes(strict=True)
        assert codes.shape == weight.shape
        assert layer.bits_per_weight() == block_format.bits_per_weight(tuple(weight.shape))
        assert layer.blocks.shape == fineq.quantize(weight).blocks.shape


def test_sweeps_never_raise_the_error_of_any_row():
    torch.manual_seed(6)
    weight, hessian = torch.randn(32, 60), correlated_hessian(60)
    before, after = (
        output_error(weight, solve(weight, hessian, replace(FULL, sweeps=n, damping=1e-6)).dequantize(), hessian)
        for n in (0, 4)
    )
    assert (after <= before * (1 + 1e-5)).all()
    assert after.sum() < before.sum()


def test_zero_rows_dead_inputs_and_rows_of_one_size():
    weight = torch.randn(4, 40, generator=torch.Generator().manual_seed(7))
    weight[1] = 0
    hessian = correlated_hessian(40)
    hessian[3], hessian[:, 3] = 0, 0
    packed = solve(weight, hessian, FULL)
    assert packed.scales[1] == 1 and not packed.codes(strict=True)[1].any()
    assert torch.isfinite(packed.dequantize()).all()
    for seen in (torch.zeros(40, 40), None):  # no token, or no power at all: the plain squared error
        layer = solve(weight, seen, FULL)
        assert fineq.normalised_error(weight, layer) <= 1.01 * fineq.normalised_error(
            weight, fineq.quantize(weight, "mse-clipped")
        )


def test_rows_do_not_depend_on_their_neighbours():
    torch.manual_seed(8)
    weight, hessian = torch.randn(20, 48), correlated_hessian(48)
    whole, part = solve(weight, hessian, FULL), solve(weight[7:9], hessian, FULL)
    assert torch.equal(whole.blocks[7:9], part.blocks) and torch.equal(whole.scales[7:9], part.scales)


def test_new_targets_are_the_least_squares_solution():
    torch.manual_seed(9)
    weight, exact = torch.randn(5, 12, dtype=torch.float64), torch.randn(300, 12, dtype=torch.float64)
    seen = exact + 0.3 * torch.randn(300, 12, dtype=torch.float64)
    fitted = Retargeting(seen.T @ seen / 300, exact.T @ seen / 300, damping=0.0)(weight)
    torch.testing.assert_close(fitted, torch.linalg.lstsq(seen, exact @ weight.T).solution.T)


def test_unknown_hessian():
    with pytest.raises(FineqError, match="hessian is 'half': choose one of identity, diagonal, full"):
        SolverOptions(hessian="half")


# -- the bar for recipe mse ------------------------------------------------------------------------------------


def test_recipe_mse_is_within_half_a_percent_of_the_optimum_of_the_format():
    torch.manual_seed(10)
    weight = torch.randn(4, 4104)
    packed = fineq.quantize(weight, "mse")
    found = (weight - packed.dequantize()).double().square().sum(dim=1)
    assert fineq.normalised_error(weight, packed) <= 0.126
    # The optimum: best codes for each of many scales, 2e-3 of absmax/3 apart, then the best scale for those codes.
    weight = weight.double()
    base, best = weight.abs().amax(dim=1) / 3, torch.full((4,), torch.inf, dtype=torch.float64)
    limits = magnitude_limits()[:, None, None]
    for step in range(300, 1001, 2):
        pairs = (weight / (base * step / 1000)[:, None]).view(4, -1, 6)
        values = pairs.round().clamp(-limits, limits)
        choice = (pairs - values).square().sum(dim=-1).argmin(dim=0)
        codes = values.gather(0, choice[None, :, :, None].expand(1, -1, -1, 6))[0].view(4, -1)
        fitted = (codes * weight).sum(dim=1) / codes.square().sum(dim=1)
        best = torch.minimum(best, (weight - codes * fitted[:, None]).square().sum(dim=1))
    assert (found <= 1.005 * best).all()
    assert (found >= best * (1 - 1e-9)).all()
