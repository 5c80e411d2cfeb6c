"""The two sides of a comparison as Yosys writes them in JSON: dissolved, cut at black boxes, nets paired by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fineq_asic.equivalence.functional import BLACK_BOXES, mapped_text
from fineq_asic.library.liberty import Library
from fineq_asic.mapping.placed_cells import GATED_CLOCK, LATCH
from fineq_asic.mapping.yosys import run_yosys
from fineq_asic.netlist.netlist import Netlist

YosysModule = dict[str, Any]
"""A module as Yosys' `write_json` gives it: `ports`, `cells`, `netnames`."""


def prepare_sides(
    name: str,
    rtl: Sequence[Path],
    netlist: Netlist,
    library: Library,
    work: Path,
    kept: Sequence[str],
    rtl_passes: Mapping[str, Sequence[str]],
) -> dict[str, YosysModule]:
    """Both sides of a comparison, dissolved, with black boxes turned out and nets paired between `gold` and `gate`.

    Args:
        name: of the module.
        rtl: one Verilog file a module, named after it, with everything below the module.
        netlist: holds the mapped module.
        library: its cells.
        work: directory for scripts and logs; created.
        kept: modules below that are black boxes on both sides; modules that are not are dissolved.
        rtl_passes: sides that are made of the RTL, `gold` among them, with what is run on each once it is dissolved.

    Returns:
        The sides by name: those of the RTL, and `gate`. Only `gold` and `gate` are cut and paired.

    Raises:
        SynthesisError: Yosys fails, or the netlist has a cell that the comparison does not know.
    """
    work.mkdir(parents=True, exist_ok=True)
    boxes, gate = work / "boxes.v", work / "gate.v"
    boxes.write_text(BLACK_BOXES, encoding="utf-8")
    gate.write_text(mapped_text(name, netlist, library, kept), encoding="utf-8")
    files = [file.resolve() for file in rtl]
    stubs = [file for file in files if file.stem in kept]
    script: list[str] = []
    for side, passes in rtl_passes.items():
        script += _dissolve(name, files, boxes, kept, side, work, passes)
    script += _dissolve(name, [*stubs, gate], boxes, kept, "gate", work)
    run_yosys(script, work)
    (work / "yosys.log").replace(work / "prepare.log")
    sides = {
        side: json.loads((work / f"{side}.json").read_text(encoding="utf-8"))["modules"][side]
        for side in (*rtl_passes, "gate")
    }
    for side in ("gold", "gate"):
        turn_out(sides[side], {*kept, LATCH.module, GATED_CLOCK.module})
    pair_names(sides["gold"], sides["gate"])
    return sides


def write_side(side: str, module: YosysModule, work: Path) -> Path:
    """Write one side as `<side>.json` for Yosys to read."""
    path = work / f"{side}.json"
    path.write_text(json.dumps({"modules": {side: module}}), encoding="utf-8")
    return path


def _dissolve(
    name: str,
    files: Sequence[Path],
    boxes: Path,
    kept: Sequence[str],
    side: str,
    work: Path,
    passes: Sequence[str] = (),
) -> list[str]:
    """Yosys commands that write one side of a comparison as `<side>.json`: dissolved, one net a bit.

    Args:
        name: of the module.
        files: Verilog of this side.
        boxes: Verilog with the black boxes of every comparison.
        kept: modules that are black boxes as well.
        side: new name of the module.
        work: directory for the file.
        passes: further commands once the module is dissolved.
    """
    return [
        *(f"read_verilog {file}" for file in files),
        f"read_verilog -overwrite {boxes}",
        *(f"blackbox {other}" for other in kept),
        f"hierarchy -check -top {name}",
        "proc",
        "flatten",
        "opt_expr",
        "opt_clean",
        *passes,
        "splitnets -ports -format <>",
        f"rename {name} {side}",
        f"write_json {work / side}.json",
        "design -reset",
    ]


def turn_out(module: YosysModule, kinds: set[str]) -> None:
    """Turn cells of the given kinds into ports of a module as Yosys writes it in JSON.

    What goes into such a cell becomes an output to compare, what comes out of it an input that both sides share.
    """
    for name in sorted(name for name, cell in module["cells"].items() if cell["type"] in kinds):
        cell = module["cells"].pop(name)
        for pin, bits in sorted(cell["connections"].items()):
            direction = "output" if cell["port_directions"][pin] == "input" else "input"
            module["ports"][f"{name}|{pin}"] = {"direction": direction, "bits": bits}
            module["netnames"][f"{name}|{pin}"] = {"hide_name": 0, "bits": bits, "attributes": {}}


def pair_names(gold: YosysModule, gate: YosysModule) -> int:
    """Leave one name per net in two modules: the same on both sides where the nets share one, else one of its own.

    Returns:
        How many nets have a partner, ports not counted.
    """
    gold_names = shared_names(_names_by_net(gold), _names_by_net(gate))
    gate_nets = _nets_by_name(_names_by_net(gate))
    _rename_nets(gold, gold_names, "gold")
    _rename_nets(gate, {gate_nets[name]: name for name in gold_names.values()}, "gate")
    return len(gold_names.keys() - _port_nets(gold))


def shared_names(gold: Mapping[int, Sequence[str]], gate: Mapping[int, Sequence[str]]) -> dict[int, str]:
    """For every net of one side that has a partner, the name that both carry.

    Nets are gone through in order and each takes the first of its names, in alphabetical order, whose net on the other
    side has no partner yet: a net with several names is paired once.
    """
    net_of = _nets_by_name(gate)
    chosen: dict[int, str] = {}
    taken: set[int] = set()
    for net, names in sorted(gold.items()):
        free = (name for name in sorted(names) if name in net_of and net_of[name] not in taken)
        name = next(free, None)
        if name is not None:
            chosen[net] = name
            taken.add(net_of[name])
    return chosen


def _rename_nets(module: YosysModule, names: Mapping[int, str], side: str) -> None:
    """Give every net at a cell the name that was chosen for it, else `<side>_only_<net>`; ports keep theirs."""
    ports = _port_nets(module)
    at_cells = {net for cell in module["cells"].values() for nets in cell["connections"].values() for net in nets}
    renamed = {name: net for name, net in module["netnames"].items() if name in module["ports"]}
    for net in sorted(net for net in at_cells if isinstance(net, int) and net not in ports):
        renamed[names.get(net, f"{side}_only_{net}")] = {"hide_name": 0, "bits": [net], "attributes": {}}
    module["netnames"] = renamed


_TEMPORARY = re.compile(r"(^|\.)_\d+_")
"""Names that Yosys gives to intermediate results when it writes Verilog. Its arithmetic passes reuse such nets for
other values, so they say nothing about what a net is."""


def _names_by_net(module: YosysModule) -> dict[int, list[str]]:
    """Names of every net with a name of its own; ports have theirs already."""
    found: dict[int, list[str]] = {}
    ports = _port_nets(module)
    for name, net in module["netnames"].items():
        single = len(net["bits"]) == 1 and isinstance(net["bits"][0], int)
        if single and not net["hide_name"] and not _TEMPORARY.search(name) and net["bits"][0] not in ports:
            found.setdefault(net["bits"][0], []).append(name)
    return found


def _nets_by_name(names: Mapping[int, Sequence[str]]) -> dict[str, int]:
    return {name: net for net, group in names.items() for name in group}


def _port_nets(module: YosysModule) -> set[int | str]:
    return {net for port in module["ports"].values() for net in port["bits"]}
