"""Small netlists by hand, for the tests of the synthesis flow."""

from fineq_hw.ppa.netlist import Instance, Module, Netlist, Port


def netlist_of(inputs, outputs, cells):
    """A one-module netlist: port names, and cells as (kind, {pin: net name})."""
    numbers = {name: index for index, name in enumerate([*inputs, *outputs])}

    def number(name):
        return numbers.setdefault(name, len(numbers))

    instances = [
        Instance(f"{kind.lower()}_{i}", kind, {pin: [number(net)] for pin, net in pins.items()})
        for i, (kind, pins) in enumerate(cells)
    ]
    ports = {name: Port("input", [number(name)]) for name in inputs}
    ports |= {name: Port("output", [number(name)]) for name in outputs}
    return Netlist("top", {"top": Module("top", ports, instances)})
