"""Buffer trees on nets with too much load.

A pulse reaches every row and an activation bus every row's registers. Yosys does not see loads across module
borders, so this pass walks the hierarchy bottom up and gives every net whose load exceeds its driver a tree
of library buffers. Their area, capacitance and power are in every figure.
"""

from __future__ import annotations

from dataclasses import dataclass

from fineq_asic.errors import SynthesisError
from fineq_asic.library.chosen_cells import BUFFERS
from fineq_asic.library.liberty import Library, WireLoad
from fineq_asic.library.recognition import sizes_of
from fineq_asic.netlist.netlist import Instance, Module, Netlist


@dataclass(frozen=True)
class BufferOptions:
    """Limits of the buffer trees.

    Attributes:
        utilisation: largest load of a driver as a share of its `max_capacitance`; below 1 keeps slews short.
        port_load_ff: largest load in fF that a module's input port may show to its parent.
        buffers: library buffers that may be used, smallest first.
        clock: name of the clock port; the clock is ideal and gets no buffers above the clock gates.
    """

    utilisation: float = 0.5
    port_load_ff: float = 20.0
    buffers: tuple[str, ...] = BUFFERS
    clock: str = "clk"


@dataclass
class _Sink:
    owner: Instance | None  # None: a port of the module itself
    pin: str
    index: int
    load: float


def insert_buffers(
    netlist: Netlist, library: Library, wire_load: WireLoad, options: BufferOptions | None = None
) -> dict[tuple[str, int], float]:
    """Add buffer trees in place.

    Returns:
        Load in fF of every module input port bit, by (module, net number).
    """
    options = options or BufferOptions()
    port_loads: dict[tuple[str, int], float] = {}
    output_limits: dict[tuple[str, str], float] = {}
    for name in netlist.bottom_up:
        _Repair(netlist, name, library, wire_load, options, port_loads, output_limits).run()
    netlist.__dict__.pop("multiplicity", None)
    return port_loads


