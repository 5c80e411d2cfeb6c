"""Where the weights of a row stand in the array."""

import pytest

from fineq.format import CLUSTER_WEIGHTS, PAIR_WEIGHTS
from fineq.format.temporal import input_order, line_order, row_places, row_vectors


@pytest.mark.parametrize("columns", [4, 5, 7, 8, 10, 11, 16, 64])
def test_ends_of_rows_in_clusters(columns):
    """Whatever a row's length: each input has one column, clusters stay whole, pairs keep their common index code."""
    line = len(line_order(columns, "cluster"))
    for inner in range(1, 2 * line + 1):
        places, order = row_places(inner, columns, "cluster"), input_order(inner, columns, "cluster")
        assert sorted(order[order >= 0]) == list(range(inner))
        assert order.shape == (row_vectors(inner, columns, "cluster"), columns)
        least = -(-inner // columns)
        assert len(order) == least or (len(order) == least + 1 and columns in (4, 5, 10, 11))
        first = places[::CLUSTER_WEIGHTS]
        assert (first % CLUSTER_WEIGHTS == 0).all()
        for start, place in enumerate(first):
            cluster = places[start * CLUSTER_WEIGHTS :][:CLUSTER_WEIGHTS]
            assert cluster.tolist() == list(range(place, place + len(cluster)))
        # All clusters of a pair in the line come from one pair of the row.
        pairs = {}
        for number, place in enumerate(first):
            assert pairs.setdefault(place // PAIR_WEIGHTS, number // 2) == number // 2


def test_the_end_of_a_row_of_one_vector():
    """64 columns: weight 63 goes to the first of the single columns; the other encodings know nothing of it."""
    assert row_places(64, 64, "cluster").tolist() == [*range(63), 189]
    assert row_places(128, 64, "cluster").tolist() == [*range(126), 189, 190]
    assert input_order(128, 64, "cluster").tolist() == [[*range(63), 126], [*range(63, 126), 127]]
    assert row_places(64, 64).tolist() == list(range(64))
    assert input_order(3, 2).tolist() == [[0, 1], [2, -1]]
