"""Weight decoder: one cluster to padded 3-bit weights (paper Section IV-B, Fig. 6; docs/quantizer/format.md)."""

from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq.format import (
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_ALL_NORMAL,
    INDEX_BITS,
    NORMAL_BITS,
    OUTLIER_BITS,
)
from fineq_hw.lib.core_ports import weight_layout
from fineq_hw.lib.hierarchy import CombinationalComponent
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


class Decoder(CombinationalComponent):
    """One cluster: index code and six payload bits to three weights. Combinational.

    Each output is a multiplexer as in Fig. 6. Under the code for 'all normal' weight j is the j-th pair of
    payload bits, its magnitude padded with zeros; under code k weight k - 1 is zero and the other two take
    the payload's two triples in order.
    """

    KIND = "decoder"
    ROLE = Role(CoreBlock.DECODERS, Synthesis.UNIT)

    index: In(INDEX_BITS)
    payload: In(CLUSTER_PAYLOAD_BITS)
    weights: Out(data.ArrayLayout(weight_layout, CLUSTER_WEIGHTS))

    def elaborate(self, platform) -> Module:
        m = Module()
        for position in range(CLUSTER_WEIGHTS):
            weight = self.weights[position]
            normal = self.payload.word_select(position, NORMAL_BITS)
            with m.Switch(self.index):
                with m.Case(INDEX_ALL_NORMAL):
                    m.d.comb += [weight.magnitude.eq(normal[:-1]), weight.sign.eq(normal[-1])]
                for zeroed in range(CLUSTER_WEIGHTS):
                    with m.Case(zeroed + 1):
                        if zeroed != position:
                            slot = position - (position > zeroed)
                            m.d.comb += weight.eq(self.payload.word_select(slot, OUTLIER_BITS))
        return m
