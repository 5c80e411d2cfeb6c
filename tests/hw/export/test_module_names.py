"""Module names: made in one place, always plain Verilog identifiers, one for each circuit."""

from __future__ import annotations

import gc
import re
from dataclasses import replace

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from fineq_hw.accelerator import make_accelerator
from fineq_hw.config import ACCELERATORS, ARRAYS, MACS, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.export.conversion import collect
from fineq_hw.lib.hierarchy import CombinationalComponent, place, verilog_name
from fineq_hw.lib.role import PART, Role, Synthesis

ARRAYS_BY_SIZE: dict[str, dict[str, ArrayConfig | MacConfig]] = {}
for _name, _array in {**ARRAYS, **MACS}.items():
    ARRAYS_BY_SIZE.setdefault(f"{_array.rows}x{_array.columns}", {})[_name] = _array

SIZES = [pytest.param(size, marks=[pytest.mark.regress] if size == "64x64" else []) for size in ARRAYS_BY_SIZE]


def machines(size: str) -> dict[str, AcceleratorConfig]:
    """Accelerators around every named array of a size."""
    around = ACCELERATORS["accelerator_8x24"]
    return {name: replace(around, array=array) for name, array in ARRAYS_BY_SIZE[size].items()}


@pytest.mark.parametrize("size", SIZES)
def test_every_array_fits_into_an_accelerator_with_valid_names(size):
    configs = machines(size)
    texts, manifest = collect({f"machine_{name}": make_accelerator(config) for name, config in configs.items()})
    assert [name for name in texts if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)] == []
    cores = {name: manifest.entry(manifest.entry(f"machine_{name}").children["core"]).config for name in configs}
    assert cores == {name: str(config.array) for name, config in configs.items()}


@pytest.mark.regress
def test_equal_names_are_equal_circuits_in_all_these_machines():
    texts: dict[str, str] = {}
    for name, config in machines("5x7").items():
        found, _ = collect({f"machine_{name}": make_accelerator(config)})
        different = [module for module, text in found.items() if texts.setdefault(module, text) != text]
        assert not different, name


def test_all_sizes_have_arrays_of_both_kinds():
    assert ARRAYS_BY_SIZE.keys() >= {"5x7", "8x24", "16x16", "64x64"}
    for size in ("5x7", "16x16", "64x64"):
        assert {f"fineq_{size}_2s_unary", f"mac8x8_{size}"} <= machines(size).keys()


def test_a_name_is_made_of_kind_and_parameters():
    assert verilog_name("row", "7x8", 24, "2s-unary") == "fineq_row_7x8_24_2s_unary"
    with pytest.raises(ValueError, match=r"'fineq_row_a b' is no Verilog identifier: module names consist of letters"):
        verilog_name("row", "a b")


class Child(CombinationalComponent):
    KIND = "child"
    ROLE = PART

    @property
    def module_name(self) -> str:
        return "two-words"


class Plain(wiring.Component):
    """Says nothing."""


class NoKind(CombinationalComponent):
    """Does not say what it is called."""

    ROLE = PART


class NoRole(CombinationalComponent):
    """Does not say what it is to the reports."""

    KIND = "child"

    def elaborate(self, platform) -> Module:
        return Module()


class Parent(wiring.Component):
    def __init__(self, child: wiring.Component) -> None:
        self.child = child
        super().__init__({})

    def elaborate(self, platform) -> Module:
        m = Module()
        place(m, "child", self.child)
        return m


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_component_with_another_name_is_refused():
    with pytest.raises(ValueError, match="'two-words' is no Verilog identifier"):
        collect({"parent": Parent(Child({"a": In(1)}))})
    with pytest.raises(ValueError, match="Plain does not say what its module is called: make it a VerilogComponent"):
        collect({"parent": Parent(Plain({}))})
    with pytest.raises(ValueError, match="NoKind does not say what it is: a VerilogComponent declares its KIND"):
        collect({"parent": Parent(NoKind({}))})
    with pytest.raises(ValueError, match="NoRole does not say what it is: a VerilogComponent declares its ROLE"):
        collect({"parent": Parent(NoRole({}))})
    with pytest.raises(ValueError, match="NoRole does not say what it is: a VerilogComponent declares its ROLE"):
        collect({"top": NoRole({})})
    with pytest.raises(ValueError, match="'the top' is no Verilog identifier"):
        collect({"the top": Parent(Plain({}))})
    gc.collect()  # the rejected components warn here, where it is ignored


def test_a_module_that_is_kept_has_a_block():
    with pytest.raises(ValueError, match="a module that synthesis keeps needs a block of its own"):
        Role(None, Synthesis.KEEP)
