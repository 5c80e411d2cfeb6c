"""Parts of a netlist: a module in its place in the whole."""

from __future__ import annotations

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library
from fineq_asic.netlist.flat import named_cells, named_instances
from fineq_asic.netlist.netlist import Netlist
from fineq_hw.export.manifest import Manifest


def find_module(netlist: Netlist, manifest: Manifest, kind: str) -> str:
    """Name of the first module of the design that is of a kind, such as `row`.

    Raises:
        SynthesisError: none is.
    """
    kinds = {name: manifest.modules[name].kind for name in netlist.bottom_up if name in manifest.modules}
    found = next((name for name, known in kinds.items() if known == kind), None)
    if found is None:
        raise SynthesisError(f"{netlist.top} has no module of the kind {kind}: it has {', '.join(kinds.values())}")
    return found


def module_path(netlist: Netlist, module: str) -> tuple[str, ...]:
    """Instance path, below the top, of the first copy of a module; empty for the top itself.

    Raises:
        SynthesisError: the module occurs nowhere below the top.
    """
    if module == netlist.top:
        return ()
    found = next((path for path, kind in named_instances(netlist) if kind == module), None)
    if found is None:
        raise SynthesisError(f"{netlist.top} has no instance of {module}")
    return found


def nets_in_whole(module: str, netlist: Netlist, library: Library) -> dict[int, int]:
    """Flat net of the whole netlist for every flat net of a module that a cell touches.

    Args:
        module: the top or a module below it; of several copies the first counts.
        netlist: the whole.
        library: its cells.

    Raises:
        SynthesisError: the netlist has no such module.
    """
    prefix = module_path(netlist, module)
    depth = len(prefix)
    whole = {path[depth:]: pins for path, _, pins in named_cells(netlist, library) if path[:depth] == prefix}
    part = named_cells(Netlist(module, netlist.modules), library)
    return {net: whole[path][pin] for path, _, pins in part for pin, net in pins.items()}
