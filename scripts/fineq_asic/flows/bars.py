"""What the arrays are meant to reach at 64x64, and whether a run reaches it: computed, never typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fineq_asic.flows.results import Result, SynthesisRun
from fineq_asic.power.liberty_power import Power

SIZE = "64x64"
"""The size that the bars are meant for; smaller arrays carry more overhead per element."""


@dataclass(frozen=True)
class Bar:
    """One bar and its outcome.

    Attributes:
        text: what is asked for.
        limit: the figure, as text with its unit.
        design: title of the design that comes closest, or what is missing.
        found: its figure, as text.
        met: the outcome; None if it cannot be judged.
    """

    text: str
    limit: str
    design: str
    found: str
    met: bool | None


def bars(run: SynthesisRun) -> list[Bar]:
    """All bars for a run; empty without both FineQ designs and a 3-bit MAC array."""
    arrays, macs = run.arrays, run.narrow_macs
    if not arrays or not macs:
        return []
    small = min(macs, key=lambda r: r.total_area)
    unary = [result for result in arrays if result.encoding == "unary"]
    found = []
    if unary:
        text = "unary array smaller than the smallest 3-bit MAC array"
        found += [
            _bar("area of a unary array per processing element", 85, unary, lambda r: r.area_per_element, "µm²", 1),
            _bar(text, 65, unary, lambda r: _less(r, small), "%", 1, True),
        ]
    wide = [name for name, data in run.cycles.items() if not data.model and data.recipe == "paper"]
    models = [name for name, data in run.cycles.items() if data.model]
    text = "area x cycles per MAC, best encoding, rows of 4096 columns, recipe paper"
    found.append(_area_cycles(run, text, 105, wide))
    found.append(_area_cycles(run, "the same on every model and recipe", 135, models))
    kinds: tuple[tuple[str, Callable[[Result], Power]], ...] = (
        ("", lambda r: r.total_power),
        (", glitches counted", lambda r: r.total_power_with_glitches),
    )
    for words, get in kinds:
        frugal = min(get(mac).total for mac in macs)
        energy = min(mac.energy(get(mac)) for mac in macs)
        found.append(
            _bar(
                f"power below the most frugal 3-bit MAC array{words}",
                68,
                arrays,
                partial(_power_below, get, frugal),
                "%",
                1,
                True,
            )
        )
        found.append(
            _bar(
                f"energy per MAC better than that of any 3-bit MAC array{words}",
                2.4,
                arrays,
                partial(_energy_gain, get, energy),
                "x",
                2,
                True,
            )
        )
    heaviest = max(arrays, key=lambda r: r.decoder_share)
    text = "decoders as a share of the array, in every array"
    found.append(_bar(text, 1.5, [heaviest], lambda r: 100 * r.decoder_share, "%", 2))
    worst = min(run.results, key=lambda r: r.timing.worst_slack_ns)
    slack = worst.timing.worst_slack_ns
    title = f"{worst.design.title} is the slowest"
    found.append(Bar(f"every design at {1000 / run.clock_ns:g} MHz", ">= 0 ns", title, f"{slack:+.3f} ns", slack >= 0))
    return found


def _power_below(power: Callable[[Result], Power], frugal: float, result: Result) -> float:
    return 100 * (1 - power(result).total / frugal)


def _energy_gain(power: Callable[[Result], Power], energy: float, result: Result) -> float:
    return energy / result.energy(power(result))


def _less(result: Result, baseline: Result) -> float:
    return 100 * (1 - result.total_area / baseline.total_area)


def _bar(
    text: str,
    limit: float,
    results: list[Result],
    value: Callable[[Result], float],
    unit: str,
    digits: int,
    at_least: bool = False,
) -> Bar:
    best = max(results, key=value) if at_least else min(results, key=value)
    figure = value(best)
    met = figure >= limit if at_least else figure <= limit
    sign = ">=" if at_least else "<="
    return Bar(text, f"{sign} {limit:g} {unit}", best.design.title, f"{figure:.{digits}f} {unit}", met)


def _area_cycles(run: SynthesisRun, text: str, limit: float, data: list[str]) -> Bar:
    """Judged on the data set that is worst for the design; the design that does best then counts."""
    asked = f"<= {limit:g} µm²"
    if not data:
        return Bar(text, asked, "no such data in this run", "", None)

    def worst(result: Result) -> float:
        return max(result.area_per_element * run.cycles_of(result, name) for name in data)

    best = min(run.arrays, key=worst)
    return Bar(text, asked, best.design.title, f"{worst(best):.1f} µm²", worst(best) <= limit)
