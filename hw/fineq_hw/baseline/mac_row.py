"""A row of the MAC array: elements that multiply and pass their partial sum on to the right."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.cells.activation_storage import row_load, storage_suffix, store
from fineq_hw.config import MacConfig
from fineq_hw.lib.core_ports import activation_vector_layout
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


def partial_bits(config: MacConfig, columns: int) -> int:
    """Width of a signed sum of `columns` products."""
    return (columns * config.max_product_magnitude).bit_length() + 1


def row_parameters(config: MacConfig) -> str:
    """The parameters that a row depends on, for module names."""
    suffix = storage_suffix(config)
    return f"{config.activation_bits}x{config.weight_bits}_{config.columns}_{config.weight_path}{suffix}"


class MacProcessingElement(VerilogComponent):
    """partial_out = partial_in + activation x weight, registered.

    Args:
        config: the array.
        column: position in the row; fixes the widths of the partial sums. Column 0 has no `partial_in`.

    Ports:
        activation, load: the stationary activation, taken when `load` is high (see `activation_storage`).
        weight: from the element above (`systolic`, registered here) or the column's wire (`broadcast`).
        weight_out (`systolic` only): the registered weight, to the element below.
        enable: advance; otherwise everything but the activation stays.
    """

    KIND = "mac_element"
    ROLE = Role(CoreBlock.PROCESSING_ELEMENTS, Synthesis.UNIT)

    def __init__(self, config: MacConfig, column: int) -> None:
        self.config = config
        self.column = column
        ports = {
            "activation": In(signed(config.activation_bits)),
            "load": In(1),
            "weight": In(signed(config.weight_bits)),
            "enable": In(1),
            "partial_out": Out(signed(partial_bits(config, column + 1))),
        }
        if column > 0:
            ports["partial_in"] = In(signed(partial_bits(config, column)))
        if config.weight_path == "systolic":
            ports["weight_out"] = Out(signed(config.weight_bits))
        super().__init__(ports)

    @property
    def module_parameters(self) -> tuple[object, ...]:
        """Elements with the same widths are the same circuit."""
        config = self.config
        before = partial_bits(config, self.column) if self.column else 0
        after = partial_bits(config, self.column + 1)
        kind = f"{config.activation_bits}x{config.weight_bits}"
        return (kind, before, after, f"{config.weight_path}{storage_suffix(config)}")

    def elaborate(self, platform) -> Module:
        m = Module()
        activation = store(m, self.config, self.activation, self.load, "stationary")
        total = Signal.like(self.partial_out, reset_less=True)
        weight = self.weight
        if self.config.weight_path == "systolic":
            weight = Signal(signed(self.config.weight_bits), reset_less=True)
            with m.If(self.enable):
                m.d.sync += weight.eq(self.weight)
            m.d.comb += self.weight_out.eq(weight)
        product = activation * weight
        with m.If(self.enable):
            m.d.sync += total.eq(product + self.partial_in if self.column else product)
        m.d.comb += self.partial_out.eq(total)
        return m


class MacRow(VerilogComponent):
    """A row of elements: weights enter from above and leave below, the sum leaves on the right."""

    KIND = "mac_row"
    ROLE = Role(CoreBlock.PROCESSING_ELEMENTS, Synthesis.KEEP, by_sweeping=True, repeated=True)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        weights = data.ArrayLayout(signed(config.weight_bits), config.columns)
        super().__init__(
            {
                "activations": In(activation_vector_layout(config)),
                "load": In(1),
                "weights": In(weights),
                **({"weights_out": Out(weights)} if config.weight_path == "systolic" else {}),
                "enable": In(1),
                "sum": Out(signed(partial_bits(config, config.columns))),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (row_parameters(self.config),)

    def elaborate(self, platform) -> Module:
        m = Module()
        load = row_load(m, self.config, self.load)
        partial = None
        for column in range(self.config.columns):
            element = MacProcessingElement(self.config, column)
            place(m, f"element_{column}", element)
            m.d.comb += [
                element.activation.eq(self.activations[column]),
                element.load.eq(load),
                element.weight.eq(self.weights[column]),
                element.enable.eq(self.enable),
            ]
            if partial is not None:
                m.d.comb += element.partial_in.eq(partial)
            if self.config.weight_path == "systolic":
                m.d.comb += self.weights_out[column].eq(element.weight_out)
            partial = element.partial_out
        m.d.comb += self.sum.eq(partial)
        return m
