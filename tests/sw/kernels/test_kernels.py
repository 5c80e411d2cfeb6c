"""Native kernels: the same bytes as the code that they stand in for, whatever the input and the threads."""

import itertools

import pytest
import torch

import fineq
from fineq import FineqError, PackedWeight, kernels
from fineq.kernels import libraries
from fineq.quantizer.checks import check_finite
from fineq.quantizer.native import quantize_rows
from fineq.quantizer.recipes import CHOICES, find_recipe
from fineq.quantizer.reference import quantize_reference

pytestmark = pytest.mark.skipif(not kernels.available(), reason=f"no native kernels: {kernels.reason()}")

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SWITCHES = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def heavy_tailed(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return random(rows, columns, seed=seed) * random(rows, columns, seed=seed + 1).abs() ** -0.7


def extremes(columns: int) -> torch.Tensor:
    weight = heavy_tailed(12, columns, 5)
    weight[0] = 0.0
    weight[1] = -0.0
    weight[2] *= 1e-44  # subnormal: counts as zero
    weight[3] = torch.where(weight[3] > 0, 3.38e38, -1e38)  # 4 x min overflows
    weight[4, 1:] = 0.0
    weight[5] *= 2.0**-96
    weight[6, ::2] = 0.0
    weight[7, columns // 2] = 1e30
    weight[8] = 2.0**-99 * torch.arange(columns)  # the largest decides, the others are far smaller
    weight[9] = -0.5
    weight[10] = torch.randint(-6, 7, (columns,), generator=torch.Generator().manual_seed(3)) / 2.0
    weight[11] = torch.where(weight[11] > 0, 6e-8, -6e-5)  # subnormal as float16
    return weight


@pytest.fixture
def without_kernels(monkeypatch):
    """Runs a function the other way."""

    def run(function, *arguments, **options):
        with monkeypatch.context() as context:
            context.setenv("FINEQ_NATIVE", "0")
            assert not kernels.available()
            return function(*arguments, **options)

    return run


@pytest.fixture
def calls(monkeypatch):
    """Names of the kernels that were used, in order: a test of a kernel that is not called proves nothing."""
    used = []
    original = libraries.kernel
    monkeypatch.setattr(libraries, "kernel", lambda name: used.append(name) or original(name))
    return used


@pytest.fixture
def threads(monkeypatch):
    """Sets the number of threads, which small work does not get otherwise."""
    return lambda count: monkeypatch.setattr(libraries, "thread_count", lambda work: count)


def assert_equal(native: PackedWeight, other: PackedWeight) -> None:
    assert torch.equal(native.scales, other.scales)
    assert torch.equal(native.blocks, other.blocks)
    assert (native.shape, native.axis, native.recipe) == (other.shape, other.axis, other.recipe)


# -- quantize --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", SWITCHES, ids=lambda options: "-".join(options.values()))
def test_quantize_gives_the_same_bytes(options, dtype, without_kernels, calls):
    for weight in (random(19, 391), heavy_tailed(37, 59), heavy_tailed(5, 3)):
        weight = weight.to(dtype)
        assert_equal(fineq.quantize(weight, **options), without_kernels(fineq.quantize, weight, **options))
    assert calls.count("quantize") >= 3


@pytest.mark.parametrize("recipe", ["paper", "paper-argmin", "mse"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_extremes_and_ties(recipe, dtype, without_kernels):
    for columns in (13, 24, 100):
        weight = extremes(columns).to(dtype)
        native = fineq.quantize(weight, recipe)
        assert_equal(native, without_kernels(fineq.quantize, weight, recipe))
        assert_equal(native, quantize_reference(weight, recipe))


@pytest.mark.parametrize("recipe", ["paper", "paper-column", "mse"])
def test_every_float16(recipe, without_kernels):
    values = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.float16)
    values = values[values.isfinite()].reshape(-1, 62)  # neighbours in a row are alike: rows of every magnitude
    assert_equal(fineq.quantize(values, recipe), without_kernels(fineq.quantize, values, recipe))


@pytest.mark.parametrize("recipe", ["paper", "paper-signed", "mse"])
def test_every_width(recipe, without_kernels):
    for columns in range(1, 101):
        weight = heavy_tailed(3, columns, columns)
        assert_equal(fineq.quantize(weight, recipe), without_kernels(fineq.quantize, weight, recipe))


@pytest.mark.parametrize("threshold", [0.3, 2.7, 1e30, 1e300])
def test_threshold(threshold, without_kernels):
    weight = extremes(50)
    for comparison in CHOICES["comparison"]:
        options = {"threshold": threshold, "comparison": comparison}
        assert_equal(fineq.quantize(weight, **options), without_kernels(fineq.quantize, weight, **options))


def test_views_of_a_larger_matrix(calls):
    whole = heavy_tailed(40, 60, 9)
    views = [whole.T, whole[::2, ::3], whole[:, 5:-7], whole[:1].expand(4, 60), whole[:, :1], whole.flip(0)]
    for view in [*views, *(view.half() for view in views)]:
        assert_equal(fineq.quantize(view, "paper"), quantize_reference(view))
        assert calls[-1] == "quantize"


@pytest.mark.parametrize("recipe", ["paper", "mse"])
def test_threads_change_nothing(recipe, threads):
    weight = heavy_tailed(150, 777)
    results = []
    for count in (1, 2, 3):
        threads(count)
        packed = fineq.quantize(weight, recipe)
        x = random(21, 777, seed=4)
        products = [kernels.linear(x[:tokens], packed.blocks, packed.scales, 777) for tokens in (1, 3, 8, 21)]
        results.append([packed.blocks, packed.scales, packed.codes(), packed.dequantize(torch.float16), *products])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
def test_the_first_bad_weight_is_named(value, dtype, threads, without_kernels):
    threads(3)
    weight = random(100, 43).to(dtype)  # of float16, the last three are not converted eight at a time
    weight[97, 2] = weight[53, 42] = weight[60, 0] = value
    word = "NaN" if value != value else "infinite"
    for recipe, position in (("paper", r"\[53, 42\]"), ("paper-column", r"\[60, 0\]")):
        for run in (lambda function, *arguments: function(*arguments), without_kernels):
            with pytest.raises(FineqError, match=rf"^layer{position} is {word}: all weights must be finite"):
                run(fineq.quantize, weight, recipe, "layer")


def test_the_rows_before_a_bad_one_are_good():
    weight = random(3, 30)
    weight[2, 7] = float("nan")
    blocks, scales = torch.empty(3, 14, dtype=torch.uint8), torch.empty(3)
    assert quantize_rows(weight, find_recipe("paper"), blocks, scales) == 2
    check_finite(weight[:2], "weight")
    assert torch.equal(blocks[:2], fineq.quantize(weight[:2], "paper").blocks)


def test_gradients_do_not_flow_through_the_quantizer():
    weight = random(4, 30).requires_grad_()
    packed = fineq.quantize(weight, "paper")
    assert not packed.scales.requires_grad and not packed.dequantize().requires_grad


# -- unpack ----------------------------------------------------------------------------------------------------


def random_blocks(rows: int, columns: int) -> PackedWeight:
    """Any bytes are blocks to who is not strict."""
    generator = torch.Generator().manual_seed(columns)
    blocks = torch.randint(0, 256, (rows, 7 * -(-columns // 24)), dtype=torch.uint8, generator=generator)
    return PackedWeight(blocks, torch.randn(rows, generator=generator), (rows, columns))


def test_unpack_gives_the_same_values(without_kernels, calls):
    for columns in (*range(1, 50), 391):
        packed = random_blocks(21, columns)
        assert torch.equal(packed.codes(), without_kernels(packed.codes))
        for dtype in (*DTYPES, torch.float64):
            native, other = packed.dequantize(dtype), without_kernels(packed.dequantize, dtype)
            assert native.dtype == dtype and torch.equal(native, other)
            assert torch.equal(native.signbit(), other.signbit())
    assert calls.count("unpack") >= 5 * 50


def test_unpack_by_column(without_kernels):
    packed = fineq.quantize(heavy_tailed(20, 31), "paper-column")
    assert torch.equal(packed.codes(), without_kernels(packed.codes))
    assert torch.equal(packed.dequantize(), without_kernels(packed.dequantize))
    assert packed.dequantize().is_contiguous()


def test_strict_unpack_tells_the_same_faults(without_kernels):
    faults = {
        "row 1, block 1, weight 0 is minus zero": [[0] * 14, [0] * 8 + [2, 0, 0, 0, 0, 0]],
        "row 0, block 1, weight 5 is not zero, yet the row ends at 27": [[0] * 9 + [1 << 2, 0, 0, 0, 0], [0] * 14],
    }
    for text, blocks in faults.items():
        packed = PackedWeight(torch.tensor(blocks, dtype=torch.uint8), torch.ones(2), (2, 27))
        packed.codes(strict=False)
        for run in (lambda function, **options: function(**options), without_kernels):
            with pytest.raises(FineqError, match=text):
                run(packed.codes, strict=True)


# -- multiply --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, columns", [(1, 1), (5, 3), (7, 24), (50, 100), (97, 2100)])
def test_linear_is_the_product_with_the_dequantized_matrix(rows, columns, calls):
    packed = fineq.quantize(heavy_tailed(rows, columns), "mse")
    exact = packed.dequantize(torch.float64)
    for tokens in (1, 2, 3, 4, 5, 8, 9, 16, 17, 24, 25, 32, 33, 47, 64):
        x = random(tokens, columns, seed=tokens)
        y = kernels.linear(x, packed.blocks, packed.scales, columns)
        assert y.shape == (tokens, rows) and calls[-1] == "linear"
        bound = x.double().abs() @ exact.abs().T  # of the sum of all terms: rounding errors are relative to it
        assert ((y - x.double() @ exact.T).abs() <= 1e-6 * bound + 1e-30).all()


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_linear_in_other_types_and_shapes(dtype, tolerance):
    packed = fineq.quantize(random(30, 50), "paper")
    x = random(2, 5, 100).to(dtype)[..., ::2]
    y = kernels.linear(x, packed.blocks, packed.scales, 50)
    assert y.dtype == dtype and y.shape == (2, 5, 30)
    expected = x.double() @ packed.dequantize(torch.float64).T
    assert torch.allclose(y.double(), expected, rtol=tolerance, atol=tolerance)


def test_linear_passes_on_nan():
    packed = fineq.quantize(random(6, 30), "paper")
    x = random(9, 30)
    x[4, 29] = float("nan")
    assert kernels.linear(x, packed.blocks, packed.scales, 30).isnan().all(dim=1).tolist() == [m == 4 for m in range(9)]


def test_linear_leaves_what_it_cannot_do():
    packed = fineq.quantize(random(6, 30), "paper")
    x = random(2, 30)

    def declined(x=x, blocks=packed.blocks, scales=packed.scales, length=30):
        return kernels.linear(x, blocks, scales, length) is None

    assert not declined()
    assert declined(x.double()) and declined(x[:0]) and declined(x[:, :29]) and declined(x.requires_grad_())
    x = x.detach()
    assert declined(x.expand(40, 2, 30)), "many tokens"
    assert declined(x, packed.blocks[:, :7]) and declined(x, packed.blocks[:5]) and declined(x, packed.blocks.int())
    assert declined(x, packed.blocks, packed.scales.double()) and declined(x, packed.blocks.to("meta"))
    assert kernels.dequantize(packed.blocks[:, :7], packed.scales, 30, torch.float32) is None
    assert kernels.dequantize(packed.blocks, packed.scales, 30, torch.int8) is None


# -- CUDA ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the torch path is tested on the CPU only")
@pytest.mark.parametrize("recipe", ["paper", "paper-signed", "paper-column", "mse"])
def test_cuda_gives_the_same_bytes(recipe, calls):
    for weight in (heavy_tailed(70, 391), extremes(100), heavy_tailed(40, 50).half()):
        on_device = fineq.quantize(weight.cuda(), recipe)
        assert "quantize" not in calls
        assert_equal(fineq.quantize(weight, recipe), on_device)
        calls.clear()
