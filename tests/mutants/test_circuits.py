"""Names of places in the sources."""

import contextlib

import amaranth

from fineq_hw.export import tops
from fineq_mutants.circuits import short_source


def test_no_place_tells_where_something_is_installed():
    files = [tops.__file__, amaranth.__file__, contextlib.__file__, "/elsewhere/lib/other.py"]
    found = short_source("|".join(f"{file}:3" for file in files)).split("|")
    assert found == ["amaranth/__init__.py:3", "contextlib.py:3", "fineq_hw/export/tops.py:3", "other.py:3"]
