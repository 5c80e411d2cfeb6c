"""Measures the points of a space on all cores or on a cluster, keeps each at once, and finds the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fineq.common.errors import FineqError
from fineq.distributed.cluster import Cluster
from fineq_sim.explore.cluster import measured_on
from fineq_sim.explore.points import Exploration, measure
from fineq_sim.explore.store import Store

GOALS = ("mm2", "joule_low", "seconds")
"""What is to be small: area of array and SRAM, energy with the lower DRAM figure, time."""

Found = tuple[dict[str, Any], dict[str, Any]]
"""A point and what was found of it."""


def search(
    exploration: Exploration,
    store: Store,
    jobs: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cluster: Cluster | None = None,
) -> tuple[list[Found], list[Found]]:
    """Measure every point that is not kept yet.

    Args:
        exploration: what is explored.
        store: of points.
        jobs: processes.
        progress: told how many are done, of how many.
        cluster: whose processors measure, in the place of processes here.

    Returns:
        Points with what was found, and points that cannot be built with the reason, in the order of the space.

    Raises:
        FineqError: joblib is missing, the cluster fails, a kind of array has not been synthesised, or no machine can be
            built.
    """
    points = list(exploration.space.points())
    waiting = [point for point in points if store.find(point) is None]
    done = len(points) - len(waiting)
    progress(done, len(points))
    # In no order, so that a run that is stopped has something of everything, and the time left is told well.
    order = np.random.default_rng(len(waiting)).permutation(len(waiting)).tolist()
    for point, found in _measured(exploration, [waiting[number] for number in order], jobs, cluster):
        store.add(point, found)
        done += 1
        progress(done, len(points))
    together = [(point, store.find(point) or {}) for point in points]
    good = [each for each in together if "refused" not in each[1]]
    bad = [each for each in together if "refused" in each[1]]
    if not good:
        raise FineqError(f"no machine of the space can be built: {bad[0][1]['refused']}")
    return good, bad


def _measured(exploration: Exploration, points: Sequence[dict[str, Any]], jobs: int, cluster: Cluster | None) -> Any:
    if cluster is not None:
        return measured_on(cluster, exploration, points)
    if jobs == 1 or len(points) < 2:
        return ((point, measure(exploration, point)) for point in points)
    try:
        from joblib import Parallel, delayed
    except ImportError as error:
        raise FineqError("several processes need the package joblib: pip install joblib, or --jobs 1") from error
    calls = (delayed(_pair)(exploration, point) for point in points)
    return Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(calls)


def _pair(exploration: Exploration, point: dict[str, Any]) -> Found:
    return point, measure(exploration, point)


def pareto(found: Sequence[Found], goals: Sequence[str] = GOALS) -> list[Found]:
    """Points of which no other is at least as good in every goal and better in one; the first of equals."""
    order = sorted(found, key=lambda each: tuple(each[1][goal] for goal in goals))
    best: list[Found] = []
    for each in order:
        values = [each[1][goal] for goal in goals]
        if not any(_covers([other[1][goal] for goal in goals], values) for other in best):
            best.append(each)
    return best


def _covers(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def best_by_product(found: Sequence[Found], count: int) -> list[Found]:
    """Points whose area x energy x time is smallest."""
    return sorted(found, key=lambda each: product(each[1]))[:count]


def product(found: Mapping[str, Any]) -> float:
    """Area x energy x time."""
    return found["mm2"] * found["joule_low"] * found["seconds"]
