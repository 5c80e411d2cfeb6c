"""Takes what a calibrated recipe made of a model apart into the tensors of the model's files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor
from transformers import PreTrainedModel

from fineq.checkpoint.layers import skeleton
from fineq.checkpoint.names import TensorNames
from fineq.checkpoint.planning import CheckpointPlan, Options, Unit
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.models.language_model import block_linears, find_weight
from fineq.models.stored import CalibrationRecord
from fineq.quantizer.packed import PackedWeight


@dataclass(frozen=True)
class CalibratedTensors:
    """Results of a calibrated recipe, by tensor name of the source.

    Attributes:
        packed: the matrices of a tensor; a stack of experts has several.
        changed: other tensors that the recipe changed.
        unseen: layers that no calibration text reached, by the model's names.
        fitted_to: the text, for the report and the card; None: not told.
    """

    packed: Mapping[str, list[PackedWeight]]
    changed: dict[str, Tensor]
    unseen: tuple[str, ...] = ()
    fitted_to: CalibrationRecord | None = None


class OnDemand(Mapping[str, list[PackedWeight]]):
    """Matrices that are read or put together when they are asked for."""

    def __init__(self, makers: dict[str, Callable[[], list[PackedWeight]]]):
        self._makers = makers

    def __getitem__(self, name: str) -> list[PackedWeight]:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def check_options(options: Options) -> None:
    """Raise if the options ask for blocks of FineQ outside the decoder blocks, which calibrated recipes do not make."""
    if (options.embeddings or options.lm_head) and not options.has_int8:
        raise FineqError(
            f"recipe {options.recipe} quantizes the linear layers of the blocks: leave --embeddings and --lm-head out, "
            "or add --outside int8"
        )


def wanted_layers(model: PreTrainedModel, source: Source, plan: CheckpointPlan) -> frozenset[str]:
    """Names of the layers, as in `block_linears`, whose tensors the plan packs.

    Raises:
        FineqError: of matrices that are several tensors in the files, only a part is to be packed.
    """
    places = TensorNames(model).places(source.tensors)
    packed = {unit.layer.parameter for unit in plan.quantized if unit.layer is not None}
    for unit in plan.units:
        if unit.packed is None and places[unit.source][0] in packed:
            raise FineqError(
                f"{unit.source} is kept, and what it is joined with is not: a calibrated recipe quantizes the matrices "
                "of all experts of a block together"
            )
    return frozenset(name for name in block_linears(model) if find_weight(model, name).path in packed)


def prepare(
    source: Source, plan: CheckpointPlan, packed: Mapping[str, PackedWeight], changed: dict[str, Tensor]
) -> CalibratedTensors:
    """Bring the results of `fineq.calibrated.quantize_model` under the names of the source's tensors.

    Args:
        packed: by layer name, see `fineq.models.language_model.block_linears`.
        changed: by parameter name of the model.
    """
    names = TensorNames(skeleton(source.config))
    missing = set(changed)
    by_tensor: dict[str, Tensor] = {}
    matrices: dict[str, Callable[[], list[PackedWeight]]] = {}
    for unit in plan.units:
        parameter, converter, position = names.parameter(unit.source)
        if unit.packed and unit.packed.is_int8:
            continue  # made from the source's own values when it is written
        if unit.packed:
            matrices[unit.source] = partial(_matrices, unit, packed, position if converter is not None else None)
        elif converter is None and parameter in changed:
            by_tensor[unit.source] = changed[parameter]
            missing.discard(parameter)
    if missing:
        raise FineqError(f"the recipe changed {sorted(missing)[0]}, which the model's files do not hold as a tensor")
    return CalibratedTensors(OnDemand(matrices), by_tensor)


def _matrices(unit: Unit, packed: Mapping[str, PackedWeight], position: int | None) -> list[PackedWeight]:
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
