"""Small circuits as the campaign of mutants sees them: a component alone, and a module of nothing but others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from amaranth.back import rtlil
from amaranth.lib.wiring import Component

from fineq_hw.export.manifest import Manifest
from fineq_mutants.circuits import Circuit, to_json

Ports = Mapping[str, Sequence[int | str]]
"""Bits of ports by name, as Yosys numbers them; "0" and "1" are constants."""


class Instance(NamedTuple):
    """A module inside another one.

    Attributes:
        module: its name.
        ports: what its ports are connected to.
        outputs: those of them that are outputs.
    """

    module: str
    ports: Ports
    outputs: Collection[str]


def circuit_of(name: str, component: Component) -> Circuit:
    """The circuit of a component."""
    text = rtlil.convert(component, name=name, emit_src=True)
    return Circuit(name, name, "", to_json({name: text}, Manifest())[name], {})


def holding(name: str, ports: Ports, outputs: Collection[str], instances: Mapping[str, Instance]) -> Circuit:
    """A circuit of instances alone, by the names of their cells."""
    netlist = {
        "attributes": {},
        "ports": {port: {"direction": _direction(port, outputs), "bits": [*ports[port]]} for port in ports},
        "cells": {
            cell: {
                "type": each.module,
                "parameters": {},
                "attributes": {},
                "port_directions": {port: _direction(port, each.outputs) for port in each.ports},
                "connections": {port: [*bits] for port, bits in each.ports.items()},
            }
            for cell, each in instances.items()
        },
        "netnames": {},
    }
    return Circuit(name, name, "", netlist, {})


def _direction(port: str, outputs: Collection[str]) -> str:
    return "output" if port in outputs else "input"
