"""Passes of language models: sizes, shares, the cache, and numbers that make no sense."""

import pytest

from fineq_sim.workloads.find import find_shape, find_workload
from fineq_sim.workloads.named import NAMES
from fineq_sim.workloads.work import Attention, WorkloadError

PARAMETERS = {
    "llama-2-7b": 6.476e9,
    "llama-2-13b": 12.688e9,
    "llama-2-70b": 68.45e9,
    "llama-3-8b": 6.979e9,
    "open-llama-3b": 3.221e9,
    "smollm2-135m": 0.10617e9,
}
"""Weights of the linear layers of all blocks, from the published sizes."""


@pytest.mark.parametrize("name", NAMES)
def test_sizes_of_named_models(name):
    assert find_shape(name).packed_weights == pytest.approx(PARAMETERS[name], rel=1e-3)


@pytest.mark.parametrize("sequence, share", [(32, 0.00067), (256, 0.005), (1024, 0.020), (2048, 0.040)])
def test_attention_of_a_7b_prefill(sequence, share):
    (work,) = find_workload("llama-2-7b", sequences=[sequence]).passes
    blocks = sum(each.macs for each in (*work.linears, *work.attentions))
    assert work.attentions[0].macs / blocks == pytest.approx(share, rel=0.06)


def test_decoding_reads_the_whole_cache_for_each_token():
    (work,) = find_workload("llama-2-7b", "decode", [2048]).passes
    read, written = work.attentions[0].cache_elements(rows=64)
    assert read == 2 * 32 * 4096 * 2049 and written == 2 * 32 * 4096
    linear = sum(each.macs for each in work.linears)
    assert work.attentions[0].macs / linear == pytest.approx(0.083, rel=0.01)
    assert {each.tokens for each in work.linears} == {1}


def test_generating_is_decoding_with_a_growing_cache():
    prefill, decode = find_workload("smollm2-135m", sequences=[100], batch=2, generate=5).passes
    assert (prefill.phase, decode.phase, decode.tokens) == ("prefill", "decode", 10)
    one_by_one = [find_workload("smollm2-135m", "decode", [100 + step], batch=2).passes[0] for step in range(5)]
    assert decode.macs == sum(each.macs for each in one_by_one)
    for rows in (1, 3, 64):
        each = [work.attentions[0].cache_elements(rows) for work in one_by_one]
        assert decode.attentions[0].cache_elements(rows) == tuple(map(sum, zip(*each, strict=True)))


def test_prefill_reads_the_cache_once_for_each_tile_of_queries():
    attention = Attention("a", 1, 8, 2, 16, 1, before=0, queries=10)
    # Four heads share keys: a tile of 16 rows serves four tokens, which see 4, 8 and 10 keys.
    assert attention.cache_elements(rows=16)[0] == 2 * 2 * 16 * (4 + 8 + 10)
    # A tile of two rows serves half a token's heads: each token reads twice.
    assert attention.cache_elements(rows=2)[0] == 2 * 2 * 16 * 2 * sum(range(1, 11))


def test_decoding_reads_again_for_heads_beyond_the_rows():
    attention = Attention("a", 1, 16, 2, 16, 1, before=4, queries=2, one_by_one=True)
    assert attention.cache_elements(rows=8)[0] == 2 * 2 * 16 * (5 + 6)
    assert attention.cache_elements(rows=3)[0] == 2 * 2 * 16 * (5 + 6) * 3


def test_a_window_ends_what_a_query_sees():
    attention = Attention("a", 1, 1, 1, 1, 1, before=0, queries=10, window=4)
    assert attention.macs == 2 * (1 + 2 + 3 + 4 * 7)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"phase": "training"}, "unknown phase"),
        ({"sequences": [0]}, "sequence length is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"generate": -1}, "cannot be negative"),
    ],
)
def test_numbers_that_make_no_sense(options, said):
    with pytest.raises(WorkloadError, match=said):
        find_workload("llama-2-7b", **options)
