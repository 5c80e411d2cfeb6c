"""Where stationary activations are kept: flip-flops behind clock gates, or latches (docs/hardware/array.md).

A latch is little more than half a flip-flop. The row that comes in is registered once for the whole array, and
each row of latches has one clock gate. With the activations of a row accepted in cycle t, register and clock
gate both answer to the clock edge that ends cycle t: the register sends the new values, and the gate's pulse,
which is the high phase of cycle t + 1, lets them into the latches. They close at the falling edge, half a
cycle after the values were sent, and long before the register takes the next row. So latches cost no cycle:
the earliest step that can use them is in cycle t + 2, as with flip-flops.
"""

from amaranth.hdl import ClockSignal, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from fineq_hw.config import ArrayConfig, MacConfig
from fineq_hw.lib.core_ports import activation_vector_layout
from fineq_hw.lib.hierarchy import CombinationalComponent, VerilogComponent, place
from fineq_hw.lib.role import CELL, CoreBlock, Role, Synthesis


class Latch(CombinationalComponent):
    """q follows d while `enable` is high and stays otherwise.

    A module of its own, so that synthesis can put the library's latch in its place. Amaranth describes no
    latches: its simulator runs the feedback below, the Verilog is `VERILOG`.
    """

    KIND = "latch"
    ROLE = CELL

    enable: In(1)
    d: In(1)
    q: Out(1)

    VERILOG = """module fineq_latch(enable, d, q);
  input enable;
  wire enable;
  input d;
  wire d;
  output q;
  reg q;
  /* verilator lint_off LATCH */
  always @(enable or d)
    if (enable) q = d;
endmodule
"""

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += self.q.eq(Mux(self.enable, self.d, self.q))
        return m


class ClockGate(CombinationalComponent):
    """The high phases of the clock before which `enable` was high; free of glitches, as `enable` is latched."""

    KIND = "clock_gate"
    ROLE = CELL

    clk: In(1)
    enable: In(1)
    gated_clk: Out(1)

    VERILOG = """module fineq_clock_gate(clk, enable, gated_clk);
  input clk;
  wire clk;
  input enable;
  wire enable;
  output gated_clk;
  wire gated_clk;
  reg open;
  /* verilator lint_off LATCH */
  always @(clk or enable)
    if (!clk) open = enable;
  assign gated_clk = clk & open;
endmodule
"""

    def elaborate(self, platform) -> Module:
        m = Module()
        opened = Signal()
        m.d.comb += [opened.eq(Mux(self.clk, opened, self.enable)), self.gated_clk.eq(self.clk & opened)]
        return m


class ActivationRegister(VerilogComponent):
    """The row on its way into the latches, shared by all rows.

    Ports:
        activations, load: the row to take at the clock edge when `load` is high.
        values: the row taken last.
    """

    KIND = "activation_register"
    ROLE = Role(CoreBlock.ACTIVATION_REGISTER, Synthesis.KEEP)

    def __init__(self, config: ArrayConfig | MacConfig) -> None:
        self.config = config
        layout = activation_vector_layout(config)
        super().__init__({"activations": In(layout), "load": In(1), "values": Out(layout)})

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (f"{self.config.columns}x{self.config.activation_bits}",)

    def elaborate(self, platform) -> Module:
        m = Module()
        values = Signal.like(self.values.as_value(), reset_less=True)
        with m.If(self.load):
            m.d.sync += values.eq(self.activations.as_value())
        m.d.comb += self.values.as_value().eq(values)
        return m


def storage_suffix(config: ArrayConfig | MacConfig) -> str:
    """End of the names of modules that depend on the storage."""
    return "_latch" if config.activation_storage == "latch" else ""


def incoming_row(m: Module, config: ArrayConfig | MacConfig, activations: Value, load: Signal) -> Value:
    """What the rows of an array take: the activations themselves, or those in the register before the latches.

    Args:
        m: the array.
        config: its configuration.
        activations: port of the array.
        load: one bit per row.
    """
    if config.activation_storage != "latch":
        return activations
    register = ActivationRegister(config)
    place(m, "activation_register", register)
    m.d.comb += [register.activations.eq(activations), register.load.eq(load.any())]
    return register.values


def row_load(m: Module, config: ArrayConfig | MacConfig, load: Signal) -> Signal:
    """What opens the storage of a row: `load` as it is, or the clock pulse after a cycle with `load`."""
    if config.activation_storage != "latch":
        return load
    gate = ClockGate()
    place(m, "clock_gate", gate)
    m.d.comb += [gate.clk.eq(ClockSignal()), gate.enable.eq(load)]
    return gate.gated_clk


def store(m: Module, config: ArrayConfig | MacConfig, activation: Value, load: Signal, name: str = "value") -> Signal:
    """A stationary activation.

    Args:
        m: the processing element.
        config: its configuration.
        activation: what to keep.
        load: from `row_load`.
        name: of the stored value.
    """
    value = Signal(activation.shape(), name=name, reset_less=True)
    if config.activation_storage == "latch":
        for index in range(len(value)):
            latch = Latch()
            place(m, f"{name}_{index}", latch)
            m.d.comb += [latch.enable.eq(load), latch.d.eq(activation[index]), value[index].eq(latch.q)]
    else:
        with m.If(load):
            m.d.sync += value.eq(activation)
    return value
