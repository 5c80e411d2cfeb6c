"""Takes what a calibrated recipe made of a model apart into the tensors of the model's files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from fineq.checkpoint.layers import skeleton
from fineq.checkpoint.names import TensorNames
from fineq.checkpoint.planning import CheckpointPlan, Options, Unit
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.quantizer.packed import PackedWeight


@dataclass(frozen=True)
class CalibratedTensors:
    """Results of a calibrated recipe, by tensor name of the source.

    Attributes:
        packed: the matrices of a tensor; a stack of experts has several.
        changed: other tensors that the recipe changed.
        unseen: layers that no calibration text reached, by the model's names.
    """

    packed: dict[str, list[PackedWeight]]
    changed: dict[str, Tensor]
    unseen: tuple[str, ...] = ()


def check_options(options: Options) -> None:
    """Raise if the options choose layers: a calibrated recipe fits all layers to each other."""
    if options.include or options.exclude or options.embeddings or options.lm_head:
        raise FineqError(
            f"recipe {options.recipe} quantizes the linear layers of all blocks together: leave --include, --exclude, "
            "--embeddings and --lm-head out"
        )


def prepare(
    source: Source, plan: CheckpointPlan, packed: dict[str, PackedWeight], changed: dict[str, Tensor]
) -> CalibratedTensors:
    """Bring the results of `fineq.calibrated.quantize_model` under the names of the source's tensors.

    Args:
        packed: by layer name, see `fineq.models.language_model.block_linears`.
        changed: by parameter name of the model.
    """
    names = TensorNames(skeleton(source.config))
    missing = set(changed)
    by_tensor: dict[str, Tensor] = {}
    matrices: dict[str, list[PackedWeight]] = {}
    for unit in plan.units:
        parameter, converter, position = names.parameter(unit.source)
        if unit.packed:
            matrices[unit.source] = _matrices(unit, packed, position if converter is not None else None)
        elif converter is None and parameter in changed:
            by_tensor[unit.source] = changed[parameter]
            missing.discard(parameter)
    if missing:
        raise FineqError(f"the recipe changed {sorted(missing)[0]}, which the model's files do not hold as a tensor")
    return CalibratedTensors(matrices, by_tensor)


def _matrices(unit: Unit, packed: dict[str, PackedWeight], position: int | None) -> list[PackedWeight]:
    assert unit.layer is not None and unit.packed is not None
    parameter = unit.layer.parameter
    if unit.layer.kind != "experts":
        return [packed[parameter.removesuffix(".weight")]]
    if position is None:
        return [packed[f"{parameter}.{expert}"] for expert in range(unit.packed.shape[0])]
    # One expert's part of the joined rows, for example the second half for `up` behind `gate`.
    expert = re.findall(r"\.experts\.(\d+)\.", unit.source)[-1]
    whole, (rows, inputs) = packed[f"{parameter}.{expert}"], unit.packed.shape
    part = slice(position * rows, (position + 1) * rows)
    return [PackedWeight(whole.blocks[part], whole.scales[part], (rows, inputs), recipe=whole.recipe)]
