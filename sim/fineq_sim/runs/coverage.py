"""Line and branch coverage of the generated Verilog, from what Verilator counts while the regression runs.

    fineq coverage --output build/coverage

Verilator writes `coverage.dat`: one record a coverage point, with its file, its source lines and how often it was
reached. The points of all runs are added up by module, because the same module appears in many designs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fineq.common.markdown import table
from fineq_sim.runs.runner import VerilogDesign
from fineq_sim.runs.simulators import SimulatorError

REQUIRED_SHARE = 0.95
"""Share of the lines of every component that the regression must reach."""

EXPLANATIONS: tuple[tuple[str, str, str], ...] = (
    (
        "control_unit",
        r"else if \(computing\) count <=",
        "encoding `parallel` only: every vector takes one step, so no step comes before the one that ends it",
    ),
)
"""(component, regular expression on the source line, why no test can reach it)."""

_RECORD = re.compile(r"^C '(?P<keys>.*)' (?P<count>\d+)$")


@dataclass
class ModuleCoverage:
    """Counts of one Verilog module.

    Attributes:
        component: what the module is, without its parameters: `control_unit`.
        source: text of the module, a string a line.
        lines: times each executable line was reached, by line number from 1.
        branches: times each side of a branch was taken, by (line, column, side).
    """

    component: str
    source: Sequence[str] = ()
    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[tuple[int, int, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Gap:
    """A line that no run reached."""

    module: str
    line: int
    text: str
    explanation: str | None


def _module_name(stem: str, design: VerilogDesign) -> str:
    """The module's own name; tops of testbenches share names, so their contents tell them apart."""
    source = design.sources[f"{stem}.v"]
    return f"{stem}~{hashlib.sha256(source.encode()).hexdigest()[:8]}" if stem == design.top else stem


def _line_numbers(text: str) -> Iterable[int]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def add_records(content: str, design: VerilogDesign, into: dict[str, ModuleCoverage]) -> None:
    """Add the points of one `coverage.dat`.

    Args:
        content: text of the file.
            sources: Verilog by file name, as in `fineq_sim.runs.runner.VerilogDesign`; one module a file.
            into: counts by module name.

    Raises:
        SimulatorError: the file is not coverage data, or has a module that the manifest does not know.
    """
    if not content.startswith("# SystemC::Coverage"):
        raise SimulatorError("coverage.dat does not start as Verilator's coverage data do: was it cut off?")
    for record in content.splitlines()[1:]:
        match = _RECORD.match(record)
        if match is None:
            raise SimulatorError(f"coverage.dat has a line that is no coverage point: {record[:80]!r}")
        keys = dict(part.split("\x02", 1) for part in match["keys"].split("\x01") if part)
        name = Path(keys["f"]).name
        if name not in design.sources:
            continue
        stem = Path(name).stem
        if stem not in design.manifest.modules:
            raise SimulatorError(f"the manifest of {design.top} does not say what module {stem} is")
        kind = design.manifest.modules[stem].kind
        module = into.setdefault(_module_name(stem, design), ModuleCoverage(kind, design.sources[name].splitlines()))
        count = int(match["count"])
        for line in _line_numbers(keys.get("S", "")):
            module.lines[line] = module.lines.get(line, 0) + count
        if keys["t"] == "branch":
            place = (int(keys["l"]), int(keys["n"]), keys["o"])
            module.branches[place] = module.branches.get(place, 0) + count


def _explanation(component: str, text: str) -> str | None:
    reasons = (why for part, pattern, why in EXPLANATIONS if part == component and re.search(pattern, text))
    return next(reasons, None)


def gaps(modules: Mapping[str, ModuleCoverage]) -> list[Gap]:
    """Every line that was never reached, in the order of modules and lines."""
    found = []
    for name, module in sorted(modules.items()):
        for line, count in sorted(module.lines.items()):
            if count == 0:
                text = module.source[line - 1].strip()
                found.append(Gap(name, line, text, _explanation(module.component, text)))
    return found


def by_component(modules: Mapping[str, ModuleCoverage]) -> dict[str, tuple[int, int, int, int]]:
    """Lines reached, lines, branch sides taken, branch sides, summed over the modules of each component."""
    table: dict[str, tuple[int, int, int, int]] = {}
    for _, module in sorted(modules.items()):
        row = table.get(module.component, (0, 0, 0, 0))
        counts = (
            sum(count > 0 for count in module.lines.values()),
            len(module.lines),
            sum(count > 0 for count in module.branches.values()),
            len(module.branches),
        )
        reached, lines, taken, sides = (a + b for a, b in zip(row, counts, strict=True))
        table[module.component] = (reached, lines, taken, sides)
    return table


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def markdown(modules: Mapping[str, ModuleCoverage], command: str) -> str:
    """The report: a table by component, and every gap with its reason."""
    found = by_component(modules)
    total = [sum(column) for column in zip(*found.values(), strict=True)] if found else [0, 0, 0, 0]
    rows: list[tuple[object, ...]] = []
    for component, counts in (*found.items(), ("**all**", total)):
        reached, count, taken, sides = counts
        of_kind = [module for module in modules.values() if counts is total or module.component == component]
        share = _share(reached, count), f"{taken} of {sides}", _share(taken, sides)
        rows.append((component, len(of_kind), reached, count, *share))
    lines = [
        "# Line coverage of the generated Verilog",
        "",
        f"Made by `{command}`: Verilator's line coverage, added up over the runs of the regression, by default",
        "those on small arrays: a module has the same lines at every size. Modules made only of wires and expressions",
        "have no lines to count; their logic is compared with references in every test.",
        f"Bar: {100 * REQUIRED_SHARE:.0f} % of the lines of every component.",
        "",
        table(("component", "modules", "lines reached", "lines", "share", "branch sides", "share"), rows, "lr"),
    ]
    missing = gaps(modules)
    lines += ["## Gaps", ""]
    if not missing:
        lines.append("Every line was reached.\n")
    else:
        rows = [(gap.module, gap.line, f"`{gap.text}`", gap.explanation or "not explained") for gap in missing]
        lines.append(table(("module", "line", "source", "why"), rows, "lrll"))
    return "\n".join(lines)


def below_bar(modules: Mapping[str, ModuleCoverage]) -> list[str]:
    """Components that miss `REQUIRED_SHARE`, each in a sentence."""
    return [
        f"{component}: {reached} of {count} lines reached, {_share(reached, count)}"
        for component, (reached, count, _, _) in by_component(modules).items()
        if count and reached < REQUIRED_SHARE * count
    ]
