"""What the whole machine must meet under its driver."""

from __future__ import annotations

from collections.abc import Iterable

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.error_codes import REGIONS, ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_hw.interface.registers import STAGES
from fineq_sim.coverage.array import ARRAY_KINDS, TERMINATION
from fineq_sim.coverage.control import DESCRIPTOR_CODES
from fineq_sim.coverage.groups import CoverGroup, Impossible, names

FORMATS = names(OutputFormat)

JOBS = CoverGroup(
    "machine.jobs",
    "a job is done",
    {"format": FORMATS, "function": names(ActivationFunction), "termination": TERMINATION},
    [
        Impossible(
            lambda at: at["format"] == OutputFormat.SUMS.name and at["function"] != ActivationFunction.NONE.name,
            "such a job is refused (FUNCTION_WITH_SUMS)",
        )
    ],
)

ARRAYS = CoverGroup(
    "machine.arrays",
    "a job is done, on a machine around this array",
    {"array": ARRAY_KINDS, "format": FORMATS, "termination": TERMINATION},
)

EXTENTS = ("part of a tile", "one tile", "whole tiles", "ragged")
"""Of a size of a layer against the size of a tile."""

SHAPES = CoverGroup(
    "machine.shapes", "a job is done; its sizes in tiles", dict.fromkeys(("tokens", "channels", "inner"), EXTENTS)
)

WORK = CoverGroup(
    "machine.work",
    "a job is done",
    {
        "memory": ("steady", "pausing"),
        "tiles": ("one", "several, whole", "several, ragged"),
        "format": FORMATS,
        "termination": TERMINATION,
    },
)


def extent(size: int, tile: int) -> str:
    """Which of `EXTENTS` a size is."""
    if size < tile:
        return "part of a tile"
    if size == tile:
        return "one tile"
    return "ragged" if size % tile else "whole tiles"


def tiles(extents: Iterable[str]) -> str:
    """The `tiles` of WORK, from the extents of a job."""
    extents = set(extents)
    if extents <= {"part of a tile", "one tile"}:
        return "one"
    return "several, whole" if extents <= {"one tile", "whole tiles"} else "several, ragged"


def extents(fields: dict[str, int], config: AcceleratorConfig) -> dict[str, str]:
    """Extents of a job, by the axes of SHAPES."""
    sizes = {"tokens": config.array.rows, "channels": config.channels_per_tile, "inner": config.array.columns}
    return {name: extent(fields[name], tile) for name, tile in sizes.items()}


MEMORIES = CoverGroup(
    "machine.memories",
    "a job is done, behind a memory of this kind (`fineq_sim.bench.shared_port`)",
    {"kind": ("two-ports", "one-port", "in-order", "late-answers"), "format": FORMATS},
)

LENGTHS = ("1", "2", "3", "4 or more", "endless")
ENDINGS = ("done", "refused", "bus error", "aborted", "memory silent")

CHAINS = CoverGroup(
    "machine.chains",
    "a chain has ended",
    {"jobs": LENGTHS, "ending": ENDINGS},
    [
        Impossible(
            lambda at: at["jobs"] == "endless" and at["ending"] in ("done", "refused"),
            "a chain without end has no last job, and each of its descriptors has been taken before",
        )
    ],
)

_FETCHED = {ErrorCode.DESCRIPTOR_MISALIGNED.name, ErrorCode.DESCRIPTOR_OUTSIDE.name}

REFUSALS = CoverGroup(
    "machine.refusals",
    "the machine has refused a descriptor of a chain",
    {"code": [code.name for code in DESCRIPTOR_CODES], "descriptor": ("first", "later")},
    [
        Impossible(
            lambda at: at["code"] in _FETCHED and at["descriptor"] == "later",
            "its address was refused before, as that of the next descriptor",
        )
    ],
)

BUS_ERRORS = CoverGroup(
    "machine.bus_errors",
    "a chain has ended with an error on the memory port; what the memory refused",
    {
        "region": [region for region in REGIONS if region != "next"],
        "code": [code.name for code in ErrorCode if ErrorCode.READ_SLAVE_ERROR <= code <= ErrorCode.WRITE_DECODE_ERROR],
    },
    [
        Impossible(
            lambda at: at["code"].startswith("WRITE") != (at["region"] == "destination"),
            "the destination is written, everything else is read",
        )
    ],
)

ACCESS_ERRORS = CoverGroup(
    "machine.access_errors",
    "the register port has refused an access",
    {
        "code": [code.name for code in ErrorCode if code >= ErrorCode.START_WHILE_BUSY],
        "machine": ("idle", "busy"),
    },
    [Impossible(lambda at: at["code"].endswith("WHILE_BUSY") and at["machine"] == "idle", "an idle machine takes it")],
)

ABORTS = CoverGroup(
    "machine.aborts",
    "a job has been aborted; how far each stage was with it",
    {"stage": STAGES, "progress": ("not begun", "under way", "done"), "format": FORMATS},
)

SILENCE = CoverGroup(
    "machine.silence",
    "a memory has fallen silent on a channel, or on all",
    {
        "channel": ("ar", "r", "aw", "w", "b", "all"),
        "ends": ("chain given up", "later chain given up", "abort given up", "reset line"),
    },
    [
        Impossible(
            lambda at: at["channel"] != "all" and at["ends"] == "later chain given up",
            "a chain that starts behind a memory of which one channel is silent is the case `chain given up`",
        ),
    ],
)
