"""Which proof every module of a design gets: what its component says decides."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fineq_asic.equivalence import whole
from fineq_asic.equivalence.modules import EquivalenceResult
from fineq_asic.errors import SynthesisError
from fineq_asic.mapping.closure import Mapped
from fineq_asic.mapping.designs import designs_of
from fineq_asic.timing.opensta import TimingReport
from fineq_hw.export.manifest import Manifest, read_manifest

TOP = "mac8x3_5x7"


@pytest.fixture
def mapped(map_small):
    files, netlist = map_small(TOP)
    design = next(design for design in designs_of("5x7") if design.top == TOP)
    return Mapped(design, netlist, TimingReport(2.5, 0.5, 0.1, ("a", "b")), {}, "area", read_manifest(files[0].parent))


def methods(mapped, library, work, monkeypatch) -> dict[str, str]:
    """Name of the method by kind of module."""
    used = {}

    def method(name):
        def prove(module, *_):
            used[mapped.entry(module).kind] = name
            return EquivalenceResult(module, True, 1, 0)

        return prove

    monkeypatch.setattr(whole, "prove_module", method("net by net"))
    monkeypatch.setattr(whole, "prove_with_multipliers", method("sweeping"))
    (work / "rtl").mkdir()
    whole.prove_design(mapped, SimpleNamespace(library=library), work, lambda line: None)
    return used


def test_multipliers_and_delays_are_proven_by_sweeping(mapped, library, tmp_path, monkeypatch):
    assert methods(mapped, library, tmp_path, monkeypatch) == {
        "mac_core": "net by net",
        "mac_array": "net by net",
        "mac_accumulator": "net by net",
        "mac_row": "sweeping",
        "mac_skew": "sweeping",
        "mac_align": "sweeping",
    }


def test_a_module_that_nobody_describes_is_an_error(mapped, library, tmp_path, monkeypatch):
    object.__setattr__(mapped, "manifest", Manifest())
    with pytest.raises(SynthesisError, match=f"the manifest of {TOP} does not know module fineq_mac_"):
        methods(mapped, library, tmp_path, monkeypatch)
