"""What the memory engines must meet, in their own benches and in those of the whole machine."""

from __future__ import annotations

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import PAGE_BYTES, Response
from fineq_sim.coverage.groups import CoverGroup, Impossible, names

BURSTS = CoverGroup(
    "dma.bursts",
    "an address is taken on the memory port",
    {
        "channel": ("ar", "aw"),
        "length": ("one word", "several", "longest"),
        "begins": ("at a page", "inside"),
        "ends": ("at a page", "inside"),
    },
    [
        Impossible(
            lambda at: at["length"] == "one word" and at["begins"] == at["ends"] == "at a page",
            "a page has more than one word",
        ),
        Impossible(
            lambda at: at["length"] == "several" and at["begins"] == at["ends"] == "at a page",
            "a burst over a whole page is a longest one: no configuration allows more words than a page has",
        ),
    ],
)


def sample_burst(channel: str, address: int, beats: int, config: AcceleratorConfig) -> None:
    """Count a burst; where only one word is allowed it is `one word`."""
    end = address + beats * config.bus_bytes
    BURSTS.sample(
        channel=channel,
        length="one word" if beats == 1 else "longest" if beats == config.max_burst_beats else "several",
        begins="inside" if address % PAGE_BYTES else "at a page",
        ends="inside" if end % PAGE_BYTES else "at a page",
    )


RESPONSES = CoverGroup(
    "dma.responses",
    "an engine in its bench takes an answer of the memory",
    {"channel": ("r", "b"), "response": names(Response), "memory": ("steady", "pausing")},
)
