"""When outputs mean something: streams, buses, structures with a `valid`, and all others always."""

import pytest
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.accelerator import make_accelerator
from fineq_hw.config import ACCELERATORS
from fineq_hw.lib.axi import bus_error_layout
from fineq_sim.runs.output_rules import output_rules

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

CONFIG = ACCELERATORS["accelerator_5x7"]


def test_rules_follow_from_the_signature():
    ports = {
        "words": Out(stream.Signature(8)),
        "many": Out(stream.Signature(data.ArrayLayout(4, 2))).array(2),
        "commands": In(stream.Signature(8)),
        "error": Out(bus_error_layout(CONFIG)),
        "idle": Out(1),
        "payload": Out(3),
        "start": In(1),
    }
    assert output_rules(wiring.Component(ports)) == {
        "words__payload": "words__valid",
        "words__valid": None,
        "many__0__payload": "many__0__valid",
        "many__0__valid": None,
        "many__1__payload": "many__1__valid",
        "many__1__valid": None,
        "commands__ready": None,
        "error": "error[0]",
        "idle": None,
        "payload": None,
    }


def test_every_output_of_a_machine_but_its_handshakes_depends_on_one():
    rules = output_rules(make_accelerator(CONFIG))
    always = {port for port, rule in rules.items() if rule is None}
    assert always == {port for port in rules if port.endswith(("valid", "ready"))} | {"irq"}
    assert rules["s_axil_rdata"] == "s_axil_rvalid"
