"""What other power tools are asked, and how their reports are read."""

from pathlib import Path

import pytest
from helpers.netlists.layout_samples import two_rows

from fineq_asic.errors import SynthesisError
from fineq_asic.flows.other_power_tools import power_script, read_total
from fineq_asic.library.pdk import find_pdk


def test_power_script_of_other_tools():
    mapped = two_rows()
    script = power_script(mapped, Path("n.v"), Path("a.saif"), Path("c.sdc"), find_pdk()).splitlines()
    assert [line.split()[0] for line in script] == [
        "if",
        "read_liberty",
        "read_verilog",
        "link_design",
        "source",
        "read_saif",
        "report_power",
    ]
    assert script[0].startswith("if {[llength [info commands read_lef]]} { read_lef /")  # OpenROAD alone has it
    assert script[5].startswith("read_saif -scope top /")


def test_total_of_a_power_report():
    text = "Clock 1e-3 1e-3 1e-3 3e-3 5%\nTotal   5.33027e-03 4.31310e-03 5.56378e-04 1.01997e-02 100.0%\n"
    assert read_total(text) == pytest.approx(1.01997e-2)
    with pytest.raises(SynthesisError, match="the power report has no total"):
        read_total("nothing")
