"""Ports of the accelerator's buses with the names that the AXI world uses: `m_axi_araddr`, `s_axil_wdata`, ...

Amaranth joins nested port names by a double underscore, so the buses are plain ports. Each function below
returns a table of members for a component's signature; `connect_ports` wires equally named ports of a parent and
its child. A component reaches one of its ports as an attribute, such as `self.m_axi_rvalid`.

Only what the accelerator uses is there: one ID (constant 0, hence everything stays in order), incrementing
bursts of whole bus words. `address_constants` drives the signals that never change.
"""

from __future__ import annotations

from collections.abc import Iterable

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import Response

Ports = dict[str, wiring.Member]

MASTER_PREFIX = "m_axi"
SLAVE_PREFIX = "s_axil"

ID_BITS = 1
LENGTH_BITS = 8
"""Width of AxLEN, which holds the beats of a burst less one."""

INCREMENTING = 1
"""AxBURST: addresses rise from beat to beat."""


CHANNELS = ("ar", "r", "aw", "w", "b")
"""Letters in front of the names of a channel's signals."""


def valid_of(port: str) -> str | None:
    """The `valid` of the channel that a port of a bus belongs to; None for `valid`, `ready` and ports of no bus."""
    for prefix in (MASTER_PREFIX, SLAVE_PREFIX):
        for channel in CHANNELS:
            start = f"{prefix}_{channel}"
            if port.startswith(start) and port not in (f"{start}valid", f"{start}ready"):
                return f"{start}valid"
    return None


def bus_error_layout(config: AcceleratorConfig) -> data.StructLayout:
    """First error that a DMA engine met: `valid` since then; the response and the address that it answers."""
    return data.StructLayout({"valid": 1, "response": Response, "address": unsigned(config.address_bits)})


def _prefixed(prefix: str, ports: Ports) -> Ports:
    return {f"{prefix}_{name}": member for name, member in ports.items()}


def _address_channel(letters: str, config: AcceleratorConfig) -> Ports:
    fields = {
        "id": Out(ID_BITS),
        "addr": Out(config.address_bits),
        "len": Out(LENGTH_BITS),
        "size": Out(3),
        "burst": Out(2),
        "cache": Out(4),
        "prot": Out(3),
        "valid": Out(1),
        "ready": In(1),
    }
    return {letters + name: member for name, member in fields.items()}


def axi_read_ports(config: AcceleratorConfig, prefix: str = MASTER_PREFIX) -> Ports:
    """AR and R channels of an AXI4 master."""
    return _prefixed(
        prefix,
        _address_channel("ar", config)
        | {
            "rid": In(ID_BITS),
            "rdata": In(config.bus_bits),
            "rresp": In(Response),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        },
    )


def axi_write_ports(config: AcceleratorConfig, prefix: str = MASTER_PREFIX) -> Ports:
    """AW, W and B channels of an AXI4 master."""
    return _prefixed(
        prefix,
        _address_channel("aw", config)
        | {
            "wdata": Out(config.bus_bits),
            "wstrb": Out(config.bus_bytes),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(ID_BITS),
            "bresp": In(Response),
            "bvalid": In(1),
            "bready": Out(1),
        },
    )


def axi_master_ports(config: AcceleratorConfig, prefix: str = MASTER_PREFIX) -> Ports:
    """All five channels of an AXI4 master."""
    return axi_read_ports(config, prefix) | axi_write_ports(config, prefix)


def axi_lite_slave_ports(address_bits: int, data_bits: int = 32, prefix: str = SLAVE_PREFIX) -> Ports:
    """All five channels of an AXI4-Lite slave.

    Raises:
        ValueError: AXI4-Lite knows 32 and 64 data bits only.
    """
    if data_bits not in (32, 64):
        raise ValueError(f"data_bits is {data_bits}: an AXI4-Lite bus has 32 or 64")
    return _prefixed(
        prefix,
        {
            "awaddr": In(address_bits),
            "awprot": In(3),
            "awvalid": In(1),
            "awready": Out(1),
            "wdata": In(data_bits),
            "wstrb": In(data_bits // 8),
            "wvalid": In(1),
            "wready": Out(1),
            "bresp": Out(Response),
            "bvalid": Out(1),
            "bready": In(1),
            "araddr": In(address_bits),
            "arprot": In(3),
            "arvalid": In(1),
            "arready": Out(1),
            "rdata": Out(data_bits),
            "rresp": Out(Response),
            "rvalid": Out(1),
            "rready": In(1),
        },
    )


def connect_ports(m: Module, parent: wiring.Component, child: wiring.Component, names: Iterable[str]) -> None:
    """Wire ports of a child to the equally named ports of its parent, which have the same direction.

    Args:
        m: the parent's module.
        names: for instance `axi_read_ports(config)`.
    """
    for name in names:
        outer, inner = getattr(parent, name), getattr(child, name)
        if child.signature.members[name].flow == Out:
            m.d.comb += outer.eq(inner)
        else:
            m.d.comb += inner.eq(outer)


def address_constants(m: Module, component: wiring.Component, config: AcceleratorConfig, channel: str) -> None:
    """Drive the address signals of a master that never change.

    Args:
        m: the component's module.
        channel: prefix of the channel's ports, such as `m_axi_ar`.
    """
    for name, value in {
        "id": 0,
        "size": (config.bus_bytes - 1).bit_length(),
        "burst": INCREMENTING,
        "cache": config.cacheability,
        "prot": config.protection,
    }.items():
        m.d.comb += getattr(component, f"{channel}{name}").eq(value)
