"""Quantize a model block by block and group by group, each layer for the inputs it really gets.

The inputs come from the calibration text through the model as quantized so far, so that a layer is fitted to
the errors of those before it. With `full_precision_targets` it is also asked to undo them: the target is not the
layer's own output on these inputs, but its output on the inputs that it has in the full-precision model.
"""

from __future__ import annotations

import copy
import warnings
from functools import partial

import torch
from torch import Tensor, nn

from fineq.calibrated.capture import BlockRunner
from fineq.calibrated.solver import SolverOptions, solve
from fineq.calibrated.training import TrainingOptions, reconstruct_block
from fineq.calibrated.unseen import UnseenLayerWarning
from fineq.common.progress import Progress
from fineq.models.language_model import get_weight, set_weight
from fineq.quantizer.checks import check_finite
from fineq.quantizer.packed import PackedWeight


def quantize_layers(
    runner: BlockRunner,
    hidden: Tensor,
    options: SolverOptions,
    targets: bool,
    block_training: TrainingOptions | None = None,
    recipe: str = "custom",
    progress: Progress | None = None,
) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
    """Quantize all linear layers of the blocks, in place.

    Args:
        hidden: what enters the first block, [windows, length, width].
        options: of the solver.
        targets: fit the outputs of the full-precision model, as far as the inputs allow.
        block_training: if it has steps, each block is trained towards its full-precision outputs before the next.
        recipe: name that the packed weights carry.

    Returns:
        Packed weights by layer name, and other parameters that training changed. The model holds both.
    """
    packed: dict[str, PackedWeight] = {}
    changed: dict[str, Tensor] = {}
    total = sum(len(runner.linears(number)) for number in range(len(runner.blocks)))
    steps = block_training.steps if block_training else 0
    exact = hidden
    for number, block in enumerate(runner.blocks):
        original = copy.deepcopy(block) if targets or steps else None
        for group in runner.groups(number, hidden):
            hessians = runner.hessians(number, group, hidden)
            crossed: dict[str, Tensor] = {}
            if targets and original is not None:
                crossed = _cross_moments(runner, number, group, original, exact, hidden)
            for name in group:
                weight, hessian = get_weight(runner.model, name), hessians[name]
                check_finite(weight, name)
                if name in crossed:
                    assert hessian is not None  # only experts can see no token
                    weight = _retargeted(weight, hessian, crossed[name], options.damping)
                if hessian is None:
                    warnings.warn(UnseenLayerWarning(name), stacklevel=2)
                packed[name] = solve(weight, hessian, options, recipe)
                set_weight(runner.model, name, packed[name].dequantize())
                if progress:
                    progress("layers", len(packed), total)
        if original is not None:
            exact = runner.run_all(number, exact, original)
        if block_training is not None and steps:
            own = {name: packed[name] for name in runner.linears(number)}
            report = partial(_in_all, progress, "block training", number, len(runner.blocks)) if progress else None
            trained, others = reconstruct_block(runner, number, own, hidden, exact, block_training, report)
            packed |= trained
            changed |= others
        hidden = runner.run_all(number, hidden)
    return packed, changed


def _in_all(progress: Progress, what: str, number: int, parts: int, done: int, total: int) -> None:
    """Progress in one of several equal parts."""
    progress(what, number * total + done, parts * total)


def _cross_moments(
    runner: BlockRunner, number: int, group: list[str], original: nn.Module, exact: Tensor, hidden: Tensor
) -> dict[str, Tensor]:
    """Mean of x_exact^T x over all tokens, one matrix for the whole group; none for experts, which see other tokens."""
    prefix = runner.names[number] + "."
    if any(name.rpartition(".")[2].isdigit() for name in group):
        return {}
    path = group[0].removeprefix(prefix)
    inputs: list[Tensor] = []

    def note(module: nn.Module, arguments: tuple) -> None:
        inputs.append(arguments[0].detach().flatten(0, -2).to(torch.float32))

    handles = [block.get_submodule(path).register_forward_pre_hook(note) for block in (original, runner.blocks[number])]
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for exact_part, part in zip(runner.batches(exact), runner.batches(hidden), strict=True):
            inputs.clear()
            runner.run(number, exact_part, original)
            runner.run(number, part)
            total = total + (inputs[0].T @ inputs[1]).to(torch.float64)
    for handle in handles:
        handle.remove()
    tokens = hidden.shape[0] * hidden.shape[1]
    return dict.fromkeys(group, total / tokens)


def _retargeted(weight: Tensor, hessian: Tensor, crossed: Tensor, damping: float) -> Tensor:
    """The weights that give, on the inputs at hand, the outputs closest to those on the exact inputs."""
    weight = weight.to(torch.float64)
    ridge = damping * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=torch.float64, device=hessian.device)
    return torch.linalg.solve(hessian + ridge, (crossed.T + ridge) @ weight.T).T
