"""Circuits are read as they were written, and gates that are added are seen by ABC."""

import pytest

from fineq_mutants.equivalence import aiger


def _graph():
    """A register that takes an input and its own value."""
    graph = aiger.Graph(inputs=2, registers=[(8, "0")], outputs=[6])
    assert graph.conjunction(2, 7) == 8
    assert graph.conjunction(9, 300 % 4) == 10
    return graph


def test_what_is_written_is_read(tmp_path):
    graph = _graph()
    graph.write(tmp_path / "graph.aig")
    assert aiger.read(tmp_path / "graph.aig") == graph


def test_large_numbers(tmp_path):
    graph = aiger.Graph(inputs=100_000, registers=[], outputs=[0])
    graph.outputs.append(graph.conjunction(2, 200_000))
    graph.write(tmp_path / "graph.aig")
    assert aiger.read(tmp_path / "graph.aig") == graph


def test_names_of_outputs(tmp_path):
    graph = _graph()
    graph.write(tmp_path / "graph.aig")
    with (tmp_path / "graph.aig").open("ab") as file:
        file.write(b"i0 clk\no0 one other[2]\nc\nwritten by hand\n")
    assert aiger.read(tmp_path / "graph.aig").names == {"one": 0, "other[2]": 0}


def test_nodes_that_depend():
    graph = _graph()
    assert graph.depending([6]) == {6, 8, 10}
    assert graph.depending([4]) == {4}


def test_another_format_is_refused(tmp_path):
    (tmp_path / "graph.aig").write_bytes(b"aag 1 1 0 0 0\n2\n")
    with pytest.raises(ValueError, match="no circuit in binary AIGER"):
        aiger.read(tmp_path / "graph.aig")
