"""What the functions of the quantizer are given instead of a plain float matrix: taken, or refused with a sentence."""

import numpy as np
import pytest
import torch

import fineq
from fineq.common.errors import FineqError
from fineq.quantizer.defaults import DEFAULT_RECIPE

WEIGHT = torch.randn((4, 30), generator=torch.Generator().manual_seed(0))

REFUSED = {
    "meta": (torch.empty(4, 30, device="meta"), "is on the meta device, without values: load the model with memory"),
    "sparse": (WEIGHT.to_sparse(), "is sparse: give its to_dense()"),
    "nested": (torch.nested.nested_tensor([WEIGHT[0], WEIGHT[1, :3]], layout=torch.jagged), "is a nested tensor"),
    "masked": (np.ma.masked_array(WEIGHT.numpy(), mask=WEIGHT.numpy() > 1), "hides values behind a mask: fill them in"),
    "none": (None, "is a NoneType: give a matrix of floating-point numbers"),
    "module": (torch.nn.Linear(30, 4), "is a Linear: give its .weight"),
    "text": ("model.safetensors", "is a str: give a matrix of floating-point numbers"),
    "ragged": ([[1.0, 2.0], [3.0]], "is a list: give a matrix of floating-point numbers"),
    "objects": (np.array([[None]]), "is a ndarray of object: give a matrix of floating-point numbers"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind):
    given, message = REFUSED[kind]
    packed = fineq.quantize(WEIGHT)
    for function, name in (
        (lambda: fineq.quantize(given, name="q_proj"), "q_proj"),
        (lambda: fineq.quantize_activations(given), "activations"),
        (lambda: fineq.normalised_error(given, packed), "weight"),
    ):
        with pytest.raises(FineqError) as error:
            function()
        assert str(error.value).startswith(f"{name} {message}"), str(error.value)


def test_a_lazy_module_and_a_parameter():
    parameter = torch.nn.Linear(30, 4).weight
    assert torch.equal(fineq.quantize(parameter).blocks, fineq.quantize(parameter.detach()).blocks)
    with pytest.raises(FineqError, match=r"weight is an uninitialized parameter: run the model once"):
        fineq.quantize(torch.nn.LazyLinear(4).weight)


@pytest.mark.parametrize("kind", ["big-endian", "read-only", "list", "negative strides", "float16 big-endian"])
def test_taken(kind, recwarn):
    array = WEIGHT.numpy().copy()
    expected = fineq.quantize(WEIGHT)
    if kind == "big-endian":
        array = array.astype(">f4")
    elif kind == "read-only":
        array.flags.writeable = False
    elif kind == "list":
        array = array.tolist()
    elif kind == "negative strides":
        array = np.ascontiguousarray(array[::-1])[::-1]
    else:
        array, expected = array.astype(">f2"), fineq.quantize(WEIGHT.half())
    packed = fineq.quantize(array)
    assert torch.equal(packed.blocks, expected.blocks) and torch.equal(packed.scales, expected.scales)
    integers, _ = fineq.quantize_activations(array)
    reference = WEIGHT.half() if kind.startswith("float16") else WEIGHT
    assert torch.equal(integers, fineq.quantize_activations(reference)[0])
    assert fineq.normalised_error(array, packed) == fineq.normalised_error(reference, packed)
    assert not recwarn.list


@pytest.mark.parametrize("recipe, kind", [(None, "NoneType"), (3, "int"), (["mse"], "list")])
def test_recipe(recipe, kind):
    from fineq.calibrated import find_calibrated_recipe
    from fineq.evaluation.methods import find_method

    with pytest.raises(FineqError, match=rf"recipe is a {kind}: give the name of one of paper, .*, or a Recipe"):
        fineq.quantize(WEIGHT, recipe)
    with pytest.raises(FineqError, match=rf"recipe is a {kind}: give the name of one of none, paper, "):
        find_method(recipe)
    with pytest.raises(FineqError, match="unknown calibrated recipe .*: choose one of calibrated, "):
        find_calibrated_recipe(recipe)


def test_one_default():
    from fineq.checkpoint.planning import Options

    assert fineq.quantize(WEIGHT).recipe == DEFAULT_RECIPE == Options().recipe == "mse"
    from inspect import signature

    from fineq.commands.vectors import vectors

    assert signature(vectors).parameters["recipe"].default == DEFAULT_RECIPE


def test_version():
    from importlib.metadata import version

    assert fineq.__version__ == version("fineq")
