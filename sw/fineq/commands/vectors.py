"""`fineq vectors`: golden vectors for someone else's RTL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq.common.errors import FineqError
from fineq.quantizer.defaults import DEFAULT_RECIPE

if TYPE_CHECKING:
    import torch


def vectors(
    weights: Annotated[Path, typer.Argument(help="A .safetensors file, or a .npy file with one matrix.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory; an older set there is replaced.")],
    tensor: Annotated[str | None, typer.Option(help="Matrix to take from a .safetensors file.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Take only the first rows (output channels).")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Activation vectors to draw from a normal distribution.")] = 64,
    activations: Annotated[
        Path | None, typer.Option(help="A .npy file of activations [tokens, K] instead: float, or int8 as they are.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="How to quantize the weights: {recipes}.")] = DEFAULT_RECIPE,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the random activations.")] = 0,
    c_arrays: Annotated[
        bool, typer.Option("--c-arrays", help="Write vectors.h too: everything as arrays of C.")
    ] = False,
    binary: Annotated[bool, typer.Option("--binary", help="Write .bin files too: the plain bytes.")] = False,
) -> None:
    """Quantize a weight matrix and write packed bytes, codes, activations and exact results.

    The directory holds .npy and $readmemh-style .hex files and a manifest with checksums; docs/quantizer/format.md
    describes it.
    """
    import torch

    from fineq.quantizer.activations import quantize_activations
    from fineq.quantizer.golden_vectors import write_vectors
    from fineq.quantizer.vectorised import quantize

    name, weight = read_matrix(weights, tensor)
    packed = quantize(weight if rows is None else weight[:rows], recipe, name=name)
    inner_dimension = packed.shape[1]
    if activations is not None:
        values = read_npy(activations)
    else:
        values = torch.randn(tokens, inner_dimension, generator=torch.Generator().manual_seed(seed))
    if values.dtype == torch.int8:
        integers, scales = values, torch.ones(len(values))
    else:
        integers, scales = quantize_activations(values)
    write_vectors(output, packed, integers.numpy(), scales.numpy(), c_arrays=c_arrays, binary=binary)
    typer.echo(
        f"{name}: {packed.shape[0]} x {inner_dimension} weights, {packed.bits_per_weight():.3f} bits each with scales, "
        f"{len(integers)} tokens, recipe {packed.recipe} -> {output}"
    )


def read_matrix(path: Path, tensor: str | None) -> tuple[str, torch.Tensor]:
    """A matrix and its name from a .npy or .safetensors file."""
    if path.suffix == ".npy":
        if tensor is not None:
            raise FineqError(f"{path} holds a single matrix: leave --tensor out")
        return path.stem, read_npy(path)
    if path.suffix != ".safetensors":
        raise FineqError(f"{path} is neither .safetensors nor .npy: convert the weights to one of them")

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            matrices = [name for name in sorted(file.keys()) if len(file.get_slice(name).get_shape()) == 2]
            if tensor is None and len(matrices) == 1:
                tensor = matrices[0]
            if tensor is None or tensor not in file.keys():
                problem = "holds several matrices" if tensor is None else f"has no tensor {tensor!r}"
                raise FineqError(f"{path} {problem}: choose one with --tensor from {_enumerate(matrices)}")
            return tensor, file.get_tensor(tensor)
    except FileNotFoundError as error:
        raise FineqError(f"cannot read {path}: there is no such file") from error
    except (OSError, SafetensorError) as error:
        raise FineqError(f"cannot read {path}: {error}") from error


def read_npy(path: Path) -> torch.Tensor:
    """The array of a .npy file."""
    import numpy as np

    from fineq.quantizer.checks import as_tensor

    try:
        return as_tensor(np.load(path, allow_pickle=False), path.stem)
    except FileNotFoundError as error:
        raise FineqError(f"cannot read {path}: there is no such file") from error
    except FineqError:
        raise
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise FineqError(f"cannot read {path}: it is not a .npy file of numbers") from error


def _enumerate(names: list[str], limit: int = 20) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "(it has no matrix)") + more
