"""Packed layers as users of PyTorch use layers: compiled, exported, under autocast, copied, pickled, moved, trained."""

import copy
import io
import pickle

import pytest
import torch
from torch.nn import functional

import fineq
from fineq.common.errors import FineqError
from fineq.huggingface.linear import FineqEmbedding, FineqLinear, set_activation
from fineq.operators import packed_linear, unpack
from fineq.operators.library import is_plain
from fineq.operators.product import EXACT_COLUMNS, integer_reference

BOTH = pytest.mark.parametrize("activation", ["float", "int8"])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(activation: str, bias: bool = True, rows: int = 20, columns: int = 50, axis: str = "row") -> FineqLinear:
    made = FineqLinear(columns, rows, bias, axis, activation=activation)
    packed = fineq.quantize(random(rows, columns), "mse", axis=axis)
    made.fineq_blocks.copy_(packed.blocks)
    made.fineq_scales.copy_(packed.scales)
    if bias:
        torch.nn.init.normal_(made.bias)
    return made.requires_grad_(False)


class Network(torch.nn.Module):
    """An embedding and two layers."""

    def __init__(self, activation: str):
        super().__init__()
        self.embedding = FineqEmbedding(30, 50)
        packed = fineq.quantize(random(30, 50, seed=3), "mse")
        self.embedding.fineq_blocks.copy_(packed.blocks)
        self.embedding.fineq_scales.copy_(packed.scales)
        self.first, self.second = layer(activation, rows=72), layer(activation, bias=False, columns=72)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.second(functional.silu(self.first(self.embedding(ids))))


IDS = torch.arange(24).view(2, 12)


def operators(graph: torch.fx.GraphModule) -> list[str]:
    """Names of the operators of FineQ that a graph calls."""
    called = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    return [name.removesuffix(".default") for name in called if name.startswith("fineq.")]


@BOTH
def test_compile_keeps_the_kernels_in_one_graph(activation):
    network, graphs = Network(activation), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    compiled = torch.compile(network, fullgraph=True, backend=backend)
    assert torch.equal(compiled(IDS), network(IDS))
    suffix = "_int8" if activation == "int8" else ""
    assert [operators(graph) for graph in graphs] == [["fineq.unpack", *[f"fineq.linear{suffix}"] * 2]]


@pytest.mark.regress
@BOTH
def test_compile_with_the_default_backend(activation):
    torch._dynamo.reset()
    network = Network(activation)
    compiled = torch.compile(network, fullgraph=True)
    assert torch.allclose(compiled(IDS), network(IDS), rtol=1e-5, atol=1e-6)


@BOTH
def test_compile_of_any_number_of_tokens(activation):
    torch._dynamo.reset()
    made = layer(activation)
    compiled = torch.compile(made, fullgraph=True, dynamic=True, backend="eager")
    for tokens in (1, 2, 9, 100):
        x = random(tokens, 50, seed=tokens)
        assert torch.equal(compiled(x), made(x))


@BOTH
def test_export_and_load_again(activation):
    network = Network(activation)
    exported = torch.export.export(network, (IDS,))
    assert len(operators(exported.graph_module)) == 3
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(IDS), network(IDS))


@BOTH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_takes_its_type_and_leaves_the_scales_alone(activation, dtype):
    made = layer(activation)
    x = random(3, 50)
    with torch.autocast("cpu", dtype=dtype):
        y = made(x)
        assert made(x.double()).dtype == torch.float64, "as in a linear layer"
    assert y.dtype == dtype and torch.equal(y, made(x.to(dtype)))


@BOTH
def test_copies_and_pickles(activation):
    made, x = layer(activation), random(3, 50)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert other.activation == activation and torch.equal(other(x), made(x))
        assert other.fineq_blocks.data_ptr() != made.fineq_blocks.data_ptr()


@BOTH
def test_moves(activation):
    made, x = layer(activation), random(3, 50)
    away = copy.deepcopy(made).to("meta")
    y = away(x.to("meta"))
    assert y.device.type == "meta" and y.shape == (3, 20) and away.activation == activation
    half = copy.deepcopy(made).to(torch.bfloat16)
    assert half.fineq_scales.dtype == torch.float32 and half(x.bfloat16()).dtype == torch.bfloat16
    if torch.cuda.is_available():
        there = copy.deepcopy(made).to("cuda")
        assert torch.allclose(there(x.cuda()).cpu(), made(x), rtol=1e-5, atol=1e-5)
        assert torch.equal(there.to("cpu")(x), made(x))


