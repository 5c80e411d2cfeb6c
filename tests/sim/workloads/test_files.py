"""Workloads from files: CSV, ONNX, configurations and packed checkpoints, and what is refused."""

import json
import sys

import numpy as np
import pytest
from helpers.models.quantized_models import quantize_model
from helpers.models.tiny_models import LLAMA

from fineq.checkpoint.planning import Options
from fineq.common.errors import FineqError
from fineq_sim.workloads.find import find_workload
from fineq_sim.workloads.work import WorkloadError


def written(path, text):
    path.write_text(text)
    return str(path)


def only(workload):
    (work,) = workload.passes
    return work


def test_own_csv(tmp_path):
    np.save(tmp_path / "w.npy", np.array([[1, -3, 0], [0, 2, 1]]))
    text = "name,M,N,K,count,kind,weights\na,5,2,3,7,linear,w.npy\n\nb,1,4,6,,host,\n"
    work = only(find_workload(written(tmp_path / "x.csv", text)))
    (linear,), (head,) = work.linears, work.heads
    assert (linear.tokens, linear.channels, linear.inner, linear.count) == (5, 2, 3, 7)
    assert linear.codes().tolist() == [[1, -3, 0], [0, 2, 1]]
    assert (head.tokens, head.channels, head.inner, head.count) == (1, 4, 6, 1)
    assert work.macs == 5 * 2 * 3 * 7 + 24


def test_csv_of_scale_sim(tmp_path):
    work = only(find_workload(written(tmp_path / "x.csv", "Layer,M,N,K,\nGEMM1, 128, 64, 32,\nGEMM2, 1, 2, 3,\n")))
    assert [(each.name, each.tokens, each.channels, each.inner) for each in work.linears] == [
        ("GEMM1", 128, 64, 32),
        ("GEMM2", 1, 2, 3),
    ]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is empty"),
        ("name,M,N\n", "line 1 names no column K"),
        ("name,M,N,K,colour\n", "line 1: column 'colour' is unknown"),
        ("name,M,N,K\n", "no products"),
        ("name,M,N,K\na,1,2,3\nb,1,,3\n", "line 3: N is missing"),
        ("name,M,N,K\na,1,-2,3\n", "line 2: N is '-2'"),
        ("name,M,N,K\na,1,0,3\n", "line 2: N is '0'"),
        ("name,M,N,K\na,1,2,3,4\n", "line 2 has 5 cells"),
        ("name,M,N,K,kind\na,1,2,3,magic\n", "line 2: kind is 'magic'"),
        ("name,M,N,K,weights\na,1,2,3,no.npy\n", "line 2: cannot read the weights"),
    ],
)
def test_bad_csv(tmp_path, text, said):
    with pytest.raises(WorkloadError, match=said) as caught:
        find_workload(written(tmp_path / "x.csv", text))
    assert "\n" not in str(caught.value)


def test_csv_states_its_sizes_itself(tmp_path):
    path = written(tmp_path / "x.csv", "name,M,N,K\na,1,2,3\n")
    with pytest.raises(WorkloadError, match="states its sizes itself"):
        find_workload(path, sequences=[7])


def test_weights_of_a_csv_that_do_not_fit(tmp_path):
    np.save(tmp_path / "w.npy", np.full((2, 3), 4))
    with pytest.raises(WorkloadError, match="magnitude up to 3"):
        find_workload(written(tmp_path / "x.csv", "name,M,N,K,weights\na,1,2,3,w.npy\n"))


def test_onnx_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(WorkloadError, match=r"needs the package onnx.*pip install 'fineq\[onnx\]'"):
        find_workload(written(tmp_path / "x.onnx", ""))


def graph(path):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def weight(name, *shape):
        return helper.make_tensor(name, kind, shape, np.zeros(shape, np.float32).ravel())

    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["q"], name="q"),
        helper.make_node("MatMul", ["x", "wk"], ["k"], name="k"),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["s"], name="scores"),
        helper.make_node("Softmax", ["s"], ["p"]),
        helper.make_node("ReduceMean", ["p"], ["m"], axes=[0], keepdims=0),
        helper.make_node("Gemm", ["m", "wg"], ["y"], name="gemm", transB=1),
    ]
    inputs = [helper.make_tensor_value_info("x", kind, ["batch", "tokens", 16])]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    weights = [weight("wq", 16, 8), weight("wk", 16, 8), weight("wg", 5, 12)]
    opset = [helper.make_opsetid("", 13)]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, weights), opset_imports=opset), str(path)
    )
    return str(path)


