"""The driver's transports over a link: an accelerator with its own memory, or a core that the host feeds with tiles."""

from __future__ import annotations

import numpy as np

from fineq.format import pack
from fineq_hw.config import AcceleratorConfig, ArrayConfig
from fineq_hw.interface.link import PUSH, REGISTERS_BASE, CoreStream, Kind, LinkRegister, fingerprint
from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.driver.functional import FunctionalTransport
from fineq_sim.driver.transport import check_range
from fineq_sim.link.port import LinkError, LinkPort

_LOOKS = 10_000
"""Times that `wait` looks at the interrupt, at most."""


def _words(content: np.ndarray) -> list[int]:
    """uint8 to 32-bit words; padded with zeros."""
    padded = np.zeros(-(-len(content) // 4) * 4, dtype=np.uint8)
    padded[: len(content)] = content
    return padded.view("<u4").tolist()


class LinkTransport:
    """An accelerator on a board, as `fineq_sim.driver.Accelerator` wants it.

    Args:
        port: to the board.
        config: what should be there.

    Raises:
        AcceleratorError: something else is there, or a bitstream of another version.
    """

    cycle_accurate = True
    fault_responses: tuple[int, ...] = ()

    def __init__(self, port: LinkPort, config: AcceleratorConfig) -> None:
        self.port, self.config, self.memory_base = port, config, 0
        self.memory_size = port.identify(Kind.ACCELERATOR, fingerprint(config))

    def write_memory(self, address: int, content: np.ndarray) -> None:
        """Write uint8 [size]; the words at its ends are read before if they are not whole."""
        check_range(self, address, len(content))
        start, end = address // 4 * 4, -(-(address + len(content)) // 4) * 4
        whole = np.zeros(end - start, dtype=np.uint8)
        if (start, end) != (address, address + len(content)):
            for place in {start, end - 4}:
                whole[place - start : place - start + 4] = np.array(self.port.read(place, 1), "<u4").view(np.uint8)
        whole[address - start : address - start + len(content)] = content
        self.port.write(start, _words(whole))

    def read_memory(self, address: int, size: int) -> np.ndarray:
        check_range(self, address, size)
        start = address // 4 * 4
        words = self.port.read(start, -(-(address + size - start) // 4))
        return np.array(words, "<u4").view(np.uint8)[address - start :][:size].copy()

    def write_register(self, address: int, value: int) -> bool:
        try:
            self.port.write(REGISTERS_BASE + address, [value])
        except LinkError:
            raise
        except AcceleratorError:
            return False
        return True

    def read_register(self, address: int) -> int | None:
        try:
            return self.port.read(REGISTERS_BASE + address, 1)[0]
        except LinkError:
            raise
        except AcceleratorError:
            return None

    def wait(self, cycles: int) -> bool:
        """Look at the interrupt until it is high. A look takes thousands of cycles, so `cycles` bounds looks alone."""
        for _ in range(max(1, min(cycles, _LOOKS))):
            if self.port.link_register(LinkRegister.INTERRUPT):
                return True
        return False

    def reset(self) -> None:
        self.port.reset()

    def fault(self, address: int, size: int, response: int) -> None:
        """Memory of the FPGA cannot be made to fail.

        Raises:
            AcceleratorError: always, but for a size of zero.
        """
        if size:
            raise AcceleratorError("the memory on a board cannot be made to answer with errors")

    def close(self) -> None:
        self.port.close()


class CoreTransport(FunctionalTransport):
    """A core on a board: registers, descriptors and memory are the functional model's, every sum is the core's.

    Args:
        port: to the board.
        array: the core that should be there.
        memory_size: of the model's memory, bytes.

    Raises:
        AcceleratorError: something else is there, or a bitstream of another version.
    """

    def __init__(self, port: LinkPort, array: ArrayConfig, memory_size: int = 1 << 20) -> None:
        self.port, self.array = port, array
        port.identify(Kind.CORE, fingerprint(array))
        super().__init__(core_machine(array), memory_size=memory_size)

    def sums(self, activations: np.ndarray, weights: np.ndarray, early_termination: bool) -> np.ndarray:
        """Tile by tile through the core's streams: rows in, packed lines in, sums out, which go on in the next tile."""
        array = self.array
        self.port.write(CoreStream.CONTROL, [int(early_termination)])
        sums: np.ndarray = np.zeros((len(activations), len(weights)), dtype=np.int64)
        lines = self._lines(weights)
        for first in range(0, len(activations), array.rows):
            rows = activations[first : first + array.rows]
            for tile in range(weights.shape[1] // array.columns):
                self._send_rows(rows[:, tile * array.columns : (tile + 1) * array.columns])
                for channel in range(len(weights)):
                    group, part = divmod(tile, array.line_slices)
                    last = channel == len(weights) - 1
                    if tile:
                        self._send_partials(sums[first : first + len(rows), channel])
                    self._send_line(lines[channel, group], part, tile > 0, last)
                    sums[first : first + len(rows), channel] = self._take_sums()[: len(rows)]
        return sums

    def _lines(self, weights: np.ndarray) -> np.ndarray:
        """Packed lines, uint8 [N, groups, line_bytes], of weights in array order."""
        array = self.array
        groups = -(-weights.shape[1] // array.line_weights)
        padded = np.zeros((len(weights), groups, array.line_weights), dtype=np.int8)
        padded.reshape(len(weights), -1)[:, : weights.shape[1]] = weights
        places = np.empty_like(padded)
        places[:, :, list(array.line_order)] = padded
        return pack(places.reshape(len(weights), -1)).reshape(len(weights), groups, array.line_bytes)

    def _push(self, stream: CoreStream, number: int, bits: int) -> None:
        words = [number >> (32 * place) & 0xFFFFFFFF for place in range(-(-bits // 32))]
        # Written one behind the other, the last of them at the place that sends them.
        for start in range(0, len(words), 8):
            self.port.write(stream, words[start : start + 8])
        self.port.write(stream + PUSH, [1])

    def _send_rows(self, rows: np.ndarray) -> None:
        bits = 8 * self.array.columns + 1
        for number, row in enumerate(rows):
            last = number == len(rows) - 1
            values = int.from_bytes(row.astype(np.int8).tobytes(), "little")
            self._push(CoreStream.ACTIVATIONS, values | last << (bits - 1), bits)

    def _send_partials(self, values: np.ndarray) -> None:
        width = self.array.accumulator_bits
        number = sum((int(value) & ((1 << width) - 1)) << (width * row) for row, value in enumerate(values))
        self._push(CoreStream.PARTIALS, number, width * self.array.rows)

    def _send_line(self, line: np.ndarray, part: int, accumulate: bool, last: bool) -> None:
        size = 8 * self.array.line_bytes
        part_bits = (self.array.line_slices - 1).bit_length()
        number = int.from_bytes(line.tobytes(), "little") | part << size
        number |= accumulate << (size + part_bits) | last << (size + part_bits + 1)
        self._push(CoreStream.LINES, number, size + part_bits + 2)

    def _take_sums(self) -> np.ndarray:
        width, rows = self.array.accumulator_bits, self.array.rows
        self.port.read(CoreStream.RESULTS + PUSH, 1)
        words = self.port.read(CoreStream.RESULTS, -(-(width * rows + 1) // 32))
        number = sum(word << (32 * place) for place, word in enumerate(words))
        values = [number >> (width * row) & ((1 << width) - 1) for row in range(rows)]
        return np.array([value - (1 << width) if value >> (width - 1) else value for value in values])

    def close(self) -> None:
        self.port.close()


def core_machine(array: ArrayConfig) -> AcceleratorConfig:
    """The accelerator that a core would be part of: what the functional model around it looks like."""
    return AcceleratorConfig(array, bus_bits=64, channels_per_tile=32, final_channels=16)
