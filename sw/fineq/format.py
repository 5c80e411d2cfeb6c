"""The FineQ block format: 24 weights in 7 bytes (paper Section III-B, Fig. 4 step 5; docs/format.md).

This file is the single source of truth for every size of the format. The quantizer, the RTL, the
simulator and the documents import these constants; nothing repeats them.

A *cluster* is three consecutive weights of one channel. Two neighbouring clusters form a *pair* and share
one 2-bit *index code*. Eight clusters (24 weights) form a *block* of one index byte and 48 payload bits.
All fields are stored least significant bit first; all values are sign-magnitude with the sign on top.
"""

CLUSTER_WEIGHTS = 3
"""Weights in a cluster (paper: 'every three weights')."""

PAIR_CLUSTERS = 2
"""Neighbouring clusters that share one index code."""

INDEX_BITS = 2
"""Bits of an index code."""

NORMAL_BITS = 2
"""Bits of a weight in a cluster without outliers: values -1, 0, 1."""

OUTLIER_BITS = 3
"""Bits of a surviving weight in a cluster with outliers: values -3..3."""

CLUSTER_PAYLOAD_BITS = CLUSTER_WEIGHTS * NORMAL_BITS
"""Payload bits of a cluster, whichever its code: 3 x 2 or 2 x 3."""

BLOCK_PAIRS = 4
"""Index codes in the index byte of a block."""

BLOCK_CLUSTERS = BLOCK_PAIRS * PAIR_CLUSTERS
BLOCK_WEIGHTS = BLOCK_CLUSTERS * CLUSTER_WEIGHTS
INDEX_BYTES = BLOCK_PAIRS * INDEX_BITS // 8
PAYLOAD_BYTES = BLOCK_CLUSTERS * CLUSTER_PAYLOAD_BITS // 8
BLOCK_BYTES = INDEX_BYTES + PAYLOAD_BYTES

MAX_NORMAL = 2 ** (NORMAL_BITS - 1) - 1
"""Largest magnitude of a 2-bit weight."""

MAX_MAGNITUDE = 2 ** (OUTLIER_BITS - 1) - 1
"""Largest magnitude of any weight; also the longest temporal code in cycles."""

MAGNITUDE_BITS = OUTLIER_BITS - 1
"""Magnitude bits of a decoded (padded) weight."""

INDEX_ALL_NORMAL = 0
"""Index code '00': all three weights have 2 bits. Codes 1, 2, 3: weight 0, 1, 2 is zero, the others
3 bits."""
