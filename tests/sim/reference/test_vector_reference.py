"""The arithmetic of the vector unit against exact fractions, and its tables against the functions themselves."""

import hashlib
import math
import random
from fractions import Fraction

import numpy as np
import pytest

from fineq_hw.interface.jobs import FRACTION_BITS, ActivationFunction, OutputFormat
from fineq_hw.vector.activation_functions import MAX_ERRORS, TABLE_FUNCTIONS, base_bits, delta_bits, table
from fineq_sim.reference.vector_unit import (
    MAX_MULTIPLIER,
    MAX_SHIFT,
    VectorSettings,
    apply_function,
    fixed_point_scales,
    requantize_constants,
    round_shift,
    saturate,
    to_fixed,
    vector_unit,
)

INT32 = (-(1 << 31), (1 << 31) - 1)
ONE = 1 << FRACTION_BITS


def exact_function(function: ActivationFunction, x: float) -> float:
    if function is ActivationFunction.SILU:
        return x / (1 + math.exp(-x)) if x > -700 else 0.0
    if function is ActivationFunction.GELU:
        return x * 0.5 * math.erfc(-x / math.sqrt(2))
    return max(x, 0.0) if function is ActivationFunction.RELU else x


def clamp(value: int, low: int = INT32[0], high: int = INT32[1]) -> int:
    return max(low, min(high, value))


# -- rounding and saturation -----------------------------------------------------------------------------------


def test_round_shift_is_that_of_exact_fractions():
    numbers = random.Random(1)
    values = [0, 1, -1, 2, 3, -3, 5, 7, -(1 << 63) + 1, (1 << 63) - 1, 1 << 62, -(1 << 62), 3 << 61, -3 << 61]
    values += [numbers.getrandbits(63) * numbers.choice((-1, 1)) for _ in range(200)]
    values += [(2 * numbers.randrange(1 << 30) + 1) << numbers.randrange(20) for _ in range(200)]  # many exact halves
    for shift in range(111):
        rounded = round_shift(values, shift)
        # Python rounds fractions half to even.
        assert rounded.tolist() == [round(Fraction(value, 1 << shift)) for value in values], f"shift {shift}"


def test_round_shift_takes_a_shift_for_each_value():
    assert round_shift([[5, 6, 7]], [[0], [1], [2], [64]]).tolist() == [[5, 6, 7], [2, 3, 4], [1, 2, 2], [0, 0, 0]]


def test_saturate():
    assert saturate([INT32[0] - 1, INT32[0], 0, INT32[1], INT32[1] + 1]).tolist() == [INT32[0], INT32[0], 0] + 2 * [
        INT32[1]
    ]
    assert saturate([200, -200], 8).tolist() == [127, -128]


# -- activation functions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", list(ActivationFunction))
def test_error_of_the_function_at_every_argument_of_the_table(function):
    """Beyond the table the result is relu(x), and the error is that of g at its end at most."""
    end = table(function).end if function in TABLE_FUNCTIONS else ONE
    assert end >= ONE
    x = np.arange(-end - 2, end + 3)
    exact = np.array([exact_function(function, value / ONE) for value in x.tolist()])
    errors = np.abs(apply_function(function, x) / ONE - exact)
    largest = errors.max()
    assert largest <= MAX_ERRORS[function] <= 1e-4
    assert largest >= 0.95 * MAX_ERRORS[function], f"the stated bound could be {largest:.2e}"
    # Outside: relu exactly, and the rest has died out.
    far = np.array([*INT32, -end, end, end + 12345, -end - 999, 1 << 30])
    relu = far if function is ActivationFunction.NONE else np.maximum(far, 0)
    assert apply_function(function, far).tolist() == relu.tolist()
    assert abs(exact_function(function, -end / ONE)) <= MAX_ERRORS[function] or function not in TABLE_FUNCTIONS


@pytest.mark.parametrize("function", TABLE_FUNCTIONS)
def test_function_is_exact_at_zero_and_has_no_jumps(function):
    assert apply_function(function, 0) == 0
    x = np.arange(-table(function).end - 5, table(function).end + 5)
    y = apply_function(function, x)
    # Slopes of SiLU and GELU lie between -0.13 and 1.13: neighbours differ by at most 2 steps.
    assert np.abs(np.diff(y)).max() <= 2
    # f(x) - f(-x) = x
    assert np.array_equal(y - apply_function(function, -x), x)


