"""Small netlists by hand, for the tests of the synthesis flow."""

from fineq_asic.netlist.netlist import Instance, Module, Netlist, Port


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


def latch_rows(rows=2, bits=3):
    """Activation storage: a register at the top, latches in every row behind a clock gate of their own.

    Ports: clk, `d0`.. (next row of data), `e0`.. (row r takes it), `q<row>_<bit>`.
    """
    data, enables = [f"d{b}" for b in range(bits)], [f"e{r}" for r in range(rows)]
    outputs = [f"q{r}_{b}" for r in range(rows) for b in range(bits)]
    cells = [("DFF_X1", {"CK": "clk", "D": f"d{b}", "Q": f"kept{b}"}) for b in range(bits)]
    for row in range(rows):
        cells.append(("CLKGATE_X1", {"CK": "clk", "E": f"e{row}", "GCK": f"open{row}"}))
        cells += [("DLH_X1", {"G": f"open{row}", "D": f"kept{b}", "Q": f"q{row}_{b}"}) for b in range(bits)]
    return netlist_of(["clk", *data, *enables], outputs, cells)
