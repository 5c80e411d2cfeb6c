"""The manifest: what each generated module is, in the words of its component, for all flows that work on the Verilog.

It is written beside the Verilog (`MANIFEST`), with the files of each top and their checksums.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fineq.common.errors import FineqError
from fineq_hw.lib.role import Synthesis

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ModulePort:
    """A port as Verilog has it; `direction` is `input` or `output`."""

    name: str
    direction: str
    bits: int


@dataclass(frozen=True)
class ModuleEntry:
    """One module.

    Attributes:
        component: class of the component.
        kind: what it is, without parameters (`VerilogComponent.KIND`); the class where it does not say.
        config: its configuration, as text.
        declared: the component says what it is to the reports; if not, the next five fields mean nothing.
        block: block of a report that its cells belong to; None: the block of what holds it.
        buffers: block of buffers that synthesis adds to drive the modules below.
        synthesis: `keep`, `unit`, `dissolve` or `cell` (`fineq_hw.lib.role.Synthesis`).
        both_polarities, by_sweeping, repeated: as `fineq_hw.lib.role.Role`.
        children: module name by instance name, sorted by instance name.
        ports: all of them, `clk` and `rst` included.
    """

    component: str
    kind: str
    config: str = ""
    declared: bool = False
    block: str | None = None
    buffers: str | None = None
    synthesis: str = Synthesis.DISSOLVE.value
    both_polarities: bool = False
    by_sweeping: bool = False
    repeated: bool = False
    children: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[ModulePort, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """All modules of a conversion.

    Attributes:
        tops: names of the modules of each top, itself first.
        modules: by name.
    """

    tops: Mapping[str, list[str]] = field(default_factory=dict)
    modules: Mapping[str, ModuleEntry] = field(default_factory=dict)

    def entry(self, module: str) -> ModuleEntry:
        """The entry of a module.

        Raises:
            ValueError: there is none.
        """
        if module not in self.modules:
            raise ValueError(f"the manifest has no module {module}: was the Verilog written by this version?")
        return self.modules[module]

    def below(self, top: str) -> Iterator[str]:
        """Names of a module and of all that it holds, itself first, every one once."""
        names = {top: None}
        waiting = [top]
        while waiting:
            for child in sorted(self.entry(waiting.pop(0)).children.values()):
                if child not in names:
                    names[child] = None
                    waiting.append(child)
        yield from names

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            name: asdict(entry)
            | {"children": dict(entry.children), "ports": [[*asdict(p).values()] for p in entry.ports]}
            for name, entry in self.modules.items()
        }

    @classmethod
    def from_dict(cls, tops: Mapping[str, list[str]], modules: Mapping[str, dict]) -> Manifest:
        """The inverse of `as_dict`."""
        return cls(
            tops,
            {
                name: ModuleEntry(**entry | {"ports": tuple(ModulePort(*port) for port in entry["ports"])})
                for name, entry in modules.items()
            },
        )


def read_manifest(directory: Path | str) -> Manifest:
    """The manifest of Verilog that `fineq_hw.export.verilog.write_verilog` has written.

    Raises:
        FineqError: it is not there, or is not one of this version.
    """
    file = Path(directory) / MANIFEST
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        tops = {top: [name.removesuffix(".v") for name in files] for top, files in document["tops"].items()}
        return Manifest.from_dict(tops, document["modules"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FineqError(f"{file} is no manifest of this version ({error}): write the Verilog again") from None
