"""A serial port of this machine as a line of the link."""

from __future__ import annotations

from typing import Any

from fineq.common.errors import FineqError
from fineq_hw.config import AcceleratorConfig, ArrayConfig
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.link.port import LinkPort
from fineq_sim.link.transports import CoreTransport, LinkTransport
from fineq_system.boards.definitions import Board

SILENCE = 0.25
"""Seconds that an answer may take."""


class SerialLine:
    """A `fineq_sim.link.port.Line`.

    Args:
        port: name of the port, such as /dev/ttyUSB0, or a URL of pyserial's.
        baud: of the board.

    Raises:
        FineqError: the port is absent, busy, or not ours to use.
        ModuleNotFoundError: pyserial is not installed.
    """

    def __init__(self, port: str, baud: int) -> None:
        import serial

        try:
            self._serial: Any = serial.serial_for_url(port, baudrate=baud, timeout=SILENCE, exclusive=True)
        except (serial.SerialException, ValueError, OSError) as error:
            raise FineqError(_why(port, error)) from error
        self._port = port

    def send(self, content: bytes) -> None:
        """Send bytes; what came before is thrown away."""
        try:
            self._serial.reset_input_buffer()
            self._serial.write(content)
            self._serial.flush()
        except OSError as error:
            raise FineqError(f"the serial port {self._port} has gone: plug the board in again") from error

    def receive(self, size: int) -> bytes:
        """Bytes that come in time."""
        try:
            return self._serial.read(size)
        except OSError as error:
            raise FineqError(f"the serial port {self._port} has gone: plug the board in again") from error

    def close(self) -> None:
        """Let the port go."""
        self._serial.close()


def _why(port: str, error: Exception) -> str:
    """The sentence for a port that does not open."""
    number = getattr(error, "errno", None)
    text = str(error).lower()
    if number == 2 or "no such file" in text:
        return f"there is no serial port {port}: plug the board in, or name its port with --port"
    if number in (11, 16) or "lock" in text or "busy" in text:
        return f"the serial port {port} is used by another program: close it"
    if number == 13 or "permission" in text:
        return f"the serial port {port} may not be used by you: add yourself to the group of the port (often dialout)"
    return f"the serial port {port} cannot be opened: {error}"


def open_machine(board: Board, config: ArrayConfig | AcceleratorConfig, port: str) -> Accelerator:
    """The driver on a board.

    Raises:
        FineqError: of the port.
        AcceleratorError: nothing answers, something else does, or a bitstream of another version.
    """
    line = LinkPort(SerialLine(port, board.baud))
    try:
        if isinstance(config, AcceleratorConfig):
            return Accelerator(LinkTransport(line, config))
        return Accelerator(CoreTransport(line, config))
    except Exception:
        line.close()
        raise
