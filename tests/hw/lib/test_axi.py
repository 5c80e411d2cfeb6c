"""Bus ports by the names that the AXI world uses."""

from __future__ import annotations

import pytest
from amaranth.lib.wiring import In, Out

from fineq_hw.config import ACCELERATORS
from fineq_hw.lib.axi import axi_lite_slave_ports, axi_master_ports, valid_of


def test_bus_ports_have_their_usual_names():
    config = ACCELERATORS["accelerator_16x16"]
    address = "id addr len size burst cache prot valid ready".split()
    names = [f"{channel}{name}" for channel in ("aw", "ar") for name in address]
    names += "wdata wstrb wlast wvalid wready bid bresp bvalid bready rid rdata rresp rlast rvalid rready".split()
    ports = axi_master_ports(config)
    assert set(ports) == {f"m_axi_{name}" for name in names}
    assert ports["m_axi_wstrb"].shape == 16
    assert ports["m_axi_arready"].flow == In and ports["m_axi_rready"].flow == Out
    lite = axi_lite_slave_ports(12)
    names = "awaddr awprot awvalid awready wdata wstrb wvalid wready bresp bvalid bready".split()
    names += "araddr arprot arvalid arready rdata rresp rvalid rready".split()
    assert set(lite) == {f"s_axil_{name}" for name in names}
    assert lite["s_axil_araddr"].shape == 12 and lite["s_axil_arready"].flow == Out


def test_widths_of_axi_lite():
    with pytest.raises(ValueError, match="^data_bits is 16: an AXI4-Lite bus has 32 or 64$"):
        axi_lite_slave_ports(12, 16)


def test_every_signal_of_a_channel_has_its_valid():
    ports = [*axi_master_ports(ACCELERATORS["accelerator_16x16"]), *axi_lite_slave_ports(12)]
    for port in ports:
        valid = valid_of(port)
        assert (valid is None) == port.endswith(("valid", "ready")), port
        assert valid is None or (valid in ports and valid.removesuffix("valid") in port)
    assert (valid_of("m_axi_araddr"), valid_of("m_axi_rresp"), valid_of("irq")) == (
        "m_axi_arvalid",
        "m_axi_rvalid",
        None,
    )
