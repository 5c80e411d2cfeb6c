"""What must be known after reset, on values as a simulation gives them."""

from types import SimpleNamespace

import pytest
from cocotb.types import Logic, LogicArray

from fineq_sim.bench import power_up
from fineq_sim.bench.power_up import check_outputs


def handle(value: str) -> SimpleNamespace:
    return SimpleNamespace(value=Logic(value) if len(value) == 1 else LogicArray(value))


@pytest.mark.parametrize(
    ("rule", "valid", "port", "complaint"),
    [
        (None, "0", "X", "port is X after reset"),
        (None, "0", "1", None),
        ("valid", "0", "0X1", None),
        ("valid", "1", "0X1", "port is 0X1 after reset"),
        ("valid", "X", "001", "valid is X after reset"),
        ("port[0]", "0", "XX0", None),
        ("port[0]", "0", "X01", "port is X01 after reset"),
        ("port[0]", "0", "00X", r"port\[0\] is X after reset"),
    ],
)
def test_a_payload_while_it_is_valid_and_all_else_always(rule, valid, port, complaint):
    check = power_up._check(SimpleNamespace(valid=handle(valid), port=handle(port)), "port", rule)
    if complaint is None:
        check()
    else:
        with pytest.raises(AssertionError, match=complaint):
            check()


def test_nothing_is_checked_with_initial_values(monkeypatch):
    monkeypatch.setenv("FINEQ_BENCH", "{}")
    assert check_outputs(SimpleNamespace()) is None


def test_an_exception_for_a_port_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("FINEQ_BENCH", '{"outputs": {"sum": null}}')
    with pytest.raises(AssertionError, match="total is no output of the design"):
        check_outputs(SimpleNamespace(), {"total": power_up.NEVER})
