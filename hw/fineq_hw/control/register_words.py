"""Registers as the words and the fields that a bus sees."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Const, Value
from amaranth.utils import exact_log2

from fineq_hw.control.event_counter import EventCounter
from fineq_hw.interface.registers import ADDRESS_BITS, REGISTERS, WORD_BITS, WORD_BYTES, Register

NUMBER_BITS = ADDRESS_BITS - exact_log2(WORD_BYTES)
"""Width of the number of a word: its address without the lowest bits."""


def word_numbers(register: Register) -> range:
    """Numbers of the words of a register."""
    first = register.offset // WORD_BYTES
    return range(first, first + register.words)


def composed(register: Register, values: Mapping[str, Value]) -> Value:
    """Value of a register from the values of its fields."""
    word = Const(0, register.bits)
    for name, value in values.items():
        word = word | (value << register.field(name).offset)
    return word[: register.bits]


def readable_words(
    values: Mapping[str, Value], counters: Mapping[int, EventCounter], held_high: Value
) -> dict[int, Value]:
    """Every word that can be read, by its number.

    Args:
        values: of the registers by name; those of counters are not looked at.
        counters: by the number of their low word.
        held_high: what the high word of any counter reads.
    """
    words: dict[int, Value] = {}
    for register in REGISTERS.values():
        numbers = word_numbers(register)
        if numbers[0] in counters:
            words |= {numbers[0]: counters[numbers[0]].low, numbers[1]: held_high}
            continue
        for word, number in enumerate(numbers):
            words[number] = values[register.name][word * WORD_BITS : (word + 1) * WORD_BITS]
    return words
