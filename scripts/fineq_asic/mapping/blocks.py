"""Which block of a report every cell of a netlist belongs to: what the component that it comes from says.

Synthesis keeps the instance names of what it dissolves as a path in front of a cell's name. The path is followed from
instance to component in the manifest of the Verilog; what it meets last and has a block of its own decides. Cells that
come from no dissolved instance belong to the block of their module.
"""

from __future__ import annotations

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library
from fineq_asic.mapping.designs import check_declared
from fineq_asic.mapping.yosys import instance_path
from fineq_asic.netlist.netlist import Instance, Module, Netlist
from fineq_hw.export.manifest import Manifest, ModuleEntry

OTHER_ROWS = "load of other rows"
"""Block of the inverters that stand for rows in `timing.thin`; never part of a result."""


def attribute_blocks(netlist: Netlist, library: Library, manifest: Manifest) -> dict[tuple[str, str], str]:
    """Block of every cell, by (module, instance).

    Clock gates and inserted buffers belong to what they drive. Buffers that drive nothing but modules below belong to
    the block that their module names for them.

    Args:
        netlist: mapped.
        library: its cells.
        manifest: of the Verilog that was mapped.

    Raises:
        SynthesisError: a module or an instance that the manifest does not know, or that has no block.
    """
    result: dict[tuple[str, str], str] = {}
    for module in netlist.modules.values():
        if module.stands_for_load:
            result |= {(module.name, instance.name): OTHER_ROWS for instance in module.instances}
            continue
        entry = _declared(manifest, module.name)
        sinks = _sinks(module, library)
        for instance in module.instances:
            if instance.kind not in netlist.modules:
                decides = _follow(instance, sinks, library)
                result[module.name, instance.name] = _block(manifest, module.name, entry, decides)
    return result


def _declared(manifest: Manifest, module: str) -> ModuleEntry:
    if module not in manifest.modules:
        raise SynthesisError(f"the netlist has a module {module} that the manifest of its Verilog does not know")
    entry = manifest.modules[module]
    check_declared(module, entry)
    return entry


def _block(manifest: Manifest, module: str, entry: ModuleEntry, instance: Instance) -> str:
    if instance.inserted:
        block = entry.buffers or entry.block
    else:
        block, inside = entry.block, entry
        for name in instance_path(instance.name):
            if name not in inside.children:
                raise SynthesisError(
                    f"cell {instance.name} of module {module} lies in no instance: {inside.component} has no {name}"
                )
            inside = _declared(manifest, inside.children[name])
            block = inside.block or block
    if block is None:
        raise SynthesisError(f"cell {instance.name} of module {module} belongs to no block: {entry.component} has none")
    return block


def _sinks(module: Module, library: Library) -> dict[int, Instance]:
    """First cell that each net drives."""
    sinks: dict[int, Instance] = {}
    for instance in module.instances:
        if instance.kind in library.cells:
            for pin in library.cells[instance.kind].inputs:
                for bit in instance.pins.get(pin.name, []):
                    sinks.setdefault(bit, instance)
    return sinks


def _follow(instance: Instance, sinks: dict[int, Instance], library: Library) -> Instance:
    """What a clock gate or an inserted buffer drives, through others of them; itself if that is no cell."""
    for _ in range(8):
        cell = library.cells[instance.kind]
        auxiliary = cell.clock_gate or instance.inserted
        following = sinks.get(instance.pins[cell.outputs[0].name][0]) if auxiliary else None
        if following is None:
            return instance
        instance = following
    return instance
