"""Results of a regression: one JUnit XML file, one Markdown table, one table on the terminal."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from fineq.common.markdown import table
from fineq_sim.runs.runner import RunResult


def junit(results: Sequence[RunResult]) -> str:
    """All results as JUnit XML: a test suite per run, a test case per cocotb test."""
    root = ElementTree.Element("testsuites", name="FineQ simulation")
    for result in results:
        failures = sum(test.failure is not None for test in result.tests)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=result.name,
            tests=str(len(result.tests)),
            failures=str(failures),
            errors=str(int(result.error is not None)),
            time=f"{result.run_seconds:.3f}",
        )
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("simulator", result.simulator), ("random_seed", str(result.seed))):
            ElementTree.SubElement(properties, "property", name=name, value=value)
        for test in result.tests:
            case = ElementTree.SubElement(
                suite, "testcase", classname=result.name, name=test.name, time=f"{test.seconds:.3f}"
            )
            if test.failure is not None:
                ElementTree.SubElement(case, "failure", message=test.failure)
        if result.error is not None:
            case = ElementTree.SubElement(suite, "testcase", classname=result.name, name="simulation")
            ElementTree.SubElement(case, "error", message=result.error)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _verdict(result: RunResult) -> str:
    return "pass" if result.passed else "FAIL"


def markdown(results: Sequence[RunResult]) -> str:
    """A table of runs. Without times, so that equal results give equal bytes."""
    simulator = results[0].simulator if results else "none"
    passed = sum(result.passed for result in results)
    tests = sum(len(result.tests) for result in results)
    rows = [(result.name, len(result.tests), _verdict(result)) for result in results]
    head = f"# Simulation on {simulator}\n\n{passed} of {len(results)} testbench runs pass; {tests} tests in all.\n\n"
    return head + table(("testbench/configuration", "tests", "result"), rows, "lrl")


def page(results: Sequence[RunResult], command: str, version: str, coverage: str) -> str:
    """The published page: the table of runs, then the page of functional coverage a level lower.

    Args:
        results: of all runs.
        command: that made it.
        version: of the simulator.
        coverage: page of the functional coverage.
    """
    title, _, runs = markdown(results).partition("\n\n")
    lower = coverage.replace("\n## ", "\n### ").replace("# ", "## ", 1)
    return f"{title}\n\nCommand: `{command}`. Version: {version}.\n\n{runs}\n{lower}"


def print_table(results: Sequence[RunResult], console: Console) -> None:
    shown = Table(title=f"Simulation on {results[0].simulator}")
    shown.add_column("testbench/configuration", justify="left")
    for heading in ("tests", "build s", "run s"):
        shown.add_column(heading, justify="right")
    shown.add_column("result")
    for result in results:
        shown.add_row(
            result.name,
            str(len(result.tests)),
            f"{result.build_seconds:.1f}",
            f"{result.run_seconds:.1f}",
            _verdict(result),
            style=None if result.passed else "bold red",
        )
    console.print(shown)


def failures(result: RunResult, command: str) -> list[str]:
    """Lines that say what failed and how to see it again."""
    lines = [f"FAILED {result.name}"]
    for test in result.tests:
        if test.failure is not None:
            lines.append(f"  {test.name}: {test.failure.splitlines()[0]}")
    if result.error is not None:
        lines.append(f"  {result.error}")
    lines.append(f"  reproduce with: {command}")
    return lines
