"""What an encoding means in hardware: adder inputs of a row, select lines, and the order of the columns.

The columns of a row form groups: single columns, and with encoding `cluster` the three columns of one cluster.
A group turns its stationary activations into slots, which are operands of the row's adder tree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from amaranth.lib import data

from fineq.format import CLUSTER_WEIGHTS
from fineq_hw.config import ArrayConfig


@dataclass(frozen=True)
class Slot:
    """An operand of the adder tree: so many bits, worth 2 ** `shift` times as much."""

    bits: int
    shift: int = 0


@dataclass(frozen=True)
class Group:
    """Columns that share select lines: `size` of them from `first` on, as the array of `config` has them."""

    first: int
    size: int
    config: ArrayConfig

    @property
    def is_cluster(self) -> bool:
        return self.size > 1

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What the group adds in a step."""
        bits = self.config.activation_bits
        return {
            "unary": (Slot(bits),),
            "bitplane": (Slot(bits),),
            "2s-unary": (Slot(bits + 1),),
            "parallel": (Slot(bits), Slot(bits, 1)),
            "cluster": (Slot(bits + 1),) * CLUSTER_WEIGHTS,
        }[self.config.encoding]

    @property
    def products_layout(self) -> data.StructLayout:
        return data.StructLayout({f"slot_{i}": slot.bits for i, slot in enumerate(self.slots)})

    @property
    def lines_layout(self) -> data.StructLayout:
        """Select lines from the encoder to the elements of all rows (see `ProcessingElement`)."""
        if self.is_cluster:
            return data.StructLayout(
                {
                    "negative": self.size,
                    "single": self.size,
                    **{f"double_{a}_in_{b}": 1 for a in range(self.size) for b in range(self.size) if a != b},
                }
            )
        if self.config.sign_handling == "row":
            names: tuple[str, ...] = ("pulse", "negative")
        elif digits(self.config) == (0,):
            names = ("when_one", "when_zero")
        else:
            names = ("negative", "single", "double")
        return data.StructLayout({name: 1 for name in names})


def groups(config: ArrayConfig) -> list[Group]:
    """All groups of a row, in the order of their columns; columns that are left over stand alone."""
    if config.encoding != "cluster":
        return [Group(column, 1, config) for column in range(config.columns)]
    clusters = config.columns // CLUSTER_WEIGHTS
    rest = range(clusters * CLUSTER_WEIGHTS, config.columns)
    alone = replace(config, encoding="parallel")
    return [Group(CLUSTER_WEIGHTS * i, CLUSTER_WEIGHTS, config) for i in range(clusters)] + [
        Group(column, 1, alone) for column in rest
    ]


def row_slots(config: ArrayConfig) -> list[Slot]:
    """All operands that the columns of a row give to its adder tree."""
    return [slot for group in groups(config) for slot in group.slots]


def digits(config: ArrayConfig) -> tuple[int, ...]:
    """Powers of two that a column can contribute in one step, as exponents."""
    return (0,) if config.encoding in ("unary", "bitplane") else (0, 1)


def name_part(config: ArrayConfig) -> str:
    """The encoding in a module name."""
    return config.encoding.replace("-", "_")