class _Repair:
    def __init__(
        self,
        netlist: Netlist,
        name: str,
        library: Library,
        wire_load: WireLoad,
        options: BufferOptions,
        port_loads: dict[tuple[str, int], float],
        output_limits: dict[tuple[str, str], float],
    ) -> None:
        self.module: Module = netlist.modules[name]
        self.netlist, self.library, self.wire_load, self.options = netlist, library, wire_load, options
        self.port_loads = port_loads
        self.is_top = name == netlist.top
        self.count = 0
        self.output_limits = output_limits
        self.sinks: dict[int, list[_Sink]] = {}
        self.drivers: dict[int, tuple[Instance | None, str]] = {}

    def run(self) -> None:
        module = self.module
        sinks = self.sinks
        drivers = self.drivers
        for instance in module.instances:
            for pin, bits in instance.pins.items():
                self._collect(instance, pin, bits, sinks, drivers)
        for port_name, port in module.ports.items():
            for index, bit in enumerate(port.bits):
                if port.direction == "input":
                    drivers[bit] = (None, port_name)
                else:
                    sinks.setdefault(bit, []).append(_Sink(None, port_name, index, 0.0))
        clocks = self._clock_nets(drivers)
        for bit in sorted(sinks):  # a copy: buffers add nets
            if bit not in drivers:
                raise SynthesisError(f"net {module.net_names.get(bit, bit)} of {module.name} has no driver")
            if bit in clocks:
                continue
            limit = self._driver_limit(bit, drivers[bit])
            if limit is not None:
                sinks[bit] = self._repair(bit, sinks[bit], limit, drivers[bit][0])
        for port_name, port in module.ports.items():
            for index, bit in enumerate(port.bits):
                if port.direction == "input":
                    self.port_loads[module.name, bit] = self._load(sinks.get(bit, []))
                else:  # what the driver inside can still carry outside
                    limit = self._driver_limit(bit, drivers[bit])
                    rest = (limit or 0.0) - self._load([sink for sink in sinks[bit] if sink.owner is not None])
                    self.output_limits[module.name, f"{port_name}[{index}]"] = max(rest, 0.0)

    def _collect(self, instance: Instance, pin: str, bits: list, sinks: dict, drivers: dict) -> None:
        child = self.netlist.modules.get(instance.kind)
        if child is not None:
            output = child.ports[pin].direction == "output"
        else:
            cell_pin = self.library.cell(instance.kind).pins[pin]
            output = cell_pin.direction == "output"
        for index, bit in enumerate(bits):
            if not isinstance(bit, int):
                continue
            if output:
                drivers[bit] = (instance, f"{pin}[{index}]" if child is not None else pin)
            else:
                load = self.port_loads[child.name, child.ports[pin].bits[index]] if child else cell_pin.capacitance
                sinks.setdefault(bit, []).append(_Sink(instance, pin, index, load))

    def _clock_nets(self, drivers: dict) -> set[int]:
        return {bit for bit, (instance, pin) in drivers.items() if instance is None and pin == self.options.clock}

    def _limit(self, kind: str, pin: str) -> float:
        maximum = self.library.cell(kind).pins[pin].max_capacitance
        return self.options.utilisation * (maximum if maximum is not None else 1e9)

    def _driver_limit(self, bit: int, driver: tuple[Instance | None, str]) -> float | None:
        """Largest load in fF that the driver of a net may see; None: unlimited."""
        instance, pin = driver
        if instance is None:
            return None if self.is_top else self.options.port_load_ff
        if instance.kind in self.netlist.modules:
            return self.output_limits[instance.kind, pin]
        return self._limit(instance.kind, pin)

    def _load(self, sinks: list[_Sink]) -> float:
        return sum(sink.load for sink in sinks) + float(self.wire_load.capacitance(len(sinks)))

    def _repair(self, bit: int, sinks: list[_Sink], limit: float, driver: Instance | None) -> list[_Sink]:
        if self._load(sinks) <= limit:
            return sinks
        if driver is not None and driver.kind in self.library.cells and self.library.cell(driver.kind).clock_gate:
            limit = self._upsize_clock_gate(driver, self._load(sinks))
            if self._load(sinks) <= limit:
                return sinks
        largest = self.options.buffers[-1]
        while self._load(sinks) > limit:
            if len(sinks) == 1 and sinks[0].owner is not None and sinks[0].owner.kind in self.options.buffers:
                break  # a single buffer is the least a driver can see
            groups = self._split(sinks, self._limit(largest, "Z"))
            if len(groups) >= len(sinks) > 1:
                raise SynthesisError(
                    f"net {self.module.net_names.get(bit, bit)} of {self.module.name} cannot be buffered: "
                    "single sinks are heavier than the largest buffer may drive"
                )
            sinks = [self._buffer(bit, group) for group in groups]
        return sinks

    def _split(self, sinks: list[_Sink], limit: float) -> list[list[_Sink]]:
        """Neighbouring sinks in groups of about equal load, each within the limit."""
        count = max(1, -(-int(self._load(sinks)) // int(limit)))
        while True:
            size = -(-len(sinks) // count)
            groups = [sinks[start : start + size] for start in range(0, len(sinks), size)]
            if all(self._load(group) <= limit for group in groups) or size == 1:
                return groups
            count += 1

    def _buffer(self, bit: int, group: list[_Sink]) -> _Sink:
        load = self._load(group)
        kinds = self.options.buffers
        kind = next((k for k in kinds if load <= self._limit(k, "Z")), kinds[-1])
        net = self.module.new_net()
        for sink in group:
            self._rewire(sink, bit, net)
        name = f"fanout_{bit}_{self.count}"
        self.count += 1
        buffer = Instance(name, kind, {"A": [bit], "Z": [net]}, inserted=True)
        self.module.instances.append(buffer)
        self.drivers[net], self.sinks[net] = (buffer, "Z"), group
        return _Sink(buffer, "A", 0, self.library.cell(kind).pins["A"].capacitance)

    def _rewire(self, sink: _Sink, old: int, new: int) -> None:
        bits = self.module.ports[sink.pin].bits if sink.owner is None else sink.owner.pins[sink.pin]
        if bits[sink.index] != old:
            raise SynthesisError(f"inconsistent netlist in {self.module.name}: pin {sink.pin} left its net")
        bits[sink.index] = new

    def _upsize_clock_gate(self, gate: Instance, load: float) -> float:
        """Give a clock gate the smallest size that carries its flip-flops, else the largest."""
        sizes = sizes_of(self.library.cell(gate.kind), self.library)
        output = sizes[0].outputs[0].name
        gate.kind = next((c.name for c in sizes if load <= self._limit(c.name, output)), sizes[-1].name)
        return self._limit(gate.kind, output)
