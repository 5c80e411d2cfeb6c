"""Packed tensors arrive where they belong, or quantizing and loading say so."""

import pytest
from helpers.models.quantized_models import load, quantize_model
from helpers.models.tiny_models import make_model

from fineq.checkpoint.names import packed_conversions
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError


def forget_packed(conversions, stacks):
    """What transformers does on its own."""
    return conversions


@pytest.mark.parametrize("architecture", ["granitemoe", "mixtral"])
def test_tensors_that_would_get_lost_are_not_quantized(architecture, tmp_path, monkeypatch):
    source = open_source(make_model(architecture, tmp_path / "source"))
    monkeypatch.setattr("fineq.checkpoint.names.packed_conversions", forget_packed)
    with pytest.raises(FineqError, match=r"model.layers.0.*cannot be packed: transformers .* loses .*--exclude"):
        make_plan(source, Options(), "row")


@pytest.mark.parametrize("architecture", ["granitemoe", "mixtral"])
def test_layers_that_stay_empty_are_an_error(architecture, tmp_path, monkeypatch):
    _, quantized = quantize_model(architecture, tmp_path)
    load(quantized)
    monkeypatch.setattr("fineq.checkpoint.names.packed_conversions", forget_packed)
    with pytest.raises(FineqError, match="without the packed weights of model.layers.0.*experts.*and 1 more"):
        load(quantized)


def test_the_marker_stands_where_the_stack_was(tmp_path):
    """Also of a stack whose name ends with `.weight`."""
    source = make_model("granitemoe", tmp_path)
    names = {unit.packed.marker for unit in make_plan(open_source(source), Options(), "row").quantized}
    assert "model.layers.0.block_sparse_moe.input_linear.weight" in names
    assert names <= set(open_source(source).tensors)


def test_packed_conversions_of_a_stack_leave_other_names_alone():
    """Aria has a stack `experts.down_proj` and a layer `shared_experts.down_proj`."""
    (renaming,) = packed_conversions([], {"layers.0.mlp.experts.down_proj": 0})
    back = renaming.reverse_transform()
    assert renaming.rename_source_key("l.experts.down_proj")[0] == "l.experts.down_proj.weight"
    assert back.rename_source_key("l.experts.down_proj.weight")[0] == "l.experts.down_proj"
    assert back.rename_source_key("l.shared_experts.down_proj.weight")[0] == "l.shared_experts.down_proj.weight"