def test_tables_are_what_they_were():
    """The numbers come from the C library's exp and erfc: a platform on which one rounds otherwise shall be noticed."""
    text = "".join(f"{table(f).bases}{table(f).deltas}" for f in TABLE_FUNCTIONS)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "5e0bd22c5df25070"
    assert base_bits() == 17 and delta_bits() == 13


def test_no_table_for_relu():
    with pytest.raises(ValueError, match="^RELU has no table: choose one of SILU, GELU$"):
        table(ActivationFunction.RELU)


# -- the whole unit --------------------------------------------------------------------------------------------


def by_fractions(settings: VectorSettings, value: int, cm: int, cs: int, bias: int, tm: int, ts: int) -> int:
    """One result, from the definition in docs/hardware/vector-unit.md, without fixed widths (not for SILU and GELU)."""
    shift = max(cs + ts - FRACTION_BITS, 0)
    scaled = clamp(round(Fraction(value * cm * tm, 1 << shift)))
    activated = clamp(scaled + bias)
    if settings.function is ActivationFunction.RELU:
        activated = max(activated, 0)
    if settings.output_format is OutputFormat.FIXED:
        return activated
    fraction = Fraction(activated * settings.requantize_multiplier, 1 << settings.requantize_shift)
    return clamp(round(fraction), -127, 127)


@pytest.mark.parametrize("function", [ActivationFunction.NONE, ActivationFunction.RELU])
@pytest.mark.parametrize("output_format", [OutputFormat.FIXED, OutputFormat.INT8])
def test_unit_is_that_of_exact_fractions(function, output_format):
    numbers = random.Random(7)
    for _ in range(40):
        settings = VectorSettings(
            output_format, function, numbers.choice([1, 3, 40000, MAX_MULTIPLIER]), numbers.choice([0, 1, 20, 31, 63])
        )
        tokens, channels = 3, 5
        bits = numbers.randrange(1, 32)
        sums = [
            [clamp(numbers.choice([numbers.getrandbits(bits), -numbers.getrandbits(bits), *INT32])) for _ in range(5)]
            for _ in range(tokens)
        ]
        cm = [numbers.choice([0, 1, 2, MAX_MULTIPLIER, numbers.getrandbits(16)]) for _ in range(channels)]
        cs = [numbers.randrange(MAX_SHIFT + 1) for _ in range(channels)]
        bias = [numbers.choice([0, 1, *INT32, numbers.getrandbits(20) - (1 << 19)]) for _ in range(channels)]
        tm = [numbers.choice([1, MAX_MULTIPLIER, numbers.getrandbits(16)]) for _ in range(tokens)]
        ts = [numbers.randrange(MAX_SHIFT + 1) for _ in range(tokens)]
        result = vector_unit(settings, sums, cm, cs, bias, tm, ts)
        assert result.dtype == (np.int32 if output_format is OutputFormat.FIXED else np.int8)
        assert result.tolist() == [
            [by_fractions(settings, sums[t][c], cm[c], cs[c], bias[c], tm[t], ts[t]) for c in range(channels)]
            for t in range(tokens)
        ]


def test_unit_computes_a_real_layer():
    """Scales as real numbers in, real numbers out: within the precision of the multipliers and of Q15.16."""
    numbers = np.random.default_rng(5)
    sums = numbers.integers(-200_000, 200_000, (6, 9))
    weight_scales, token_scales = numbers.uniform(1e-3, 0.1, 9), numbers.uniform(1e-4, 1e-2, 6)
    bias = numbers.normal(size=9)
    exact = sums * weight_scales * token_scales[:, None] + bias
    channel, token = fixed_point_scales(weight_scales), fixed_point_scales(token_scales)
    fixed = vector_unit(VectorSettings(), sums, *channel, to_fixed(bias), *token)
    assert np.all(np.abs(fixed / ONE - exact) <= np.abs(exact - bias) * 2.0**-15 + 2.0**-FRACTION_BITS)

    silu = vector_unit(VectorSettings(function=ActivationFunction.SILU), sums, *channel, to_fixed(bias), *token)
    exact_silu = np.vectorize(lambda x: exact_function(ActivationFunction.SILU, x))(fixed / ONE)
    assert np.abs(silu / ONE - exact_silu).max() <= MAX_ERRORS[ActivationFunction.SILU]

    step = np.abs(exact).max() / 127
    settings = VectorSettings(OutputFormat.INT8, ActivationFunction.NONE, *requantize_constants(step))
    int8 = vector_unit(settings, sums, *channel, to_fixed(bias), *token)
    assert np.abs(int8 * step - exact).max() <= 0.5 * step + 0.02
    assert np.abs(int8).max() == 127


