"""Fixtures for the tests of the layout flow."""

import pytest
from helpers.netlists.layout_samples import DEF, registered_and

from fineq_asic.layout.block import make_block
from fineq_asic.layout.flow import prepare
from fineq_asic.layout.routed import read_routed
from fineq_asic.layout.script import LayoutOptions
from fineq_asic.layout.technology import Technology
from fineq_asic.library.pdk import find_pdk


@pytest.fixture(scope="module")
def technology():
    return Technology(find_pdk())


@pytest.fixture
def block(library):
    return make_block(registered_and(), library)


@pytest.fixture
def prepared(block, technology, tmp_path):
    return prepare("and", "a registered AND", block, technology, LayoutOptions(), tmp_path / "work")


@pytest.fixture
def layout(technology, tmp_path):
    (tmp_path / "routed.def").write_text(DEF, encoding="utf-8")
    return read_routed(tmp_path / "routed.def", technology)
