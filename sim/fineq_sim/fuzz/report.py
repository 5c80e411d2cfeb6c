"""The page of the fuzz: what was tried, and what came of it."""

from __future__ import annotations

from fineq.common.markdown import table
from fineq_sim.fuzz.tally import History, Tally

_FILES = """\
## Packed files

{count:,} mutants of packed checkpoints in {seconds:,.0f} s ({rate:,.0f} a second of processor time), seeds {seeds};
{corpus} checkpoints in the corpus. {accepted:,} were accepted: they hold what their bytes say, also to a second reader
(`fineq_sim.fuzz.files.reference`) and to the safetensors library. {refused:,} were refused, each with one sentence;
of every fourth with honest checksums the second reader says that it had to be. {faults:,} were faults of the reader.

"""

_MACHINE = """\
## Descriptors and registers

{cases:,} cases of two to eight steps in {seconds:,.0f} s ({rate:,.0f} a minute), seeds {seeds}, on `{config}` and its
functional model side by side: {count:,} chains. After each step all registers that follow from the work alone, and
every byte of the memory, are the same; of a chain that was cut off, every byte is as one of the jobs leaves it.
{faults:,} differences.

"""


def markdown(command: str, files: History | None, corpus: int, machine: History | None, config: str) -> str:
    """The page; a part that never ran is left out."""
    text = f"# Fuzz\n\nCommand: `{command}`. How it works: [verification](../flows/verification.md#fuzz).\n\n"
    if files is not None:
        tally = files.tally
        text += _FILES.format(
            count=files.cases,
            seconds=tally.seconds,
            rate=files.cases / max(tally.processor_seconds, 1e-9),
            seeds=_seeds(files),
            corpus=corpus,
            accepted=_sum(tally, "accepted"),
            refused=_sum(tally, "refused"),
            faults=_sum(tally, "fault"),
        )
        rows = [
            (verdict, f"`{place}`" if place else "", f"{number:,}", tally.examples[verdict, place])
            for (verdict, place), number in tally.outcomes.most_common()
        ]
        text += table(("verdict", "where", "mutants", "for example"), rows, "llrl") + "\n"
    if machine is not None:
        tally = machine.tally
        text += _MACHINE.format(
            cases=machine.cases,
            seconds=tally.seconds,
            rate=60 * machine.cases / max(tally.seconds, 1e-9),
            seeds=_seeds(machine),
            config=config,
            count=_sum(tally, "chain"),
            faults=_sum(tally, "fault"),
        )
        names = {
            "done": "ended without an error",
            "reset": "cut off by `rst`",
            "power": "cut off by `rst` and `bus_rst`",
        }
        ends = [
            (names.get(place, f"`{place}`") if verdict == "chain" else f"**{place}**", f"{number:,}")
            for (verdict, place), number in tally.outcomes.most_common()
        ]
        text += table(("what became of a chain", "chains"), ends, "lr")
    return text.rstrip("\n") + "\n"


def _sum(tally: Tally, verdict: str) -> int:
    return sum(number for (each, _), number in tally.outcomes.items() if each == verdict)


def _seeds(history: History) -> str:
    first, last = min(history.seeds), max(history.seeds)
    return str(first) if first == last else f"{first} to {last}"