def test_sums_pass_unchanged():
    sums = [[*INT32, 0, -1]]
    result = vector_unit(VectorSettings(OutputFormat.SUMS), sums, 3, 4, 5, 6, 7)
    assert result.dtype == np.int32 and result.tolist() == sums


# -- scales ----------------------------------------------------------------------------------------------------


def test_scales_are_precise_over_the_whole_range():
    numbers = np.random.default_rng(3)
    scales = np.exp2(numbers.uniform(-48, 15.9, 5000))
    multipliers, shifts = fixed_point_scales(scales)
    assert multipliers.min() >= 1 << 15 and multipliers.max() <= MAX_MULTIPLIER
    assert shifts.min() >= 0 and shifts.max() <= MAX_SHIFT
    assert np.abs(multipliers / np.exp2(shifts) / scales - 1).max() <= 2.0**-16


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (1.0, (1 << 15, 15)),
        (0.5, (1 << 15, 16)),
        (65535.0, (65535, 0)),
        (65535.4, (65535, 0)),
        (0.99999999, (1 << 15, 15)),
        (2.0**-63, (1, 63)),
        (2.0**-63 * 0.6, (1, 63)),
        (3 * 2.0**-60, (24, 63)),
    ],
)
def test_scales_at_the_corners(scale, expected):
    multiplier, shift = fixed_point_scales(scale)
    assert (int(multiplier), int(shift)) == expected


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: fixed_point_scales([1.0, 0.0]), "a scale is 0.0: scales must be positive and finite"),
        (lambda: fixed_point_scales(-2.5), "a scale is -2.5: scales must be positive and finite"),
        (lambda: fixed_point_scales(math.nan), "a scale is nan: scales must be positive and finite"),
        (lambda: fixed_point_scales(math.inf), "a scale is inf: scales must be positive and finite"),
        (lambda: fixed_point_scales(65535.5), "a scale is 65535.5: the largest possible is 65535"),
        (lambda: fixed_point_scales([1.0, 1e9]), "a scale is 1000000000.0: the largest possible is 65535"),
        (lambda: fixed_point_scales(1e-20), "a scale is 1e-20: the smallest possible is 1.0842021724855044e-19"),
        (lambda: requantize_constants(0), "output_scale is 0: scales must be positive and finite"),
        (lambda: to_fixed([0.0, 32768.0]), "a value lies outside -32768 .. 32768"),
        (lambda: to_fixed(math.nan), "a value lies outside -32768 .. 32768"),
        (
            lambda: VectorSettings(requantize_multiplier=65536),
            "requantize_multiplier is 65536: it must lie between 0 and 65535",
        ),
        (lambda: VectorSettings(requantize_shift=64), "requantize_shift is 64: it must lie between 0 and 63"),
        (
            lambda: VectorSettings(OutputFormat.SUMS, ActivationFunction.GELU),
            "the output format SUMS knows no activation function: use NONE, not GELU",
        ),
        (lambda: vector_unit(VectorSettings(), [1, 2]), "sums has 1 dimensions: give [tokens, channels]"),
        (
            lambda: vector_unit(VectorSettings(), [[1 << 31]]),
            "sums holds 2147483648: it must lie between -2147483648 and 2147483647",
        ),
        (lambda: vector_unit(VectorSettings(), [[1]], [-1]), "channel_multiplier holds -1: it must lie between 0 and"),
        (
            lambda: vector_unit(VectorSettings(), [[1]], token_shift=[64]),
            "token_shift holds 64: it must lie between 0 and 63",
        ),
    ],
)
def test_error_texts(make, text):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(text)


def test_largest_bias_fits():
    assert to_fixed(32768 - 2.0**-16) == INT32[1]
    assert to_fixed(-32768.0) == INT32[0]
