"""What the array takes, from the synthesis reports of docs/results: synth-<size>.json of `fineq synth`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fineq.common.errors import FineqError
from fineq_hw.config import ARRAYS, MACS, ArrayConfig, MacConfig
from fineq_sim.energy.events import EventShares, kind_of, read_event_shares, shares_of


class MissingSynthesis(FineqError):
    """An array that has not been synthesised; the text names the command that does."""


@dataclass(frozen=True)
class SynthesisedArray:
    """An array of a synthesis report; glitches counted.

    Attributes:
        top, title: of the design.
        source: the file that it stands in.
        rows, columns: of the array.
        clock_ns: period at which its power was measured.
        dynamic: W at full activity by block: what switches and what cells take inside.
        leakage: W by block.
        area: µm² by block.
        cycles_per_vector: of the activity.
        events: what other cycles than full steps take; None: not measured for this kind of array.
    """

    top: str
    title: str
    source: str
    rows: int
    columns: int
    clock_ns: float
    dynamic: Mapping[str, float]
    leakage: Mapping[str, float]
    area: Mapping[str, float]
    cycles_per_vector: float
    events: EventShares | None = None

    @property
    def kind(self) -> str:
        """What it has in common with its other sizes."""
        return kind_of(self.top, self.rows, self.columns)

    @property
    def step_pj(self) -> float:
        """Energy of one step of the whole array at full activity, leakage left out."""
        return sum(self.dynamic.values()) * self.clock_ns * 1e3

    @property
    def leakage_w(self) -> float:
        return sum(self.leakage.values())

    @property
    def area_um2(self) -> float:
        return sum(self.area.values())

    @property
    def mac_pj(self) -> float:
        """Energy of a multiply-accumulate at the activity's own pace, leakage included."""
        power = sum(self.dynamic.values()) + self.leakage_w
        return power * self.clock_ns * 1e3 * self.cycles_per_vector / (self.rows * self.columns)


@dataclass(frozen=True)
class SynthesisReports:
    """All synthesis reports of a directory, and the paper's Table III, which they repeat."""

    directory: Path
    designs: Mapping[str, SynthesisedArray]
    documents: Mapping[str, Mapping[str, Any]]

    def find(self, array: ArrayConfig | MacConfig, design: str | None = None) -> SynthesisedArray:
        """The report of an array.

        Args:
            array: its configuration.
            design: top of another design that stands for it, of the same size.

        Raises:
            MissingSynthesis: there is none.
        """
        size = f"{array.rows}x{array.columns}"
        if design is not None:
            found = self.designs.get(design)
            if found is None:
                tops = ", ".join(
                    top
                    for top, each in self.designs.items()
                    if (each.rows, each.columns) == (array.rows, array.columns)
                )
                raise MissingSynthesis(
                    f"{self.directory} has no design {design!r}: choose {tops or 'another size, it has none'}"
                )
            if (found.rows, found.columns) != (array.rows, array.columns):
                raise MissingSynthesis(
                    f"design {design} has {found.rows}x{found.columns} elements: the array is {size}"
                )
            return found
        top = top_of(array)
        if top is not None and top in self.designs:
            return self.designs[top]
        if top is None:
            raise MissingSynthesis(
                f"an array of {size} ({array.weight_code}) has no name among the configurations, so no synthesis: "
                "name a design of the same size under energy, or leave energy out with --no-energy"
            )
        known = f"synth-{size}.json" if f"synth-{size}" in self.documents else "no report of this size"
        raise MissingSynthesis(
            f"{self.directory} has no synthesis of {top} ({known}): make it with `fineq synth --size {size} --design "
            f"{top}`, name another design under energy, or leave energy out with --no-energy"
        )


def top_of(array: ArrayConfig | MacConfig) -> str | None:
    """Top of the design that `fineq synth` makes of an array; None: no named configuration is like it."""
    if isinstance(array, MacConfig):
        return next((name for name, config in MACS.items() if config == array), None)
    plain = replace(array, adder_tree=ArrayConfig.adder_tree)
    return next((f"{name}_packed" for name, config in ARRAYS.items() if config == plain), None)


def read_reports(directory: Path) -> SynthesisReports:
    """The reports of a directory.

    Raises:
        MissingSynthesis: there is none, or one that cannot be read.
    """
    designs: dict[str, SynthesisedArray] = {}
    documents: dict[str, Mapping[str, Any]] = {}
    for path in sorted(directory.glob("synth-*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            for design in document["designs"]:
                designs[design["top"]] = _array(design, path.name)
            documents[path.stem] = document
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingSynthesis(f"cannot read {path} as a report of `fineq synth`: {error!r}") from error
    shares = read_event_shares(directory)
    for top, array in designs.items():
        designs[top] = replace(array, events=shares_of(shares, top, array.kind))
    if not designs:
        raise MissingSynthesis(f"{directory} has no synth-*.json: make it with `make synth`")
    return SynthesisReports(directory, designs, documents)


def _array(design: Mapping[str, Any], source: str) -> SynthesisedArray:
    power = {block: each for block, each in design["power_with_glitches_w"].items() if block != "total"}
    return SynthesisedArray(
        design["top"],
        design["title"],
        source,
        design["rows"],
        design["columns"],
        design["clock_ns"],
        {block: each["internal"] + each["switching"] for block, each in power.items()},
        {block: each["leakage"] for block, each in power.items()},
        design["area_um2"],
        design["cycles_per_vector"],
    )
