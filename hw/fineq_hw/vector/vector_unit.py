"""Vector unit: scales, bias, activation function, requantization (paper Fig. 5(a); docs/hardware/vector-unit.md)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import RESULT_BITS, OutputFormat
from fineq_hw.latencies import VECTOR_LANE_LATENCY
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.machine_streams import job_layout, scaled_group_layout, write_word_layout
from fineq_hw.lib.role import MachineBlock, Role, Synthesis
from fineq_hw.vector.vector_lane import VectorLane

_NARROW_GROUPS = RESULT_BITS // 8
"""So many groups of 8-bit results take the room of one of 32-bit results."""


class VectorUnit(VerilogComponent):
    """Turns groups of sums into bus words of results.

    One group a cycle, unless its 32-bit results take several words (`vector_words`). A word is offered
    `latencies.VECTOR_UNIT_LATENCY` cycles after the group that completes it was accepted, further words of the same
    group after it: every group gives words for 32-bit results; for 8-bit results the last one of a row and all that
    complete a word. A word that is not taken freezes the whole pipeline.

    Ports:
        scaled: groups of sums with their parameters; the parameters do not matter for `OutputFormat.SUMS`.
        job: output format, function and requantization; held still while `busy`.
        words: results, the first in the lowest bits; strobes for the valid lanes, zero bytes elsewhere; `row_last`:
            last word of the row.
        busy: something is in the unit.
    """

    KIND = "vector_unit"
    ROLE = Role(MachineBlock.VECTOR_PROCESSING, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "scaled": In(stream.Signature(scaled_group_layout(config))),
                "job": In(job_layout(config)),
                "words": Out(stream.Signature(write_word_layout(config))),
                "busy": Out(1),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config = self.config
        return (f"{config.bus_bits}x{config.vector_words}", config.array.accumulator_bits, config.address_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        config, group = self.config, self.scaled.payload
        numbers = range(config.vector_lanes)
        small = self.job.output_format == OutputFormat.INT8
        word_valid = Signal()
        free = Signal()  # the output register takes a word
        advance = Signal()
        part = Signal(range(config.vector_words))  # word of the group, for 32-bit results
        part_last = Signal()
        m.d.comb += [
            free.eq(~word_valid | self.words.ready),
            advance.eq(free & part_last),
            self.scaled.ready.eq(advance),
            self.words.valid.eq(word_valid),
        ]

        results = []
        for number in numbers:
            lane = VectorLane(config.array.accumulator_bits)
            place(m, f"lane_{number}", lane)
            m.d.comb += [
                lane.sum.eq(group.sums[number]),
                lane.channel.eq(group.channels[number]),
                lane.token.eq(group.token),
                lane.enable.eq(advance),
            ]
            m.d.comb += [
                getattr(lane.settings, name).eq(getattr(self.job, name)) for name in lane.settings.shape().members
            ]
            results.append(lane.result)

        # What travels beside the lanes.
        tag = data.StructLayout({"valid": 1, "lanes": config.vector_lanes, "row_last": 1})
        tags = [Signal(tag, name=f"tag_{i}") for i in range(VECTOR_LANE_LATENCY)]
        with m.If(advance):
            m.d.sync += [
                tags[0].valid.eq(self.scaled.valid),
                tags[0].lanes.eq(Cat(group.valid_lanes > number for number in numbers)),
                tags[0].row_last.eq(group.row_last),
            ]
            m.d.sync += [after.eq(before) for before, after in zip(tags, tags[1:], strict=False)]
        done = tags[-1]

        wide = Cat(
            result.as_unsigned() & done.lanes[number].replicate(len(result)) for number, result in enumerate(results)
        )
        narrow = Cat(result[:8] & done.lanes[number].replicate(8) for number, result in enumerate(results))
        groups = _NARROW_GROUPS // config.vector_words  # of 8-bit results in a word
        lanes = config.vector_lanes // config.vector_words  # of 32-bit results in a word
        position = Signal(range(groups))
        complete = ~small | done.row_last | (position == groups - 1)
        more = Cat(*(done.lanes[number * lanes] for number in range(1, config.vector_words)), Const(0))
        m.d.comb += part_last.eq(~done.valid | small | ~(more >> part)[0])
        word = self.words.payload
        with m.If(free):
            m.d.sync += word_valid.eq(done.valid & complete)
            with m.If(done.valid):
                m.d.sync += [
                    position.eq(Mux(complete, 0, position + 1)),
                    part.eq(Mux(part_last, 0, part + 1)),
                    word.row_last.eq(done.row_last & part_last),
                ]
                with m.If(~small):
                    strobes = Cat(lane.replicate(4) for lane in done.lanes)
                    m.d.sync += [
                        word.data.eq(wide.word_select(part, config.bus_bits)),
                        word.strobe.eq(strobes.word_select(part, config.bus_bytes)),
                    ]
                with m.Else():
                    fresh = position == 0
                    m.d.sync += [
                        word.data.eq(Mux(fresh, 0, word.data) | (narrow << (position * len(narrow)))),
                        word.strobe.eq(Mux(fresh, 0, word.strobe) | (done.lanes << (position * len(done.lanes)))),
                    ]
        m.d.comb += self.busy.eq(Cat(entry.valid for entry in tags).any() | word_valid | (position != 0))
        return m