@pytest.mark.parametrize("axis", ["row", "column"])
def test_gradients(axis):
    made = layer("float", axis=axis)
    weights = made.unpacked().double()
    x = random(3, 50).double().requires_grad_()
    shape = (20, 50)
    assert torch.autograd.gradcheck(lambda x: packed_linear(x, made.fineq_blocks, made.fineq_scales, shape, axis), x)
    assert torch.autograd.gradgradcheck(
        lambda x: packed_linear(x, made.fineq_blocks, made.fineq_scales, shape, axis).square(), x
    )
    towards = random(3, 20).double()
    packed_linear(x, made.fineq_blocks, made.fineq_scales, shape, axis).backward(towards)
    assert torch.allclose(x.grad, towards @ weights)


def test_the_gradient_of_rounded_activations_is_that_of_the_product():
    made, x, towards = layer("int8", bias=False), random(3, 50).requires_grad_(), random(3, 20)
    compiled = torch.compile(made, fullgraph=True, backend="aot_eager")
    for function in (made, compiled):
        x.grad = None
        function(x).backward(towards)
        assert torch.allclose(x.grad, towards @ made.unpacked(), rtol=1e-5, atol=1e-5)


@BOTH
def test_operators_keep_to_what_they_declare(activation):
    made = layer(activation, bias=False)
    buffers = made.fineq_blocks, made.fineq_scales
    x = random(3, 50).requires_grad_()
    checks = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    if activation == "int8":
        torch.library.opcheck(torch.ops.fineq.linear_int8, (x, *buffers, 50), test_utils=checks)
    else:
        torch.library.opcheck(torch.ops.fineq.linear, (x, *buffers, 20, 50, "row"), test_utils=checks)
        y = random(3, 20).requires_grad_()
        torch.library.opcheck(torch.ops.fineq.linear_transposed, (y, *buffers, 20, 50, "row"), test_utils=checks)
        torch.library.opcheck(torch.ops.fineq.unpack, (*buffers, 50), test_utils=checks[:1] + checks[2:])


def test_who_gets_an_operator():
    x = random(3, 50)
    assert is_plain(x) and is_plain(x.bfloat16())
    assert not is_plain(x.clone().requires_grad_())
    with torch.no_grad():
        assert is_plain(x.clone().requires_grad_())
    with torch.autocast("cpu"):
        assert not is_plain(x)
    made = layer("int8")
    traced = torch.jit.trace(made, x)
    assert torch.equal(traced(2 * x), made(2 * x)), "a trace must not hold the numbers of its example"


# -- int8 without the kernel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [50, EXACT_COLUMNS + 30])
def test_the_torch_path_gives_the_bits_of_the_kernel(columns, monkeypatch):
    made, x = layer("int8", columns=columns, rows=6), 10 * random(2, 3, columns)
    x[1, 1, 4], x[0, 0] = torch.inf, 0.0
    expected = made(x)
    assert expected.isnan().any(dim=-1).sum() == 1
    assert made(x[:0]).shape == (0, 3, 6)
    monkeypatch.setattr("fineq.operators.product.DECODED_WEIGHTS", 3 * columns)
    y = integer_reference(x, made.fineq_blocks, made.fineq_scales, columns)
    assert torch.equal((y + made.bias).nan_to_num(7.0), expected.nan_to_num(7.0))
    monkeypatch.setenv("FINEQ_NATIVE", "0")
    assert torch.equal(made(x).nan_to_num(7.0), expected.nan_to_num(7.0))
    assert made(x[:0]).shape == (0, 3, 6)


def test_the_result_is_the_formula_of_the_readme():
    packed, x = fineq.quantize(random(20, 50), "mse"), random(4, 50)
    integers, scales = fineq.quantize_activations(x)
    expected = (integers.int() @ packed.codes().int().T) * scales[:, None] * packed.scales
    assert torch.equal(packed_linear(x, packed.blocks, packed.scales, packed.shape, activation="int8"), expected)


# -- the switch ------------------------------------------------------------------------------------------------


def test_bad_switches():
    with pytest.raises(FineqError, match="^activation is 'int4': choose one of float, int8$"):
        layer("int4")
    with pytest.raises(FineqError, match="^activation 'int8' needs weights that are packed row-wise"):
        layer("int8", axis="column")
    pair = torch.nn.Sequential(layer("float"), layer("float", axis="column"))
    with pytest.raises(FineqError, match="packed row-wise"):
        set_activation(pair, "int8")
    assert pair[0].activation == "float", "nothing is changed by half"
    assert "int8 activations" in repr(layer("int8")) and "int8" not in repr(layer("float"))


def test_unpack_is_decode():
    packed = fineq.quantize(random(20, 50), "mse")
    assert torch.equal(unpack(packed.blocks, packed.scales, 50), packed.dequantize())
