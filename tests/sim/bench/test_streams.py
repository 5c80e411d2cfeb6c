"""Stream drivers: pauses, and the rules that a design must keep, on a register stage with faults planted."""

import random
import shutil

import pytest

from fineq_sim.bench.streams import assert_empty, never, stalls
from fineq_sim.runs.runner import VerilogDesign, run

FAST = "icarus" if shutil.which("iverilog") else "verilator"

STREAM = """
module dut_stream(input clk, input rst,
    input [7:0] i__payload, input i__valid, output i__ready,
    output [7:0] o__payload, output o__valid, input o__ready);
  reg [7:0] payload = 0; reg valid = 0; reg [1:0] age = 0;
  assign i__ready = !valid | o__ready, o__valid = valid & VALID, o__payload = payload ^ FLIP;
  always @(posedge clk) begin
    if (i__ready) begin valid <= i__valid; payload <= i__payload; age <= 0; end
    else age <= age + 1;
    if (rst) valid <= 0;
  end
endmodule
"""


@pytest.mark.parametrize(
    ("valid", "flip", "complaint"),
    [
        ("1", "0", None),
        ("!(age == 1)", "0", "valid fell before the beat was taken"),
        ("1", "(age == 1)", "payload changed before the beat was taken"),
    ],
)
def test_stream_rules_are_checked(tmp_path, valid, flip, complaint):
    design = VerilogDesign("dut_stream", {"dut_stream.v": STREAM.replace("VALID", valid).replace("FLIP", flip)})
    result = run("stream", design, "fineq_sim.benches.lib.stream_bench", FAST, tmp_path)
    if complaint is None:
        assert result.passed, result
    else:
        assert complaint in result.tests[0].failure


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_pauses_take_their_share_and_come_in_bursts(share):
    stall = stalls(random.Random(1), share)
    waits = "".join("x" if stall() else "." for _ in range(20_000))
    assert share < waits.count("x") / len(waits) < min(1, share + 0.3)
    assert max(map(len, waits.split("."))) >= 10


def test_no_pauses_without_a_share():
    assert stalls(random.Random(1), 0.0) is never and not never()


def test_beats_left_over_are_an_error():
    class Left:
        name, queue = "words", [1, 2]

    with pytest.raises(AssertionError, match="words: 2 beats left over"):
        assert_empty(Left())
