"""Weight decoders: packed block bytes to padded 3-bit weights (paper Section IV-B, Fig. 6; docs/format.md)."""

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from fineq.format import (
    BLOCK_BYTES,
    BLOCK_CLUSTERS,
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_ALL_NORMAL,
    INDEX_BITS,
    INDEX_BYTES,
    NORMAL_BITS,
    OUTLIER_BITS,
    PAIR_CLUSTERS,
)
from fineq_hw.config import ArrayConfig
from fineq_hw.lib.core_ports import weight_layout
from fineq_hw.lib.hierarchy import place


class Decoder(wiring.Component):
    """One cluster: index code and six payload bits to three weights. Combinational.

    Each output is a multiplexer as in Fig. 6. Under the code for 'all normal' weight j is the j-th pair of
    payload bits, its magnitude padded with zeros; under code k weight k - 1 is zero and the other two take
    the payload's two triples in order.
    """

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


class LineDecoder(wiring.Component):
    """A weight-buffer line to all its weights. Combinational: one `Decoder` per cluster.

    A line holds whole blocks and whole weight vectors: at 64 columns 8 blocks, 56 bytes, 64 decoders.

    Args:
        config: the array that the line feeds; fixes the length of the line.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(
            {
                "line": In(config.line_bytes * 8),
                "weights": Out(data.ArrayLayout(weight_layout, config.line_weights)),
            }
        )

    @staticmethod
    def module_name(config: ArrayConfig) -> str:
        return f"fineq_line_decoder_{config.line_blocks}"

    def elaborate(self, platform) -> Module:
        m = Module()
        for block in range(self.config.line_blocks):
            packed = self.line.word_select(block, BLOCK_BYTES * 8)
            indices, payload = packed[: INDEX_BYTES * 8], packed[INDEX_BYTES * 8 :]
            for cluster in range(BLOCK_CLUSTERS):
                decoder = Decoder()
                first = block * BLOCK_CLUSTERS + cluster
                place(m, f"decoder_{first}", decoder, "fineq_decoder", clocked=False)
                m.d.comb += [
                    decoder.index.eq(indices.word_select(cluster // PAIR_CLUSTERS, INDEX_BITS)),
                    decoder.payload.eq(payload.word_select(cluster, CLUSTER_PAYLOAD_BITS)),
                ]
                for position in range(CLUSTER_WEIGHTS):
                    m.d.comb += self.weights[first * CLUSTER_WEIGHTS + position].eq(decoder.weights[position])
        return m
