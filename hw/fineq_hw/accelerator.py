"""The whole machine: from descriptors in memory to results there (paper Fig. 5(a); docs/hardware/architecture.md)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import MAX_CYCLES
from fineq_hw.array.core import TemporalCore
from fineq_hw.baseline.mac_core import MacCore
from fineq_hw.buffers.input_buffer import InputBuffer
from fineq_hw.buffers.output_buffer import OutputBuffer
from fineq_hw.buffers.parameter_buffer import ParameterBuffer
from fineq_hw.buffers.weight_buffer import WeightBuffer
from fineq_hw.config import AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.control.csr import ControlStatusRegisters
from fineq_hw.control.descriptor_unit import DescriptorUnit
from fineq_hw.control.job_control import JobControl
from fineq_hw.control.structs import counter_events_layout
from fineq_hw.control.watchdog import Watchdog
from fineq_hw.control.write_back import WriteBack
from fineq_hw.dma.read_dma import ReadDma
from fineq_hw.dma.write_dma import WriteDma
from fineq_hw.interface.registers import ADDRESS_BITS
from fineq_hw.lib.axi import axi_lite_slave_ports, axi_master_ports, axi_read_ports, axi_write_ports, connect_ports
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import MachineBlock, Role
from fineq_hw.vector.vector_unit import VectorUnit

READ_CLIENTS: tuple[str, ...] = ("descriptor_unit", "input_buffer", "parameter_buffer", "weight_buffer")
"""Clients of the read engine by priority. The weights look far ahead and need most: they take what the others leave."""


class Accelerator(VerilogComponent):
    """The accelerator around the temporal-coding array.

    Six stages overlap: memory access (read engine), decode (weight buffer), preload (input buffer), matrix
    multiplication (core and output buffer), vector processing (parameter buffer and vector unit) and write-back
    (write engine). All of them walk the same tiles of the job on their own; the streams between them do the rest.

    Ports:
        s_axil_*: AXI4-Lite slave, the registers of docs/hardware/registers.md.
        m_axi_*: AXI4 master.
        bus_rst: reset of what is at the other end of `m_axi`, for at least one cycle at power-up and whenever that is
            reset, never without `rst`. `rst` alone is allowed at any time: what the memory still owes, and what is
            owed to it, is remembered and brought to an end (docs/hardware/integration.md).
        irq: interrupt, a level; see the registers.

    Raises:
        ValueError: the configuration has an array of the other kind.
    """

    KIND = "accelerator"
    ROLE = Role(MachineBlock.TOP_LEVEL)

    ARRAY: type = ArrayConfig

    def __init__(self, config: AcceleratorConfig) -> None:
        if not isinstance(config.array, self.ARRAY):
            raise ValueError(
                f"array is {type(config.array).__name__}: {type(self).__name__} needs {self.ARRAY.__name__}"
            )
        self.config = config
        super().__init__(
            axi_lite_slave_ports(ADDRESS_BITS) | axi_master_ports(config) | {"bus_rst": In(1), "irq": Out(1)}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        control, watchdog = JobControl(config), Watchdog()
        registers = ControlStatusRegisters(config)
        descriptors = DescriptorUnit(config)
        reader, writer = ReadDma(config), WriteDma(config)
        inputs, weights, outputs = InputBuffer(config), WeightBuffer(config), OutputBuffer(config)
        parameters, vectors, write_back = ParameterBuffer(config), VectorUnit(config), WriteBack(config)
        core = self.core()

        place(m, "job_control", control)
        place(m, "watchdog", watchdog)
        place(m, "registers", registers)
        flush = control.flush
        place(m, "descriptor_unit", descriptors, reset=flush)
        place(m, "read_dma", reader, reset=flush)
        place(m, "write_dma", writer, reset=flush)
        place(m, "core", core, reset=flush)
        blocks = {
            "input_buffer": inputs,
            "weight_buffer": weights,
            "output_buffer": outputs,
            "parameter_buffer": parameters,
            "vector_unit": vectors,
            "write_back": write_back,
        }
        job = descriptors.jobs.payload.job
        for name, block in blocks.items():
            place(m, name, block, reset=flush)
            m.d.comb += block.job.eq(job)
            if block is not vectors:  # it has nothing to begin
                m.d.comb += block.start.eq(control.job_start)
        m.d.comb += control.working.eq(Cat(block.busy for block in blocks.values()).any())

        connect_ports(m, self, registers, axi_lite_slave_ports(ADDRESS_BITS))
        connect_ports(m, self, reader, axi_read_ports(config))
        connect_ports(m, self, writer, axi_write_ports(config))
        clients = {"descriptor_unit": descriptors, **blocks}
        for number, client in enumerate(clients[name] for name in READ_CLIENTS):
            wiring.connect(m, client.commands, getattr(reader, f"commands_{number}"))
            wiring.connect(m, getattr(reader, f"words_{number}"), client.words)
        m.d.comb += inputs.hold.eq(weights.hungry)
        wiring.connect(m, inputs.activations, core.activations)
        wiring.connect(m, weights.weights, core.weights)
        wiring.connect(m, outputs.partials, core.partials)
        wiring.connect(m, core.results, outputs.results)
        wiring.connect(m, outputs.groups, parameters.groups)
        wiring.connect(m, parameters.scaled, vectors.scaled)
        wiring.connect(m, vectors.words, writer.words)
        wiring.connect(m, write_back.commands, writer.commands)

        self._elaborate_control(m, control, registers, descriptors, reader, writer)
        self._elaborate_watchdog(m, watchdog, control, registers, reader, writer)
        computing, terminated = self.progress(m, core, job, flush)
        counted = {
            "multiply_busy": computing,
            "multiply_stall": ~core.activations.ready & ~computing,
            "terminated_cycles": terminated,
            "memory_access_stall": ~reader.idle & ~(self.m_axi_rvalid & self.m_axi_rready),
        }
        self._elaborate_events(m, registers.events, counted, inputs, weights, parameters)
        return m

    def core(self) -> TemporalCore | MacCore:
        """The array with its control."""
        assert isinstance(self.config.array, ArrayConfig)  # of the class `ARRAY`
        return TemporalCore(self.config.array)

    def progress(self, m: Module, core: TemporalCore, job: data.View, flush: Value) -> tuple[Value, Value]:
        """Whether the array executes a step, and the steps that a vector finished before has saved."""
        assert isinstance(self.config.array, ArrayConfig)
        m.d.comb += core.early_termination.eq(job.early_termination)
        full = MAX_CYCLES[self.config.array.encoding]
        steps = Signal(range(full + 1))  # of the vector in the array
        saved = Signal(range(MAX_MAGNITUDE + 1))
        fresh = Signal()  # a result on offer was not on offer in the cycle before
        finished = core.results.valid & fresh
        m.d.sync += [
            fresh.eq(~core.results.valid | core.results.ready),
            steps.eq(Mux(finished, 0, steps) + core.computing),
        ]
        with m.If(flush):  # the vector in the array goes with the core's reset
            m.d.sync += steps.eq(0)
        m.d.comb += saved.eq(Mux(finished, full - steps, 0))
        return core.computing, saved

    def _elaborate_control(
        self,
        m: Module,
        control: JobControl,
        registers: ControlStatusRegisters,
        descriptors: DescriptorUnit,
        reader: ReadDma,
        writer: WriteDma,
    ) -> None:
        checked = descriptors.jobs.payload
        wiring.connect(m, descriptors.jobs, control.jobs)
        m.d.comb += [
            descriptors.start.eq(registers.start),
            descriptors.address.eq(registers.descriptor),
            descriptors.memory_base.eq(registers.memory_base),
            descriptors.memory_limit.eq(registers.memory_limit),
            control.start.eq(registers.start),
            control.descriptor.eq(registers.descriptor),
            control.soft_reset.eq(registers.soft_reset),
            control.read_error.eq(reader.error),
            control.read_idle.eq(reader.idle),
            control.write_error.eq(writer.error),
            control.write_idle.eq(writer.idle),
            reader.stop.eq(control.stop),
            writer.stop.eq(control.stop),
            reader.bus_rst.eq(self.bus_rst),
            writer.bus_rst.eq(self.bus_rst),
            registers.memory_pending.eq(reader.pending | writer.pending),
            registers.job_tag.eq(checked.tag),
            registers.job_interrupt.eq(checked.job.interrupt),
            self.irq.eq(registers.irq),
        ]
        told = ("busy", "job_done", "chain_done", "fault_valid", "fault", "current_descriptor")
        m.d.comb += [getattr(registers, name).eq(getattr(control, name)) for name in told]

    def _elaborate_watchdog(
        self,
        m: Module,
        watchdog: Watchdog,
        control: JobControl,
        registers: ControlStatusRegisters,
        reader: ReadDma,
        writer: WriteDma,
    ) -> None:
        """A word that the memory offers is a sign of life even if nobody takes it: then the machine is on turn."""
        taken = [
            getattr(self, f"m_axi_{channel}valid") & getattr(self, f"m_axi_{channel}ready")
            for channel in ("ar", "aw", "w")
        ]
        m.d.comb += [
            watchdog.limit.eq(registers.watchdog_limit),
            watchdog.waiting.eq(control.busy & (reader.pending | writer.waiting)),
            watchdog.alive.eq(Cat(*taken, self.m_axi_rvalid, self.m_axi_bvalid).any()),
            control.memory_timeout.eq(watchdog.expired),
        ]

    def _elaborate_events(
        self,
        m: Module,
        events: data.View,
        counted: dict[str, Value],
        inputs: InputBuffer,
        weights: WeightBuffer,
        parameters: ParameterBuffer,
    ) -> None:
        """What the performance counters count (definitions: `fineq_hw.interface.registers`)."""
        rows, vectors, scaled = inputs.activations, weights.weights, parameters.scaled
        word_read = self.m_axi_rvalid & self.m_axi_rready
        word_written = self.m_axi_wvalid & self.m_axi_wready
        counted |= {
            "memory_access_busy": word_read,
            "decode_busy": weights.line_written,
            "decode_stall": weights.decoding & ~weights.line_written,
            "preload_busy": rows.valid & rows.ready,
            "preload_stall": inputs.busy & rows.ready & ~rows.valid,
            "vector_busy": scaled.valid & scaled.ready,
            "vector_stall": scaled.valid & ~scaled.ready,
            "write_back_busy": word_written,
            "write_back_stall": self.m_axi_wvalid & ~self.m_axi_wready,
            "weight_vectors": vectors.valid & vectors.ready,
            "tiles": rows.valid & rows.ready & rows.payload.last,
            "bytes_read": Mux(word_read, self.config.bus_bytes, 0),
            "bytes_written": Mux(word_written, sum(self.m_axi_wstrb), 0),
        }
        for name in counter_events_layout(self.config).members:
            m.d.comb += events[name].eq(counted[name])


class MacAccelerator(Accelerator):
    """The same machine with the MAC array: only the core and the lines of the weight buffer differ."""

    ARRAY = MacConfig

    def core(self) -> MacCore:
        assert isinstance(self.config.array, MacConfig)
        return MacCore(self.config.array)

    def progress(self, m: Module, core: MacCore, job: data.View, flush: Value) -> tuple[Value, Value]:
        """A step for every vector that enters; none is ever saved."""
        return core.weights.valid & core.weights.ready, Signal()


def make_accelerator(config: AcceleratorConfig) -> Accelerator:
    """The machine of a configuration, whichever array it has."""
    return (MacAccelerator if isinstance(config.array, MacConfig) else Accelerator)(config)
