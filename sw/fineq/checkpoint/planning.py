"""What a quantized checkpoint will hold: decided from headers and config alone, before any weight is read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedModel

from fineq.checkpoint.fileformat import FORMAT_VERSION, INT8_VERSION, QUANT_METHOD, PackedEntry
from fineq.checkpoint.layers import PackableWeight, find_layers, skeleton
from fineq.checkpoint.names import TensorNames, check_arrival
from fineq.checkpoint.selection import Options, is_wanted, select
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.format import CLUSTER_WEIGHTS
from fineq.models.stored import INT8_TENSORS

UNTIED = "was one matrix with one that is packed now"
"""Why the embedding or the output head of a tied model is kept."""

FLOATS = ("F32", "F16", "BF16", "F64")


@dataclass(frozen=True)
class Unit:
    """One tensor of the source and what becomes of it.

    Attributes:
        name: of the tensor to write, without `.fineq_blocks` and so on if it is quantized.
        source: of the tensor to read.
        file: name of the weight file it is written to.
        layer: the model's layer that it belongs to, if it is quantized.
        packed: its entry in the checkpoint, if it is quantized: shape as [outputs, inputs], experts in front.
        outputs: type and shape of the tensors to write, by name.
    """

    name: str
    source: str
    file: str
    layer: PackableWeight | None
    packed: PackedEntry | None
    outputs: dict[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class CheckpointPlan:
    """All units in the order of work, the config.json to write, and why tensors are kept, by name.

    `changed` names tensors that stay in their own form and get other values, once a recipe has told which.
    """

    units: list[Unit]
    config: dict[str, Any]
    kept: dict[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    def with_changed(self, sources: Collection[str]) -> CheckpointPlan:
        """The plan when a recipe has changed these tensors of the source, which are kept no more."""
        changed = [unit.name for unit in self.units if unit.source in sources]
        kept = {name: why for name, why in self.kept.items() if name not in changed}
        return replace(self, kept=kept, changed=tuple(sorted(changed)))

    def kept_by_reason(self) -> dict[str, list[str]]:
        """Names of the tensors that are kept, by why; the most frequent reason first."""
        names: dict[str, list[str]] = {}
        for name, reason in self.kept.items():
            names.setdefault(reason, []).append(name)
        return dict(sorted(names.items(), key=lambda item: -len(item[1])))

    def with_recipe(self, recipe: str) -> CheckpointPlan:
        """The same plan under another recipe of the same axis."""
        settings = self.config["quantization_config"] | {"recipe": recipe}
        return replace(self, config=self.config | {"quantization_config": settings})

    @property
    def quantized(self) -> list[Unit]:
        return [unit for unit in self.units if unit.packed]

    def file_tensors(self) -> dict[str, dict[str, tuple[str, tuple[int, ...]]]]:
        """Tensors to write, by file."""
        files: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {}
        for unit in self.units:
            files.setdefault(unit.file, {}).update(unit.outputs)
        return files


def make_plan(source: Source, options: Options, axis: str) -> CheckpointPlan:
    """Decide what is quantized.

    Args:
        axis: of the recipe.

    Raises:
        FineqError: tensors that the architecture needs are absent or of the wrong shape, a layer cannot be
            quantized, a pattern matches nothing.
    """
    model = skeleton(source.config)
    layers, names = find_layers(model), TensorNames(model)
    places = names.places(source.tensors)
    places = {tensor: places[tensor] for tensor in source.tensors}
    _check_complete(source, model, places)
    kept = select(source, model, layers, places, options)
    order = {parameter: number for number, parameter in enumerate(model.state_dict())}
    files = [container.path.name for container in source.containers]
    units = [
        _unit(source, tensor, tensor, None if tensor in kept else layers[places[tensor][0]], axis, options)
        for tensor in source.tensors
    ]
    units.sort(key=lambda unit: (files.index(unit.file), order.get(places[unit.source][0], len(order))))
    config = dict(source.config)
    shared = options.has_int8 and _is_one_matrix(source, model, layers, places)
    if shared:
        units = _shared(source, model, layers, units, options, axis)
    elif options.embeddings or options.lm_head:
        units += _untied(source, model, layers, places, options, axis)
        config["tie_word_embeddings"] = False
    entries = [unit.packed for unit in units if unit.packed]
    packed, int8 = (
        {entry.name: list(entry.shape) for entry in entries if entry.is_int8 == is_int8} for is_int8 in (False, True)
    )
    if not entries:
        raise FineqError("nothing is left to quantize: loosen --include and --exclude")
    _check_arrival(model, units, places)
    _check_parameters(model, units, set(_ends(layers)) if shared and int8 else set())
    config["quantization_config"] = {
        "quant_method": QUANT_METHOD,
        "format_version": INT8_VERSION if int8 else FORMAT_VERSION,
        "recipe": options.recipe,
        "axis": axis,
        "tensors": packed,
    } | ({INT8_TENSORS: int8} if int8 else {})
    return CheckpointPlan(
        units, config, {unit.name: kept.get(unit.source, UNTIED) for unit in units if not unit.packed}
    )


def _unit(source: Source, tensor: str, name: str, layer: PackableWeight | None, axis: str, options: Options) -> Unit:
    entry, file = source.entry(tensor), source.tensors[tensor].path.name
    if layer is None:
        return Unit(name, tensor, file, None, None, {name: (entry.dtype, entry.shape)})
    if entry.dtype not in FLOATS:
        raise FineqError(f"{tensor} is {entry.dtype}: only {', '.join(FLOATS)} can be quantized; --exclude it")
    if len(entry.shape) not in (2, 3) or 0 in entry.shape:
        raise FineqError(f"{tensor} has shape {list(entry.shape)}: only matrices can be quantized; --exclude it")
    *experts, rows, inputs = entry.shape
    if layer.transposed:
        rows, inputs = inputs, rows
    if layer.place != "block" and options.has_int8:
        packed = PackedEntry(name.removesuffix(".weight"), (rows, inputs), "row", is_int8=True)
        return Unit(packed.name, tensor, file, layer, packed, packed.parts())
    if inputs < CLUSTER_WEIGHTS:
        raise FineqError(
            f"{tensor} takes {inputs} inputs, fewer than the {CLUSTER_WEIGHTS} weights of a cluster: --exclude it"
        )
    if layer.kind == "experts" and axis != "row":
        raise FineqError(f"{tensor} belongs to a stack of experts, which only row-wise recipes can quantize")
    packed = PackedEntry(name if experts else name.removesuffix(".weight"), (*experts, rows, inputs), axis)
    return Unit(packed.name, tensor, file, layer, packed, packed.parts())


def _check_arrival(model: PreTrainedModel, units: list[Unit], places: dict[str, Any]) -> None:
    """Raise if a packed tensor would not be found again when the checkpoint is loaded."""
    packed, stacks = {}, {}
    for unit in units:
        if unit.layer is None or unit.packed is None:
            continue
        packed[unit.name] = unit.layer.parameter, list(unit.packed.parts())
        if unit.layer.kind == "experts":
            converter = places[unit.source][1]
            stacks[unit.layer.parameter] = len(converter.source_patterns) if converter else 0
    check_arrival(model, packed, stacks)


def _check_parameters(model: PreTrainedModel, units: list[Unit], shared: set[str]) -> None:
    """Raise if no parameter is left: packed layers hold buffers, and transformers takes a model's device and type from
    its first parameter. `shared`: parameters of embedding and head if they are one packed matrix."""
    packed = shared | {unit.layer.parameter for unit in units if unit.layer is not None and unit.packed is not None}
    if {name for name, _ in model.named_parameters(remove_duplicate=False)} <= packed:
        raise FineqError(
            f"every parameter of {type(model).__name__} would be packed, and transformers needs one to tell the "
            "model's device and type: leave --embeddings or --lm-head out"
        )


def _check_untying(model: PreTrainedModel, layers: dict[str, PackableWeight]) -> None:
    """Raise if a model ties more than embedding and head: transformers unties all or nothing."""
    both = {layer.parameter for layer in layers.values() if layer.place != "block"}
    for tied, origin in model.all_tied_weights_keys.items():
        if not {tied, origin} <= both:
            raise FineqError(
                f"{type(model).__name__} ties {tied} to {origin}, and transformers unties all weights of a model or "
                "none: leave --embeddings, --lm-head out"
            )


def _untied(
    source: Source,
    model: PreTrainedModel,
    layers: dict[str, PackableWeight],
    places: dict[str, Any],
    options: Options,
    axis: str,
) -> list[Unit]:
    """Of a model that stores one matrix as embedding and output head, the one of the two that is absent: once
    either is quantized, they are tensors of their own."""
    ends = _ends(layers)
    _check_untying(model, layers)
    stored = {place[0]: tensor for tensor, place in places.items()}
    if _head_that_is_not_there(source, model):
        return []
    for absent, present in (list(ends), list(ends)[::-1]):
        if absent not in stored:
            layer = ends[absent] if is_wanted(ends[absent], options) else None
            return [_unit(source, stored[present], absent, layer, axis, options)]
    return []


def _ends(layers: dict[str, PackableWeight]) -> dict[str, PackableWeight]:
    """Embedding and output head by parameter, in this order.

    Raises:
        FineqError: the model has not both.
    """
    both = [layer for place in ("embedding", "head") for layer in layers.values() if layer.place == place]
    if len(both) != 2:
        raise FineqError("this architecture has no plain embedding and output head: leave --embeddings, --lm-head out")
    return {layer.parameter: layer for layer in both}


def _is_one_matrix(
    source: Source, model: PreTrainedModel, layers: dict[str, PackableWeight], places: dict[str, Any]
) -> bool:
    """Whether the files hold one matrix as embedding and output head."""
    stored = {place[0] for place in places.values()}
    return not _head_that_is_not_there(source, model) and not stored.issuperset(_ends(layers))


def _shared(
    source: Source,
    model: PreTrainedModel,
    layers: dict[str, PackableWeight],
    units: list[Unit],
    options: Options,
    axis: str,
) -> list[Unit]:
    """The units where the one matrix of embedding and output head is stored once with 8 bits, as the embedding's."""
    ends = _ends(layers)
    if not (options.embeddings and options.lm_head):
        raise FineqError(
            "embedding and output head of this model are one matrix, which is stored once with 8 bits: add both "
            "--embeddings and --lm-head, or leave --outside int8 out"
        )
    for tied, origin in model.all_tied_weights_keys.items():
        if {tied, origin} & set(ends) and not {tied, origin} <= set(ends):
            raise FineqError(f"{type(model).__name__} ties {tied} to {origin} as well: leave --outside int8 out")
    embedding, head = ends.values()
    return [
        _unit(source, unit.source, embedding.parameter, embedding, axis, options) if unit.layer == head else unit
        for unit in units
    ]


