"""Matrix products from an ONNX graph, with the package `onnx` (extra `onnx`).

A product with a constant operand is a linear layer; one of two computed operands is attention or the like, which the
array cannot run; everything else is left to the host, and listed.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from fineq_sim.workloads.work import Head, Linear, Pass, Workload, WorkloadError

PRODUCTS = ("MatMul", "Gemm")


def read_onnx(path: Path, sequence: int | None, batch: int = 1) -> Workload:
    """The products of a graph.

    Args:
        path: of the file; weights beside it are not needed.
        sequence: for every dimension that the graph leaves open, but the first of an input; None: there is none.
        batch: for the first.

    Raises:
        WorkloadError: the package is missing, the file cannot be read, or a size is unknown.
    """
    try:
        import onnx
        from onnx import shape_inference
    except ImportError as error:
        raise WorkloadError(
            f"{path} needs the package onnx, which is not installed: pip install 'fineq[onnx]'"
        ) from error
    try:
        model = onnx.load(str(path), load_external_data=False)
        _close(model, path, sequence, batch)
        model = shape_inference.infer_shapes(model, data_prop=True)
    except WorkloadError:
        raise
    except Exception as error:  # protobuf has errors of its own, and onnx too
        raise WorkloadError(f"cannot read {path} as an ONNX model: {' '.join(str(error).split())[:200]}") from error
    graph = model.graph
    constants = {each.name: tuple(each.dims) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants |= dict.fromkeys(node.output, _value_shape(node))
    shapes = _shapes(graph) | constants
    linears: list[Linear] = []
    computed: list[Head] = []
    others: Counter[str] = Counter()
    for number, node in enumerate(graph.node):
        name = node.name or f"{node.op_type}_{number}"
        if node.op_type not in PRODUCTS:
            others[node.op_type] += node.op_type != "Constant"
            continue
        tokens, channels, inner, stack = _sizes(path, name, node, shapes)
        constant = [each in constants for each in node.input[:2]]
        if constant[1] and stack == 1:
            linears.append(Linear(name, tokens, channels, inner))
        elif constant[0] and stack == 1:
            linears.append(Linear(name, channels, tokens, inner))
        else:
            computed.append(Head(name, tokens, channels, inner, stack))
    if not linears:
        raise WorkloadError(f"{path} has no MatMul or Gemm with a constant operand: there is nothing for the array")
    host = tuple(f"{count} {kind}" for kind, count in sorted(others.items()) if count)
    passed = Pass("given", sequence, tuple(linears), (), tuple(computed), host)
    return Workload(path.stem, f"the ONNX graph {path.name}", (passed,))


def _value_shape(node: Any) -> tuple[int, ...]:
    """Of a constant."""
    return next((tuple(each.t.dims) for each in node.attribute if each.name == "value"), ())


def _close(model: Any, path: Path, sequence: int | None, batch: int) -> None:
    """Give every open dimension of the inputs a number."""
    constant = {each.name for each in model.graph.initializer}
    for value in model.graph.input:
        if value.name in constant:
            continue
        for position, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_value") and dimension.dim_value > 0:
                continue
            if position and sequence is None:
                raise WorkloadError(
                    f"{path} leaves dimension {position} of its input {value.name} open: say with --seq what it is"
                )
            dimension.dim_value = sequence if position and sequence is not None else batch


def _shapes(graph: Any) -> dict[str, tuple[int, ...]]:
    return {
        value.name: tuple(each.dim_value for each in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def _sizes(path: Path, name: str, node: Any, shapes: dict[str, tuple[int, ...]]) -> tuple[int, int, int, int]:
    """M, N, K and the number of products of a node."""
    found = [shapes.get(each, ()) for each in node.input[:2]]
    if any(len(shape) < 1 or min(shape) < 1 for shape in found):
        raise WorkloadError(f"{path}: the sizes of {name} cannot be worked out: export the model with fixed shapes")
    left, right = found
    attributes = {each.name: each.i for each in node.attribute}
    if attributes.get("transA"):
        left = left[:-2] + (left[-1], left[-2])
    if attributes.get("transB"):
        right = right[:-2] + (right[-1], right[-2])
    inner, channels = left[-1], right[-1] if len(right) > 1 else 1
    if len(right) <= 2:
        return prod(left[:-1]), channels, inner, 1
    return left[-2] if len(left) > 1 else 1, channels, inner, prod(right[:-2])
