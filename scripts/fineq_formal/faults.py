"""Planted faults that proofs must notice: those of `tests/faults` that name a proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fineq.common.errors import FineqError
from fineq_sim.runs.mutation import OUTCOMES, Fault, FaultOutcome, load_faults, mutate
from fineq_sim.runs.runner import default_cache


def proof_faults(directory: Path, only: str | None = None) -> list[Fault]:
    """Faults whose proof contains a text, or all that have one.

    Raises:
        MutationError: as `load_faults`.
        FineqError: no fault has a proof.
    """
    faults = [fault for fault in load_faults(directory) if fault.proof]
    if not faults:
        raise FineqError(f"no fault in {directory} names a proof: give the directory of a clone with --fault-directory")
    return [fault for fault in faults if only is None or only in fault.proof or fault.proof in only]


def plant(repository: Path, output: Path, faults: Sequence[Fault], jobs: int) -> Iterator[FaultOutcome]:
    """Plant each fault in a copy of the sources, and yield what its proof says; proofs run side by side.

    Raises:
        MutationError: as `mutate`.
    """
    checks = sorted({fault.check for fault in faults})
    shares: list[list[Fault]] = [[] for _ in range(jobs)]
    for check in checks:  # the unchanged copy is checked once for all faults of a proof
        min(shares, key=len).extend(fault for fault in faults if fault.check == check)
    with ThreadPoolExecutor(jobs) as pool:
        runs = [
            pool.submit(
                lambda share, place: list(mutate(repository, place, share, kept=default_cache() / OUTCOMES)),
                share,
                output / f"share-{number}",
            )
            for number, share in enumerate(shares)
            if share
        ]
        for run in runs:
            yield from run.result()
