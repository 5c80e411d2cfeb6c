"""The circuits that are tried: modules of named configurations of the smallest size, as they are delivered."""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amaranth
from amaranth.lib import wiring

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_asic.mapping.yosys import run_yosys
from fineq_formal.setup import streams_of
from fineq_hw.config import ArrayConfig
from fineq_hw.export.conversion import TO_WORD_CELLS, collect, convert
from fineq_hw.export.manifest import Manifest
from fineq_hw.export.tops import Config, array_of, top_components
from fineq_mutants.netlist import Netlist

CODE_PACKAGES = ("pyosys",)
"""What the programs of `run_yosys` import (`fineq.common.cache_keys`)."""


@dataclass(frozen=True)
class Circuit:
    """A module, once, whoever holds it.

    Attributes:
        module: its name in Verilog.
        block: what its component calls itself (`VerilogComponent.KIND`), which is a row of the report.
        verilog: as delivered, without the name (`identity`).
        netlist: entry of Yosys' JSON, with where in the sources its cells come from.
        streams: port of the payload and port that says when it counts, of every stream.
    """

    module: str
    block: str
    verilog: str
    netlist: Mapping[str, Any]
    streams: Mapping[str, str]

    @property
    def instances(self) -> set[str]:
        """Modules that it holds itself."""
        return {cell["type"] for cell in self.netlist["cells"].values() if not cell["type"].startswith("$")}

    def copy(self) -> Netlist:
        """A netlist to change."""
        return Netlist(json.loads(json.dumps(self.netlist)))


def identity(module: str, verilog: str) -> str:
    """Text of a module without its own name: equal circuits have equal ones."""
    return verilog[verilog.index(f"module {module}(") :].replace(f"module {module}(", "module (", 1)


def smallest_tops() -> dict[str, Config]:
    """Named configurations with the smallest array: one of each component with each encoding or weight width."""

    def elements(config: Config) -> int:
        array = array_of(config)
        return array.rows * array.columns

    known = top_components()
    least = min(elements(config) for _, config in known.values())
    found: dict[tuple[object, object], tuple[str, Config]] = {}
    for name, (component, config) in known.items():
        if elements(config) == least:
            array = array_of(config)
            content = array.encoding if isinstance(array, ArrayConfig) else array.weight_bits
            found.setdefault((component, content), (name, config))
    return dict(found.values())


def all_circuits(cache: Path) -> list[Circuit]:
    """Circuits of the smallest tops, by block and name; those whose Verilog is written by hand are not among them.

    Raises:
        ToolError, SynthesisError: Yosys is missing or fails.
    """
    tops = smallest_tops()
    key = cache_key("fineq_hw.export.conversion", "fineq_hw.accelerator", __name__, inputs=[*tops])
    file = cache / f"circuits-{key}.json"
    if not file.is_file():
        write_text(file, json.dumps(_make(tops)))
    return [Circuit(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]


def _make(tops: Mapping[str, Config]) -> list[dict[str, Any]]:
    known = top_components()
    delivered, manifest = convert({name: known[name][0](config) for name, config in tops.items()})
    streams: dict[str, dict[str, str]] = {}
    texts, _ = collect(
        {name: known[name][0](config) for name, config in tops.items()},
        emit_src=True,
        visit=lambda name, component: streams.update({name: stream_ports(component)}),
    )
    texts = {name: text for name, text in texts.items() if not text.startswith("module ")}
    netlists = to_json(texts, manifest)
    circuits: dict[str, dict[str, Any]] = {}
    first: dict[str, str] = {}
    for name in sorted(texts, key=lambda name: (manifest.entry(name).kind, name)):
        verilog = identity(name, delivered[name])
        entry = {
            "module": name,
            "block": manifest.entry(name).kind,
            "verilog": verilog,
            "netlist": netlists[name],
            "streams": streams[name],
        }
        first[name] = circuits.setdefault(verilog, entry)["module"]
    for circuit in circuits.values():
        for cell in circuit["netlist"]["cells"].values():
            cell["type"] = first.get(cell["type"], cell["type"])
    return list(circuits.values())


def stream_ports(component: wiring.Component) -> dict[str, str]:
    """`Circuit.streams` of a component."""
    return {
        f"{name}__payload": f"{name}__valid" for flow in (wiring.In, wiring.Out) for name in streams_of(component, flow)
    }


def to_json(texts: Mapping[str, str], manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Modules as RTLIL to entries of Yosys' JSON, in the words in which they are delivered as Verilog.

    Args:
        texts: by name.
        manifest: says which way the ports of instances go.
    """
    with tempfile.TemporaryDirectory() as directory:
        work, commands = Path(directory), []
        for number, text in enumerate(texts.values()):
            write_text(work / f"{number}.il", without_roots(text))
            commands += ["design -reset", f"read_rtlil {number}.il", *TO_WORD_CELLS, f"write_json {number}.json"]
        run_yosys(commands, work)
        documents = [json.loads((work / f"{number}.json").read_text("utf-8")) for number in range(len(texts))]
    netlists = {}
    for name, document in zip(texts, documents, strict=True):
        netlists[name] = document["modules"][name]
        for cell in netlists[name]["cells"].values():
            if "port_directions" not in cell:
                cell["port_directions"] = {port.name: port.direction for port in manifest.entry(cell["type"]).ports}
            if "src" in cell["attributes"]:
                cell["attributes"]["src"] = short_source(cell["attributes"]["src"])
    return netlists


def without_roots(text: str) -> str:
    """A text with places in the sources without the directory where the packages, or Python's library, lie."""
    ours, amaranths = Path(inspect.getfile(top_components)).parents[2], Path(amaranth.__file__).parents[1]
    library = Path(inspect.getfile(inspect)).parent  # Amaranth takes a `with` for a line of contextlib
    for root in (ours, amaranths, library):
        text = text.replace(f"{root}/", "")
    return text


def short_source(source: str) -> str:
    """Places in the sources, sorted; of one outside all known directories the last part alone."""
    source = without_roots(source)
    return "|".join(
        sorted({place.rpartition("/")[2] if place.startswith("/") else place for place in source.split("|")})
    )


def to_verilog(netlists: Mapping[str, Netlist]) -> dict[str, str]:
    """Verilog of modules, by name."""
    with tempfile.TemporaryDirectory() as directory:
        work, commands = Path(directory), []
        for number, (name, netlist) in enumerate(netlists.items()):
            write_text(work / f"{number}.json", json.dumps({"modules": {name: netlist.module}}))
            commands += ["design -reset", f"read_json {number}.json", f"write_verilog -noattr {number}.v"]
        run_yosys(commands, work)
        return {name: (work / f"{number}.v").read_text("utf-8") for number, name in enumerate(netlists)}
