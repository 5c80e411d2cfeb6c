"""How many steps the weight vectors of a layer take: from its codes, from a measurement, or a printed range.

The array's pace depends on the weights. Where they are not known, a range of measured models stands for them, and every
result is a range; the pace of Gaussian weights is only taken if it is asked for by name.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fineq.common.errors import FineqError
from fineq_hw.config import AcceleratorConfig, MacConfig
from fineq_hw.interface.descriptors import inner_tiles
from fineq_sim.perf.jobs import code_steps, even_steps, longest_steps
from fineq_sim.study.results import MissingResults
from fineq_sim.workloads.work import Linear

MEASURED = "encodings.csv"
RECIPE = "paper"
"""Recipe whose measured models give the range."""


class StepsError(FineqError):
    """Steps that cannot be; the text says why."""


@dataclass(frozen=True)
class Bound:
    """One assumption about all layers whose weights are not known.

    Attributes:
        name: `given`, or `low` and `high` of a range.
        shares: of vectors that take 1, 2, ... steps.
    """

    name: str
    shares: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Steps of a vector."""
        return sum(share * steps for steps, share in enumerate(self.shares, 1))


ONE_STEP = Bound("given", (1.0,))
"""Codes whose magnitudes are at most 1."""


@dataclass(frozen=True)
class StepSource:
    """What is known of the steps.

    Attributes:
        bounds: one, or the ends of a range.
        said: where they come from, in words.
        early_termination: vectors end with their largest magnitude.
    """

    bounds: tuple[Bound, ...]
    said: str
    early_termination: bool = True

    def table(self, config: AcceleratorConfig, linear: Linear, bound: Bound) -> np.ndarray:
        """Steps of each weight vector of a layer, uint8 [inner tiles, N]: of its own codes where they are known."""
        tiles = inner_tiles(linear.inner, config)
        if isinstance(config.array, MacConfig):
            return even_steps(tiles, linear.channels, 1)
        if linear.codes is not None:
            return code_steps(linear.codes(), config, self.early_termination)
        return spread(bound.shares, tiles, linear.channels)


@lru_cache(maxsize=64)
def spread(shares: tuple[float, ...], tiles: int, channels: int) -> np.ndarray:
    """Vectors of 1, 2, ... steps in these shares, in a seeded random order, uint8 [tiles, channels], not to be written.

    The last ones are kept, since the machines of an exploration ask for the same ones again.
    """
    ends = np.round(np.cumsum(shares) * tiles * channels).astype(np.int64)
    table = 1 + np.searchsorted(ends, np.arange(tiles * channels), side="right").astype(np.uint8)
    np.random.default_rng(tiles * 65537 + channels).shuffle(table)
    table.setflags(write=False)
    return table.reshape(tiles, channels)


def mean_shares(mean: float, longest: int) -> tuple[float, ...]:
    """Shares of the two neighbouring whole numbers whose mean is given."""
    low = min(int(mean), longest)
    shares = [0.0] * longest
    shares[low - 1] = 1 - (mean - low)
    if low < longest:
        shares[low] = mean - low
    return tuple(shares)


def find_steps(source: str | None, config: AcceleratorConfig, results: Path, packed: bool) -> StepSource:
    """What a study takes for the steps.

    Args:
        source: `packed`; `all`; shares such as `0.12,0.77,0.11`; `DATA/RECIPE` of docs/results/encodings.csv, with the
            recipe's cycle weight behind a colon if it has one; None: the codes if there are any, else the range.
        config: the machine.
        results: directory of measurements.
        packed: the workload knows its own codes.

    Raises:
        StepsError, MissingResults: the source is unknown, impossible, or has not been measured.
    """
    longest = longest_steps(config)
    if isinstance(config.array, MacConfig):
        return StepSource((ONE_STEP,), "one step per vector: a MAC array")
    if source == "packed" and not packed:
        raise StepsError("--steps packed needs a packed checkpoint: this workload has no codes of its own")
    if packed and source in (None, "packed"):
        return StepSource((Bound("given", mean_shares(longest, longest)),), "the workload's own codes")
    if packed and source != "all":
        raise StepsError(f"--steps {source} with a packed checkpoint: its own codes decide, choose packed or all")
    if source == "all":
        shares = (0.0,) * (longest - 1) + (1.0,)
        return StepSource((Bound("given", shares),), f"{longest} steps per vector: no early termination", False)
    if source is not None and _is_list(source):
        return _given(source, longest)
    rows = _measured(results)
    column = f"cycles_{config.array.encoding}"
    if source is None:
        real = [row for row in rows if row["recipe"] == RECIPE and row["perplexity"]]
        if not real:
            raise MissingResults(
                f"{results / MEASURED} has no model with recipe {RECIPE}: make it with `fineq encodings`"
            )
        means = sorted((float(row[column]), row["data"]) for row in real)
        (low, low_name), (high, high_name) = means[0], means[-1]
        said = (
            f"{low:.2f} to {high:.2f} steps per vector: the range of {len(real)} measured models, {low_name} to "
            f"{high_name}, recipe {RECIPE} ({MEASURED}); the weights of this workload are not known"
        )
        return StepSource(
            (Bound("low", mean_shares(low, longest)), Bound("high", mean_shares(high, longest))), said
        )  # fmt: skip
    found = [row for row in rows if source in _row_names(row, config.array.encoding)]
    if len(found) != 1:
        names = sorted({f"{row['data']}/{row['recipe']}" for row in rows if not float(row["cycle_weight"])})
        raise StepsError(
            f"--steps {source} is no source: choose packed, all, shares such as 0.12,0.77,0.11, or a measurement: "
            f"{', '.join(names)}"
        )
    mean = float(found[0][column])
    return StepSource(
        (Bound("given", mean_shares(mean, longest)),), f"{mean:.3f} steps per vector: measured, {source} ({MEASURED})"
    )  # fmt: skip


def _row_names(row: dict[str, str], encoding: str) -> set[str]:
    name = f"{row['data']}/{row['recipe']}"
    if not float(row["cycle_weight"]):
        return {name}
    return {f"{name}:{row['cycle_weight']}"} if row["for_encoding"] == encoding else set()


def _is_list(source: str) -> bool:
    try:
        return bool([float(part) for part in source.split(",")])
    except ValueError:
        return False


def _given(source: str, longest: int) -> StepSource:
    shares = tuple(float(part) for part in source.split(","))
    if len(shares) > longest or min(shares) < 0 or not abs(sum(shares) - 1) < 0.005:
        raise StepsError(f"--steps {source}: give the shares of vectors that take 1 to {longest} steps, together 1")
    total = sum(shares)
    bound = Bound("given", tuple(share / total for share in shares))
    return StepSource((bound,), f"{bound.mean:.3f} steps per vector: shares {source} given")


def _measured(results: Path) -> list[dict[str, str]]:
    path = results / MEASURED
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise MissingResults(
            f"there is no {path} with measured steps: make it with `fineq encodings`, or say --steps all or shares"
        ) from error
