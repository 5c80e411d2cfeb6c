"""Line decoder: a weight-buffer line of packed blocks to all its weights (the 64 decoders of the paper's Table III)."""

from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq.format import (
    BLOCK_BYTES,
    BLOCK_CLUSTERS,
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_BITS,
    INDEX_BYTES,
    PAIR_CLUSTERS,
)
from fineq_hw.config import ArrayConfig
from fineq_hw.decode.decoder import Decoder
from fineq_hw.lib.core_ports import weight_layout
from fineq_hw.lib.hierarchy import CombinationalComponent, place
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


class LineDecoder(CombinationalComponent):
    """A weight-buffer line to all its weights. Combinational: one `Decoder` per cluster.

    A line holds whole blocks and whole weight vectors: at 64 columns 8 blocks, 56 bytes, 64 decoders.

    Args:
        config: the array that the line feeds; fixes the length of the line.
    """

    KIND = "line_decoder"
    ROLE = Role(CoreBlock.DECODERS, Synthesis.KEEP)

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(
            {
                "line": In(config.line_bytes * 8),
                "weights": Out(data.ArrayLayout(weight_layout, config.line_weights)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.config.line_blocks,)

    def elaborate(self, platform) -> Module:
        m = Module()
        for block in range(self.config.line_blocks):
            packed = self.line.word_select(block, BLOCK_BYTES * 8)
            indices, payload = packed[: INDEX_BYTES * 8], packed[INDEX_BYTES * 8 :]
            for cluster in range(BLOCK_CLUSTERS):
                decoder = Decoder()
                first = block * BLOCK_CLUSTERS + cluster
                place(m, f"decoder_{first}", decoder)
                m.d.comb += [
                    decoder.index.eq(indices.word_select(cluster // PAIR_CLUSTERS, INDEX_BITS)),
                    decoder.payload.eq(payload.word_select(cluster, CLUSTER_PAYLOAD_BITS)),
                ]
                for position in range(CLUSTER_WEIGHTS):
                    m.d.comb += self.weights[first * CLUSTER_WEIGHTS + position].eq(decoder.weights[position])
        return m
