"""`fineq mutants`: faults made by rule, against benches and proofs (docs/flows/verification.md).

    fineq mutants                                       # all blocks
    fineq mutants --only tile_walk --count 20
    fineq mutants --results docs/results                # writes mutants.md and mutants.json there
    fineq mutants --kept                                # what is known while another run goes on

What a run finds out is kept, so a run that was stopped goes on where it was. The data of a report carry all verdicts
behind it: on another machine those hold whose circuit, fault, bench and programs are the same.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text


def mutants(
    output: Annotated[Path, typer.Option(help="Directory for the report, models and kept verdicts.")] = Path(
        "build/mutants"
    ),
    count: Annotated[int, typer.Option(min=1, help="Mutants over all blocks.")] = 500,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Chooses the mutants; also the seed of the benches.")
    ] = 1,
    only: Annotated[str | None, typer.Option(help="Only mutants of the block of this name.")] = None,
    part: Annotated[str, typer.Option(help="I/N: the I-th of N shares of the blocks, to run side by side.")] = "1/1",
    limit: Annotated[float, typer.Option(min=1, help="Seconds after which a proof is given up.")] = 10,
    goal: Annotated[float, typer.Option(min=0, max=100, help="Score in percent that every block must have.")] = 95,
    explanations: Annotated[Path, typer.Option(help="Why survivors survive.")] = Path("tests/mutants/survivors.toml"),
    results: Annotated[Path | None, typer.Option(help="Directory to write mutants.md and mutants.json to.")] = None,
    earlier: Annotated[Path, typer.Option(help="Data of the report whose verdicts hold where nothing changed.")] = Path(
        "docs/results/mutants.json"
    ),
    fresh: Annotated[bool, typer.Option("--fresh", help="Take no verdict from that report.")] = False,
    kept: Annotated[bool, typer.Option(help="Run nothing: report what earlier runs found out.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Print the mutants and end.")] = False,
) -> None:
    """Plant faults by rule in the netlists; benches or proofs must notice them, or they are proven equivalent."""
    from fineq_formal.tools import find_provers
    from fineq_mutants import report
    from fineq_mutants.campaign import Campaign, Places
    from fineq_mutants.circuits import all_circuits
    from fineq_mutants.matching import find_holders, tried_circuits
    from fineq_mutants.sampling import sample
    from fineq_mutants.verdicts import Verdicts, verdicts_of
    from fineq_sim.runs import simulators
    from fineq_sim.runs.runner import default_cache

    _share([], part)
    verdicts = Verdicts(output / "kept", {} if fresh else verdicts_of(earlier))
    why = report.load_explanations(explanations) if explanations.is_file() else {}
    circuits = all_circuits(verdicts.directory)
    holders = find_holders(circuits, default_cache())
    planted = chosen = sample(tried_circuits(circuits, holders), count, seed)
    if only is not None:
        known = sorted({mutant.block for mutant in chosen})
        if only not in known:
            raise FineqError(f"no block {only!r}: choose from {', '.join(known)}")
        chosen = [mutant for mutant in chosen if mutant.block == only]
    chosen = _share(chosen, part)
    if listed:
        for mutant in chosen:
            typer.echo(f"{mutant.number} {mutant.block} {mutant.site.kind} {mutant.site.text} {mutant.site.source}")
        return
    provers = find_provers()
    for simulator in simulators.SIMULATORS:
        simulators.require(simulator)
    by_name = {circuit.module: circuit for circuit in circuits}
    places = Places(output / f"work-{part.replace('/', '-')}", default_cache())
    campaign = Campaign(by_name, holders, provers, places, verdicts, seed, limit, kept)
    outcomes = []
    started = time.monotonic()
    for outcome in campaign.run(chosen, planted):
        outcomes.append(outcome)
        passed = time.monotonic() - started
        left = passed / len(outcomes) * (len(chosen) - len(outcomes))
        mutant = outcome.mutant
        typer.echo(
            f"[{len(outcomes):3}/{len(chosen)}, {left / 60:.0f} min left] {mutant.block} {mutant.site.text}: "
            f"{outcome.result} {outcome.by}"
        )
    outcomes.sort(key=lambda outcome: outcome.mutant.number)
    options = {"--only": only, "--part": None if part == "1/1" else part, "--count": str(count), "--seed": str(seed)}
    options["--limit"] = f"{limit:g}"
    words = [word for name, value in options.items() if value is not None for word in (name, value)]
    versions = [*provers.versions(), *map(simulators.version, simulators.SIMULATORS)]
    text = report.markdown(outcomes, why, " ".join(["fineq mutants", *["--kept"] * kept, *words]), seed, versions)
    data = report.data(outcomes, seed, verdicts.used)
    for directory in {output, results} - {None}:
        assert directory is not None
        write_text(directory / "mutants.json", data)
        typer.echo(f"wrote {write_text(directory / 'mutants.md', text)}")
    blocks = sorted({outcome.mutant.block for outcome in outcomes})
    scores = {block: 100 * report.score([o for o in outcomes if o.mutant.block == block]) for block in blocks}
    if low := [f"{block} {value:.1f}" for block, value in scores.items() if value < goal]:
        raise CheckFailed(f"{len(low)} of {len(blocks)} blocks score less than {goal:g} %: {', '.join(low)}")


def _share(chosen: list, part: str) -> list:
    """Mutants of every N-th block."""
    first, _, shares = part.partition("/")
    if not (first.isdigit() and shares.isdigit() and 1 <= int(first) <= int(shares)):
        raise FineqError(f"--part is {part!r}: give it as I/N, such as 1/2")
    blocks = sorted({mutant.block for mutant in chosen})[int(first) - 1 :: int(shares)]
    return [mutant for mutant in chosen if mutant.block in blocks]
