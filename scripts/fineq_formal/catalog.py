"""All proofs."""

from __future__ import annotations

from fineq.common.errors import FineqError
from fineq_formal.proof import Proof
from fineq_formal.proofs import flush, streams
from fineq_formal.proofs.array import cores, encoders
from fineq_formal.proofs.buffers import gearboxes, halves
from fineq_formal.proofs.control import addresses, counters, counts, descriptors, jobs, walks, watchdogs
from fineq_formal.proofs.decode import decoders
from fineq_formal.proofs.dma import reading, splitter, writing
from fineq_formal.proofs.lib import queues

PROOFS: tuple[Proof, ...] = (
    *queues.PROOFS,
    *decoders.PROOFS,
    *encoders.PROOFS,
    *cores.PROOFS,
    *halves.PROOFS,
    *gearboxes.PROOFS,
    *splitter.PROOFS,
    *reading.PROOFS,
    *writing.PROOFS,
    *walks.PROOFS,
    *watchdogs.PROOFS,
    *counters.PROOFS,
    *addresses.PROOFS,
    *jobs.PROOFS,
    *counts.PROOFS,
    *descriptors.PROOFS,
    *streams.PROOFS,
    *flush.PROOFS,
)


def select(only: str | None = None, short: bool = False) -> list[Proof]:
    """Proofs whose name contains a text, or of the short set.

    Raises:
        FineqError: there is none.
    """
    found = [proof for proof in PROOFS if (only is None or only in proof.name) and (proof.short or not short)]
    if not found:
        raise FineqError(f"no proof matches {only!r}: `fineq formal --list` names them")
    return found
