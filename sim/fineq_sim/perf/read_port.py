"""The read port as the `tile` engine sees it: one word after the other, activations before weights."""

from __future__ import annotations

from collections import deque

from fineq_hw.config import AcceleratorConfig
from fineq_sim.driver.memory_timing import MemoryTiming

REQUEST = 5
"""Cycles from a command to the first word, without the memory's latency: splitter, address, word register."""


class ReadPort:
    """When words come; all times in cycles.

    Args:
        config: the machine.
        memory: behind the port.
        begin: when the job begins.
        chunks: words of each transfer of weight lines, in order.
    """

    def __init__(self, config: AcceleratorConfig, memory: MemoryTiming, begin: float, chunks: list[int]) -> None:
        self._chunks = chunks
        self._word = 1 / memory.words_per_cycle
        # One line is decoded a cycle: where a word holds more than a line, words wait.
        self._line_word = max(self._word, config.bus_bytes / config.line_bytes)
        self._turn = memory.latency + REQUEST
        # Words of weights that are under way when others are asked for.
        self._ahead = config.outstanding_reads * config.max_burst_beats * self._word
        self._beats = -(-config.activation_tile_bytes // config.bus_bytes)
        self._longest, self._outstanding = config.max_burst_beats, config.outstanding_reads
        self._latency = memory.latency
        self._free = begin
        self._asked = 0
        self._waiting: deque[list[float]] = deque()  # when asked for, cycles
        self._records: deque[tuple[float, int, int]] = deque()
        self._filled: list[float] = []
        self._line_pace = max(self._pace(self._longest), self._line_word)
        self._shapes: dict[tuple[int, int], tuple[float, float]] = {}

    def ask_weights(self, time: float) -> None:
        """Ask for the lines that come next, if there are any."""
        if self._asked < len(self._chunks):
            self._waiting.append([time, self._chunks[self._asked] * self._line_pace])
            self._asked += 1

    def activations(self, time: float, rows: int, hungry: int | None = None) -> float:
        """When rows have come that could be asked for at a time.

        Args:
            time: when there is room for them.
            rows: of the array.
            hungry: transfer of lines that the array plays: they come first.
        """
        filled, records = self._filled, self._records
        if hungry is not None and hungry >= len(filled):
            self._serve(time)
            if hungry >= len(filled):
                time = max(time, self.filled(hungry))
        while records and records[0][0] <= time:
            self._move(*records.popleft())
        return self._move(time, rows * self._beats, self._beats)

    def records(self, time: float, words: int) -> float:
        """When records have come that are asked for at a time."""
        return self._move(time, words, min(words, self._longest))

    def ask_records(self, time: float, words: int) -> None:
        """Ask for records of parameters, of so many words, as of a time; later ones come later."""
        self._records.append((time, words, min(words, self._longest)))

    def filled(self, number: int) -> float:
        """When a transfer of lines has come as a whole."""
        while number >= len(self._filled):
            while self._records and self._records[0][0] <= self._waiting[0][0]:
                self._move(*self._records.popleft())
            self._serve(float("inf"), number)
        return self._filled[number]

    def _pace(self, beats: int) -> float:
        """Cycles a word in bursts of so many: short ones wait for the memory, since few are under way at a time."""
        return max(self._word, (self._latency + 1 + beats * self._word) / (self._outstanding * beats))

    def _shape(self, words: int, beats: int) -> tuple[float, float]:
        """Cycles that words in bursts take beside others, and from the first of them to the last at least."""
        known = self._shapes.get((words, beats))
        if known is None:
            pace = self._pace(beats)
            turns, left = divmod(-(-words // beats) - 1, self._outstanding)
            late = max(words * self._word, turns * self._outstanding * beats * pace + (left + 1) * beats * self._word)
            known = self._shapes[words, beats] = words * pace, late
        return known

    def _move(self, time: float, words: int, beats: int) -> float:
        """Words in bursts that come before weights, asked for at a time: when they have come."""
        arrival = time + self._turn
        if self._waiting:
            self._serve(arrival)
            if self._free >= arrival and self._waiting:
                # The weights that are under way come first.
                self._serve(self._free + max(0.0, self._ahead - self._turn))
        beside, late = self._shape(words, beats)
        one, other = self._free + beside, arrival + late
        self._free = one if one > other else other
        return self._free

    def _serve(self, until: float, number: int | None = None) -> None:
        """Move weights that come before a time; or up to a transfer."""
        waiting, filled = self._waiting, self._filled
        while waiting and (number is None or len(filled) <= number):
            ask, cycles = first = waiting[0]
            begin = ask + self._turn
            if begin < self._free:
                begin = self._free
            if begin + cycles <= until:
                self._free = begin + cycles
                filled.append(self._free)
                waiting.popleft()
                continue
            if begin < until:
                first[1] = cycles - (until - begin)
                self._free = until
            return
