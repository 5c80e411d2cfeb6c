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

    def ask_weights(self, time: float) -> None:
        """Ask for the lines that come next, if there are any."""
        if self._asked < len(self._chunks):
            pace = max(self._pace(self._longest), self._line_word)
            self._waiting.append([time, self._chunks[self._asked] * pace])
            self._asked += 1

    def activations(self, time: float, rows: int, hungry: int | None = None) -> float:
        """When rows have come that could be asked for at a time.

        Args:
            time: when there is room for them.
            rows: of the array.
            hungry: transfer of lines that the array plays: they come first.
        """
        if hungry is not None and hungry >= len(self._filled):
            self._serve(time)
            if hungry >= len(self._filled):
                time = max(time, self.filled(hungry))
        while self._records and self._records[0][0] <= time:
            self._move(*self._records.popleft())
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

    def _move(self, time: float, words: int, beats: int) -> float:
        """Words in bursts that come before weights, asked for at a time: when they have come."""
        arrival = time + self._turn
        self._serve(arrival)
        if self._free >= arrival and self._waiting:
            # The weights that are under way come first.
            self._serve(self._free + max(0.0, self._ahead - self._turn))
        pace = self._pace(beats)
        turns, left = divmod(-(-words // beats) - 1, self._outstanding)
        late = max(words * self._word, turns * self._outstanding * beats * pace + (left + 1) * beats * self._word)
        self._free = max(self._free + words * pace, arrival + late)
        return self._free

    def _serve(self, until: float, number: int | None = None) -> None:
        """Move weights that come before a time; or up to a transfer."""
        while self._waiting and (number is None or len(self._filled) <= number):
            ask, cycles = self._waiting[0]
            begin = max(self._free, ask + self._turn)
            if begin + cycles <= until:
                self._free = begin + cycles
                self._filled.append(self._free)
                self._waiting.popleft()
                continue
            if begin < until:
                self._waiting[0][1] = cycles - (until - begin)
                self._free = until
            return
