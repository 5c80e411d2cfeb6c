"""Why a machine refused a chain, and what it was doing when it did not answer: sentences for the user."""

from __future__ import annotations

from collections.abc import Sequence

from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, FIELDS, decode_descriptor
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.registers import STAGES
from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.driver.registers import RegisterPort, describe, error_name
from fineq_sim.driver.transport import Transport

BUS_ERRORS = ErrorCode.READ_SLAVE_ERROR.value
"""From this code on, an error arose while the machine was working."""


def _which(registers: RegisterPort, first: int, names: Sequence[str]) -> tuple[str, int]:
    """Where in a chain the machine is, in words and as an address."""
    current = registers.read("CURRENT_DESCRIPTOR")
    number = (current - first) // DESCRIPTOR_BYTES
    if 0 <= number < len(names):
        return f"job {number + 1} of {len(names)} ({names[number]})", current
    return f"the descriptor at {current:#x}", current


def refusal(transport: Transport, registers: RegisterPort, first: int, names: Sequence[str]) -> AcceleratorError:
    """The error of a chain that the machine did not finish, with the descriptor's field if the code is about one."""
    error, address = registers.fields("ERROR"), registers.read("ERROR_ADDRESS")
    which, current = _which(registers, first, names)
    name = error_name(error["code"]) or ""
    # The longest name of a field in the name of the code: TOKENS_TOO_LARGE is about `tokens`.
    field_name = max((each for each in FIELDS if each in name.lower()), key=len, default=None)
    verb = "gave up" if error["code"] >= BUS_ERRORS else "refused"
    text = f"the accelerator {verb} {which}: {describe(error['code'])}"
    if field_name is not None:
        content = transport.read_memory(current, DESCRIPTOR_BYTES).tobytes()
        value = decode_descriptor(content)[field_name]
        text += f" The field {field_name} is {value} ({value:#x})."
    elif address != current:
        text += f" The address is {address:#x}."
    return AcceleratorError(text, code=name or None, field=field_name, address=address)


def what_it_does(registers: RegisterPort, limit: int, first: int, names: Sequence[str]) -> str:
    """What a machine that did not answer was doing."""
    which, _ = _which(registers, first, names)
    counters = registers.counters()
    stages = "; ".join(
        f"{stage.replace('_', ' ')} busy {counters[f'{stage}_busy']}, stalled {counters[f'{stage}_stall']}"
        for stage in STAGES
    )
    state = "busy" if registers.fields("STATUS")["busy"] else "idle"
    return (
        f"no answer after {limit} cycles: the machine is {state} at {which}, {counters['jobs']} jobs done, "
        f"{counters['tiles']} tiles begun. Cycles by stage: {stages}"
    )