def _head_that_is_not_there(source: Source, model: PreTrainedModel) -> set[str]:
    """Parameters of the output head, if the files are of a model without one: embedding models are published so."""
    named = source.config.get("architectures") or [type(model).__name__]
    head = model.get_output_embeddings()
    if head is None or type(model).__name__ in named or type(model.base_model).__name__ not in named:
        return set()
    own = {id(parameter) for parameter in head.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def _check_complete(source: Source, model: Any, places: dict[str, Any]) -> None:
    state = model.state_dict()
    covered: set[str] = set()
    for tensor, (parameter, converter, _) in places.items():
        if converter is None:
            covered.add(parameter)
            if parameter in state and tuple(state[parameter].shape) != source.entry(tensor).shape:
                raise FineqError(
                    f"{tensor} has shape {list(source.entry(tensor).shape)}, config.json asks for "
                    f"{list(state[parameter].shape)}: the two are of different models"
                )
        else:
            first = converter.target_patterns[0]
            covered.update(parameter.replace(first, target) for target in converter.target_patterns)
    for copy, original in model.all_tied_weights_keys.items():
        if copy in covered or original in covered:
            covered |= {copy, original}
    without_head = _head_that_is_not_there(source, model)
    for parameter in state:
        if parameter not in covered and parameter not in without_head:
            raise FineqError(f"{parameter} is in none of the weight files of {source.directory}: they are incomplete")