def test_onnx(tmp_path):
    work = only(find_workload(graph(tmp_path / "g.onnx"), sequences=[12], batch=3))
    assert [(each.name, each.tokens, each.channels, each.inner) for each in work.linears] == [
        ("q", 36, 8, 16),
        ("k", 36, 8, 16),
        ("gemm", 12, 5, 12),
    ]
    (scores,) = work.heads
    assert (scores.tokens, scores.channels, scores.inner, scores.count) == (12, 12, 8, 3)
    assert work.host == ("1 ReduceMean", "1 Softmax", "1 Transpose")


def test_onnx_with_open_sizes(tmp_path):
    with pytest.raises(WorkloadError, match="dimension 1 of its input x open"):
        find_workload(graph(tmp_path / "g.onnx"))


def test_onnx_that_is_none(tmp_path):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    with pytest.raises(WorkloadError, match="cannot read .* as an ONNX model"):
        find_workload(written(tmp_path / "x.onnx", "no graph"), sequences=[4])


def config(**changes):
    return {"model_type": "llama"} | LLAMA | changes


def test_config(tmp_path):
    path = tmp_path / "m" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(config()))
    for which in (path, path.parent):
        work = only(find_workload(str(which), sequences=[10]))
        sizes = {
            each.name.rpartition(".")[2]: (each.tokens, each.channels, each.inner, each.count) for each in work.linears
        }
        assert sizes["k_proj"] == (10, 24, 48, 2) and sizes["down_proj"] == (10, 48, 80, 2) and len(sizes) == 7
        (attention,), (head,) = work.attentions, work.heads
        assert attention.macs == 2 * 2 * 48 * sum(range(1, 11))
        assert (head.tokens, head.channels, head.inner) == (1, 61, 48)


def test_experts(tmp_path):
    sizes = LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2}
    path = written(tmp_path / "config.json", json.dumps({"model_type": "mixtral"} | sizes))
    runs = {each.name: (each.tokens, each.count) for each in only(find_workload(path, sequences=[1])).linears}
    assert [runs[name] for name in runs if "experts" in name] == [(1, 4)] * 2  # two blocks, two experts of four
    runs = {each.name: (each.tokens, each.count) for each in only(find_workload(path, sequences=[10])).linears}
    assert [runs[name] for name in runs if "experts" in name] == [(5, 8)] * 2


@pytest.mark.parametrize("key", ["hidden_size", "intermediate_size", "num_attention_heads", "vocab_size"])
def test_config_without_a_key(tmp_path, key):
    content = config()
    del content[key]
    with pytest.raises(WorkloadError, match=f"has no '{key}'"):
        find_workload(written(tmp_path / "config.json", json.dumps(content)))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"model_type": "lama"}, "does not know the model_type 'lama'"),
        ({"model_type": None}, "has no model_type"),
        ({"quantization_config": {"quant_method": "gptq"}}, "that 'gptq' quantized"),
        ({"quantization_config": {"quant_method": "fineq", "format_version": 3}}, "format version 3"),
        (
            {
                "quantization_config": {
                    "quant_method": "fineq",
                    "format_version": 1,
                    "axis": "column",
                    "tensors": {"model.layers.0.mlp.up_proj": [80, 48]},
                }
            },
            "has the axis column",
        ),
    ],
)
def test_bad_config(tmp_path, changes, said):
    with pytest.raises(FineqError, match=said):
        find_workload(written(tmp_path / "config.json", json.dumps(config(**changes))))


def test_a_model_without_attention(tmp_path):
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "vocab_size": 100, "intermediate_size": 96}
    path = written(tmp_path / "config.json", json.dumps({"model_type": "mamba", **sizes}))
    with pytest.raises(WorkloadError, match="mamba.*without attention heads.*CSV"):
        find_workload(path)


def test_packed_checkpoint_brings_its_codes(tmp_path):
    _, packed = quantize_model("llama", tmp_path, Options(recipe="paper"))
    work = only(find_workload(str(packed), sequences=[3]))
    assert len(work.linears) == 14 and all(each.codes is not None for each in work.linears)
    for each in work.linears:
        codes = each.codes()
        assert codes.shape == (each.channels, each.inner) and np.abs(codes).max() == 3


def test_unknown_model_names_its_neighbours():
    with pytest.raises(WorkloadError, match="did you mean llama-2-7b"):
        find_workload("llama2-7b")
    with pytest.raises(WorkloadError, match="Known are llama-2-7b, "):
        find_workload("zzzz")


def test_a_file_that_is_no_workload(tmp_path):
    with pytest.raises(WorkloadError, match="is no workload"):
        find_workload(written(tmp_path / "x.txt", "x"))
