"""Names of places in the sources."""

import contextlib
import inspect
from pathlib import Path

import amaranth

from fineq_hw.export import tops
from fineq_mutants.circuits import short_source, without_roots


def test_no_place_tells_where_something_is_installed():
    files = [tops.__file__, amaranth.__file__, contextlib.__file__, "/elsewhere/lib/other.py"]
    found = short_source("|".join(f"{file}:3" for file in files)).split("|")
    assert found == ["amaranth/__init__.py:3", "contextlib.py:3", "fineq_hw/export/tops.py:3", "other.py:3"]


def test_a_text_is_the_same_wherever_the_checkout_lies(monkeypatch):
    """Verdicts are called after such texts."""
    here = f'attribute \\src "{tops.__file__}:3|{amaranth.__file__}:5"'
    there = here.replace(str(Path(tops.__file__).parents[2]), "/another/checkout/hw")
    assert here != there
    found = without_roots(here)
    monkeypatch.setattr(tops, "__file__", "/another/checkout/hw/fineq_hw/export/tops.py")
    monkeypatch.setattr(
        inspect, "getfile", lambda of: tops.__file__ if of is tops.top_components else contextlib.__file__
    )
    assert without_roots(there) == found == 'attribute \\src "fineq_hw/export/tops.py:3|amaranth/__init__.py:5"'
