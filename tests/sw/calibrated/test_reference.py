"""The native solver and the steps with tensors: the same codes, index codes and scales to the last bit."""

import numpy as np
import pytest
import torch
from helpers.models.inputs import correlated_hessian

from fineq import kernels
from fineq.calibrated import SolverOptions, solve
from fineq.calibrated.metric import prepare
from fineq.calibrated.reference import in_order, outer_products, solve_rows
from fineq.calibrated.solver import solve_natively

native = pytest.mark.skipif(not kernels.available(), reason=f"no native kernels: {kernels.reason()}")

# Rows and columns: fewer and more than the kernel's tiles of 48 rows and blocks of 96 columns, and none of their
# multiples; columns that end within a pair or a vector.
SHAPES = [(1, 6), (3, 11), (9, 25), (48, 96), (50, 97), (47, 102), (100, 200), (20, 300)]


def test_the_order_of_sums_is_that_of_plain_loops():
    """Terms of very different size, so that another order gives other bits."""
    generator = np.random.default_rng(1)
    terms = torch.from_numpy(generator.standard_normal((5, 301)) * 10.0 ** generator.integers(-9, 9, (5, 301)))
    plain = []
    for row in terms.tolist():
        total = 0.0
        for term in row:
            total += term
        plain.append(total)
    assert in_order(terms).tolist() == plain
    factors, rows = terms[:, :40], torch.from_numpy(generator.standard_normal((40, 3)))
    product = [[0.0] * 3 for _ in range(5)]
    for i, j, k in np.ndindex(5, 40, 3):
        product[i][k] += factors[i, j].item() * rows[j, k].item()
    # the loops above run over k inside j, so every sum is in the order of j
    assert outer_products(factors, rows).tolist() == product


def problem(rows: int, columns: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight with zeros, equal weights, a zero row and a tiny one; inputs of which some are dead."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    weight[0, : columns // 2] = 0
    if rows > 3:
        weight[1] = 0
        weight[2, ::2] = weight[2, 0]
        weight[3] *= 1e-33
    hessian = correlated_hessian(columns, seed)
    dead = slice(columns // 3, columns // 3 + 2)
    hessian[dead], hessian[:, dead] = 0, 0
    return weight, hessian


@native
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("rows, columns", SHAPES)
def test_native_solver_is_bit_equal_to_the_reference(rows, columns, seed):
    weight, hessian = problem(rows, columns, seed)
    options = SolverOptions(largest=3 - seed)
    metric = prepare(columns, hessian, options)
    padded = torch.nn.functional.pad(weight.double(), (0, -columns % 6))[:, metric.order]
    found, expected = solve_natively(padded, metric, options), solve_rows(padded, metric, options)
    assert found is not None
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


@native
@pytest.mark.parametrize(
    "options",
    [
        SolverOptions(feedback_scales=(1.0,), sweeps=0),
        SolverOptions(feedback_scales=(0.9, 1.0, 1.15), sweeps=9, damping=1e-6),
        SolverOptions(ordered=False, largest=1),
    ],
)
def test_native_solver_is_bit_equal_for_other_switches(options):
    weight, hessian = problem(55, 130, seed=5)
    metric = prepare(130, hessian, options)
    padded = torch.nn.functional.pad(weight.double(), (0, -130 % 6))[:, metric.order]
    found = solve_natively(padded, metric, options)
    assert found is not None
    assert all(torch.equal(*pair) for pair in zip(found, solve_rows(padded, metric, options), strict=True))


@native
def test_without_kernels_and_with_any_number_of_threads_the_bytes_are_the_same(monkeypatch):
    weight, hessian = problem(150, 72, seed=6)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(solve(weight, hessian, SolverOptions()))
    finally:
        torch.set_num_threads(before)
    monkeypatch.setenv("FINEQ_NATIVE", "0")
    results.append(solve(weight, hessian, SolverOptions()))
    for other in results[1:]:
        assert torch.equal(other.blocks, results[0].blocks) and torch.equal(other.scales, results[0].scales)


@native
def test_what_the_kernel_cannot_do_it_leaves_to_the_reference():
    weight, hessian = problem(4, 18, seed=7)
    for options in (SolverOptions(breadth=4), SolverOptions(hessian="diagonal"), SolverOptions(hessian="identity")):
        metric = prepare(18, hessian, options)
        assert solve_natively(weight.double()[:, metric.order], metric, options) is None
    metric = prepare(18, hessian, SolverOptions())
    assert solve_natively(weight, metric, SolverOptions()) is None  # float32


def test_layers_that_share_a_metric_get_what_each_would_get_alone():
    weight, hessian = problem(30, 40, seed=8)
    metric = prepare(40, hessian, SolverOptions())
    for part in (weight[:10], weight[10:]):
        alone, shared = solve(part, hessian, SolverOptions()), solve(part, metric, SolverOptions())
        assert torch.equal(alone.blocks, shared.blocks) and torch.equal(alone.scales, shared.scales)
