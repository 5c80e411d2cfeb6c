"""The accelerator's registers in hardware: AXI4-Lite slave, flags, counters (definitions: `interface.registers`)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.event_counter import EventCounter
from fineq_hw.control.register_words import NUMBER_BITS, composed, readable_words, word_numbers
from fineq_hw.control.structs import counter_events_layout, fault_layout
from fineq_hw.interface.bus import Response
from fineq_hw.interface.error_codes import ERROR_CODE_BITS, ErrorCode
from fineq_hw.interface.jobs import POINTER_BITS, TAG_BITS
from fineq_hw.interface.registers import (
    ADDRESS_BITS,
    COUNTERS,
    REGISTERS,
    WORD_BITS,
    WORD_BYTES,
    Access,
    Register,
    counter_offset,
)
from fineq_hw.lib.axi import axi_lite_slave_ports
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import MachineBlock, Role, Synthesis


class ControlStatusRegisters(VerilogComponent):
    """AXI4-Lite slave with the registers of docs/hardware/registers.md. One read and one write at a time.

    A write takes effect in the cycle after its address and its data are both there; the answer is valid one cycle
    later. A read is answered two cycles after its address.

    Ports:
        s_axil_*: the bus.
        start, soft_reset: for one cycle, as told by the bus master; never `start` while `busy`.
        descriptor, memory_base, memory_limit: values of the registers; the latter two do not change while `busy`.
        watchdog_limit: value of WATCHDOG.
        busy: a chain is being worked off.
        memory_pending: a burst is under way on the memory port.
        job_done, job_tag, job_interrupt: a job is finished (for one cycle); its tag, whether it shall be noticed.
        chain_done: together with the last `job_done`.
        fault_valid, fault: the chain has ended with an error (for one cycle).
        current_descriptor: for the register of that name.
        events: for the performance counters.
        irq: interrupt, a level; low again when the flags that raised it are cleared.
    """

    KIND = "csr"
    ROLE = Role(MachineBlock.CONTROL, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            axi_lite_slave_ports(ADDRESS_BITS, WORD_BITS)
            | {
                "start": Out(1),
                "soft_reset": Out(1),
                "descriptor": Out(POINTER_BITS),
                "memory_base": Out(config.address_bits),
                "memory_limit": Out(config.address_bits),
                "watchdog_limit": Out(WORD_BITS),
                "busy": In(1),
                "memory_pending": In(1),
                "job_done": In(1),
                "job_tag": In(TAG_BITS),
                "job_interrupt": In(1),
                "chain_done": In(1),
                "fault_valid": In(1),
                "fault": In(fault_layout),
                "current_descriptor": In(POINTER_BITS),
                "events": In(counter_events_layout(config)),
                "irq": Out(1),
            }
        )
        # A write: for one cycle when its address and its data are both there; word, data, bits whose strobe is set,
        # and why it is refused, or NONE.
        self._write = Signal()
        self._write_word = Signal(NUMBER_BITS)
        self._write_data = Signal(WORD_BITS)
        self._write_bits = Signal(WORD_BITS)
        self._refusal = Signal(ERROR_CODE_BITS)
        # A read: for one cycle whether there is no such word, and the number of the word.
        self._read_refused, self._read_word = Signal(), Signal(NUMBER_BITS)
        # Commands beside those that are ports.
        self._clear_counters = Signal()

    @property
    def module_parameters(self) -> tuple[object, ...]:
        """Identification registers hold the whole configuration, so the name is that of the array and the rest."""
        config, array = self.config, self.config.array
        sizes = (f"{array.rows}x{array.columns}", array.weight_code, array.accumulator_bits)
        return (*sizes, config.bus_bits, config.address_bits, config.channels_per_tile, *config.attribute_name)

    def elaborate(self, platform) -> Module:
        m = Module()
        self._take_writes(m)
        self._check_writes(m)
        values = self._constants()
        values |= self._stored(m)
        m.d.comb += [
            self.descriptor.eq(values["DESCRIPTOR"]),
            self.memory_base.eq(values["MEMORY_BASE"]),
            self.memory_limit.eq(values["MEMORY_LIMIT"]),
            self.watchdog_limit.eq(values["WATCHDOG"]),
        ]
        self._commands(m)
        values |= self._flags(m)
        m.d.comb += self.irq.eq((values["STATUS"] & values["INTERRUPT_ENABLE"]).any())
        values |= self._job_results(m)
        self._answer_reads(m, values, self._counters(m))
        return m

    # -- writing ---------------------------------------------------------------------------------------------

    def _take_writes(self, m: Module) -> None:
        """Collect address and data, whichever comes first, and answer when both have been there."""
        has_address, has_data = Signal(), Signal()
        strobe = Signal(WORD_BYTES)
        m.d.comb += [
            self.s_axil_awready.eq(~has_address),
            self.s_axil_wready.eq(~has_data),
            self._write.eq(has_address & has_data & ~self.s_axil_bvalid),
            self._write_bits.eq(Cat(bit.replicate(8) for bit in strobe)),
        ]
        with m.If(self.s_axil_awvalid & self.s_axil_awready):
            m.d.sync += [has_address.eq(1), self._write_word.eq(self.s_axil_awaddr[-NUMBER_BITS:])]
        with m.If(self.s_axil_wvalid & self.s_axil_wready):
            m.d.sync += [has_data.eq(1), self._write_data.eq(self.s_axil_wdata), strobe.eq(self.s_axil_wstrb)]
        with m.If(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        with m.If(self._write):
            response = Mux(self._refusal == ErrorCode.NONE, Response.OKAY, Response.SLVERR)
            m.d.sync += [
                has_address.eq(0),
                has_data.eq(0),
                self.s_axil_bvalid.eq(1),
                self.s_axil_bresp.eq(response),
            ]

    def _check_writes(self, m: Module) -> None:
        """Why the write is refused, if it is."""
        start = REGISTERS["CONTROL"].field("start")
        with m.Switch(self._write_word):
            for register in REGISTERS.values():
                with m.Case(*word_numbers(register)):
                    if not register.writable:
                        m.d.comb += self._refusal.eq(ErrorCode.READ_ONLY)
                    elif register.locked:
                        with m.If(self.busy):
                            m.d.comb += self._refusal.eq(ErrorCode.WRITE_WHILE_BUSY)
                    elif register.name == "CONTROL":
                        with m.If(self.busy & (self._write_data & self._write_bits)[start.offset]):
                            m.d.comb += self._refusal.eq(ErrorCode.START_WHILE_BUSY)
            with m.Default():
                m.d.comb += self._refusal.eq(ErrorCode.UNMAPPED_WRITE)

    def _writes(self, register: Register, word: int = 0) -> Value:
        """Whether a word of a register is being written, without refusal."""
        accepted = self._write & (self._refusal == ErrorCode.NONE)
        return accepted & (self._write_word == word_numbers(register)[word])

    def _written_ones(self, register: Register) -> Value:
        """Bits of a one-word register that are being written with 1."""
        return Mux(self._writes(register), self._write_data & self._write_bits, 0)

    # -- registers: each method gives the values of some of them by name ---------------------------------------

    def _constants(self) -> dict[str, Value]:
        """Registers that always read the same: the identification, and CONTROL, whose commands read as zero."""
        return {
            register.name: Const(register.reset(self.config), register.bits)
            for register in REGISTERS.values()
            if not register.writable or register.name == "CONTROL"
        }

    def _stored(self, m: Module) -> dict[str, Value]:
        """Registers that keep what is written."""
        values = {}
        for register in REGISTERS.values():
            fields = [field for field in register.fields if field.access is Access.RW]
            if not fields:
                continue
            kept = sum(field.mask for field in fields)
            if register.locked:
                kept &= (1 << self.config.address_bits) - 1
            stored = Signal(register.bits, init=register.reset(self.config), name=register.name.lower())
            for word in range(register.words):
                old = stored.word_select(word, WORD_BITS)
                new = (old & ~self._write_bits) | (self._write_data & self._write_bits)
                with m.If(self._writes(register, word)):
                    m.d.sync += old.eq(new & (kept >> word * WORD_BITS & (1 << WORD_BITS) - 1))
            values[register.name] = stored
        return values

    def _commands(self, m: Module) -> None:
        """What a write to CONTROL starts."""
        control = REGISTERS["CONTROL"]
        written = self._written_ones(control)
        for name, command in (
            ("start", self.start),
            ("soft_reset", self.soft_reset),
            ("clear_counters", self._clear_counters),
        ):
            m.d.comb += command.eq(written[control.field(name).offset])

    def _flags(self, m: Module) -> dict[str, Value]:
        """STATUS, ERROR and ACCESS_ERROR. What is set in the cycle in which it is cleared stays set."""
        status = REGISTERS["STATUS"]
        flags = {field.name: Signal(name=field.name) for field in status.fields if field.access is Access.W1C}
        cleared = Signal(WORD_BITS)
        m.d.comb += cleared.eq(self._written_ones(status))
        fault, access_fault = Signal(fault_layout), Signal(ERROR_CODE_BITS)
        access_word = Signal.like(self._write_word)

        clear = {name: cleared[status.field(name).offset] | (self.start & (name != "access_error")) for name in flags}
        for name, flag in flags.items():
            with m.If(clear[name]):
                m.d.sync += flag.eq(0)
                if name == "error":
                    m.d.sync += fault.eq(0)
                if name == "access_error":
                    m.d.sync += [access_fault.eq(0), access_word.eq(0)]
        with m.If(self.chain_done):
            m.d.sync += flags["done"].eq(1)
        with m.If(self.job_done & self.job_interrupt):
            m.d.sync += flags["job_done"].eq(1)
        with m.If(self.fault_valid & (~flags["error"] | clear["error"])):
            m.d.sync += [flags["error"].eq(1), fault.eq(self.fault)]
        write_refused = self._write & (self._refusal != ErrorCode.NONE)
        with m.If((write_refused | self._read_refused) & (~flags["access_error"] | clear["access_error"])):
            m.d.sync += [
                flags["access_error"].eq(1),
                access_fault.eq(Mux(write_refused, self._refusal, ErrorCode.UNMAPPED_READ)),
                access_word.eq(Mux(write_refused, self._write_word, self._read_word)),
            ]
        access_address = access_word << exact_log2(WORD_BYTES)
        return {
            "STATUS": composed(status, {"busy": self.busy, "memory_pending": self.memory_pending, **flags}),
            "ACCESS_ERROR": composed(REGISTERS["ACCESS_ERROR"], {"code": access_fault, "register": access_address}),
            "ERROR": composed(REGISTERS["ERROR"], {"code": fault.code, "detail": fault.detail}),
            "ERROR_ADDRESS": fault.address,
        }

    def _job_results(self, m: Module) -> dict[str, Value]:
        """What the jobs leave."""
        jobs, tag = Signal(32), Signal(TAG_BITS)
        with m.If(self.job_done):
            m.d.sync += [jobs.eq(jobs + 1), tag.eq(self.job_tag)]
        return {"JOBS_DONE": jobs, "TAG": tag, "CURRENT_DESCRIPTOR": self.current_descriptor}

    def _counters(self, m: Module) -> dict[int, EventCounter]:
        """Counters by the number of their low word. Events are registered first: nobody waits for an adder here."""
        counters = {}
        own = {"cycles": self.busy, "jobs": self.job_done}
        for counter in COUNTERS:
            shape = unsigned(counter.event_bits(self.config))
            event = Signal(shape, name=f"{counter.name}_event")
            m.d.sync += event.eq(own[counter.name] if counter.name in own else self.events[counter.name])
            component = EventCounter(shape)
            place(m, f"count_{counter.name}", component)
            m.d.comb += [component.event.eq(event), component.clear.eq(self._clear_counters)]
            counters[counter_offset(counter.name) // WORD_BYTES] = component
        return counters

    # -- reading ---------------------------------------------------------------------------------------------

    def _answer_reads(self, m: Module, values: dict[str, Value], counters: dict[int, EventCounter]) -> None:
        """Address, then the word out of a register. Reading a counter's low word keeps its high word."""
        reading = Signal()  # the address is there
        answered = Signal()  # first cycle of the answer
        held_high = Signal(WORD_BITS)
        m.d.comb += self.s_axil_arready.eq(~reading & ~self.s_axil_rvalid)
        m.d.sync += answered.eq(reading)
        with m.If(self.s_axil_arvalid & self.s_axil_arready):
            m.d.sync += [reading.eq(1), self._read_word.eq(self.s_axil_araddr[-NUMBER_BITS:])]
        with m.If(reading):
            m.d.sync += [reading.eq(0), self.s_axil_rvalid.eq(1), self.s_axil_rresp.eq(Response.OKAY)]
            with m.Switch(self._read_word):
                for number, word in readable_words(values, counters, held_high).items():
                    with m.Case(number):
                        m.d.sync += self.s_axil_rdata.eq(word)
                with m.Default():
                    m.d.comb += self._read_refused.eq(1)
                    m.d.sync += [self.s_axil_rdata.eq(0), self.s_axil_rresp.eq(Response.SLVERR)]
        with m.If(self.s_axil_rvalid & self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)
        with m.If(answered):
            with m.Switch(self._read_word):
                for number, counter in counters.items():
                    with m.Case(number):
                        m.d.sync += held_high.eq(counter.high)
