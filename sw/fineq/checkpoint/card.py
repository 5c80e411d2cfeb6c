"""The model card: README.md of a quantized model, and the sizes it states."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq.calibrated.unseen import unseen_sentence
from fineq.checkpoint.choice import RecipeChoice
from fineq.checkpoint.container import DTYPES
from fineq.checkpoint.loss_check import LossCheck
from fineq.checkpoint.pack import LayerResult
from fineq.checkpoint.planning import CheckpointPlan, Unit
from fineq.checkpoint.source import CARD_FILE, Source
from fineq.common.files import write_text
from fineq.common.markdown import table
from fineq.models.stored import CalibrationRecord
from fineq.quantizer.recipes import is_recipe

KEPT_FIELDS = ("license", "license_name", "license_link", "language", "pipeline_tag")
"""What the card takes over from that of the source."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a quantized model against its source.

    Attributes:
        weights: number of quantized weights.
        packed_bytes: what they take, scales and padding included.
        parameters: number of all weights of the model as written.
        total_bytes: what they take.
        source_bytes: what the source's tensors take.
    """

    weights: int
    packed_bytes: int
    parameters: int
    total_bytes: int
    source_bytes: int

    @property
    def bits_of_quantized(self) -> float:
        return 8 * self.packed_bytes / self.weights

    @property
    def bits_of_model(self) -> float:
        return 8 * self.total_bytes / self.parameters


def measure_sizes(source: Source, plan: CheckpointPlan) -> Sizes:
    """Sizes, known from the plan alone."""
    weights = packed_bytes = parameters = total_bytes = 0
    for unit in plan.units:
        stored = sum(math.prod(shape) * DTYPES[dtype].itemsize for dtype, shape in unit.outputs.values())
        elements = source.entry(unit.source).elements
        parameters += elements
        total_bytes += stored
        if unit.packed:
            weights += elements
            packed_bytes += stored
    source_bytes = sum(source.entry(name).nbytes for name in source.tensors)
    return Sizes(weights, packed_bytes, parameters, total_bytes, source_bytes)


def write_card(
    path: Path,
    source: Source,
    plan: CheckpointPlan,
    results: list[LayerResult],
    recipe: str,
    check: LossCheck | None = None,
    unseen: tuple[str, ...] = (),
    fitted_to: CalibrationRecord | None = None,
    choice: RecipeChoice | None = None,
) -> None:
    """Write README.md."""
    warning = check.warning(recipe, is_recipe(recipe)) if check else None
    effect = f"\n{check.sentence()[0].upper()}{check.sentence()[1:]}.\n" if check else ""
    if warning:
        effect = f"\n> [!WARNING]\n> {warning[0].upper()}{warning[1:]}.\n"
    calibration = ""
    if fitted_to:
        calibration = f", calibrated on {fitted_to.windows} windows of {fitted_to.window_length} tokens of "
        calibration += f"{fitted_to.text} (SHA-256 {fitted_to.sha256})"
    sizes = measure_sizes(source, plan)
    in_blocks = len(results) - len(int8_units(plan))
    architecture = ", ".join(source.config.get("architectures") or [source.config["model_type"]])
    if unseen:
        effect += f"\n> [!NOTE]\n> {unseen_sentence(unseen)}.\n"
    text = f"""---
{front_matter(source)}
---

# {architecture}, quantized with FineQ

The weights of {in_blocks} tensors are stored in the FineQ format: clusters of three weights, 24 weights in
7 bytes. Recipe `{recipe}`{f", chosen because {choice.why}" if choice else ""}{calibration}.{int8_sentence(plan)}
{effect}
| | |
|---|---|
| bits per weight, quantized layers (scales and padding included) | {sizes.bits_of_quantized:.3f} |
| bits per weight, whole model | {sizes.bits_of_model:.3f} |
| size of all tensors | {sizes.total_bytes:,} bytes |
| size before | {sizes.source_bytes:,} bytes |
| mean normalised error of the quantized layers | {mean_error(results):.4f} |
| tensors kept as they were | {len(plan.kept)} |

## Use

```python
import fineq.huggingface  # without it transformers refuses these files
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("path/of/this/directory")
```

Every byte of the weights is checked against a checksum when the model is loaded.

## Layers

Normalised error is the squared error over the squared weights. The last two columns are the share of clusters
that store two 3-bit weights, and the share of pairs whose two clusters would each choose another code.

{layer_table(results)}

{changed_list(plan)}## Kept as they were

{kept_table(plan)}
"""
    write_text(path, text)


def int8_units(plan: CheckpointPlan) -> list[Unit]:
    """The tensors that are stored with 8 bits."""
    return [unit for unit in plan.quantized if unit.packed is not None and unit.packed.is_int8]


def int8_sentence(plan: CheckpointPlan) -> str:
    """What is stored with 8 bits, on a line of its own; empty: nothing."""
    names = " and ".join(f"`{unit.name}`" for unit in int8_units(plan))
    return f"\n{names}: 8 bits per weight and a scale for each row, rounded to the nearest." if names else ""


def front_matter(source: Source) -> str:
    """What the hub reads of a card, in YAML: where the model comes from, and its licence and languages."""
    fields: dict[str, Any] = {"library_name": "transformers", "tags": ["fineq", "quantized"]}
    if base := source.base_model():
        fields |= {"base_model": base, "base_model_relation": "quantized"}
    card = _front_matter_of(source.directory / CARD_FILE)
    fields |= {name: card[name] for name in KEPT_FIELDS if card.get(name)}
    licences = sorted(path.name for path in source.directory.glob("LICEN[CS]E*"))
    if licences and "license" not in fields:
        fields |= {"license": "other", "license_link": licences[0]}
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items())


def _front_matter_of(path: Path) -> dict[str, Any]:
    """Of a card that may be absent or broken: then empty."""
    from huggingface_hub.repocard import metadata_load

    try:
        content = metadata_load(path)
        json.dumps(content)
    except Exception:  # written by hand, in whatever form: the card only loses its notes by it
        return {}
    return content if isinstance(content, dict) else {}


def mean_error(results: list[LayerResult]) -> float:
    """Squared error of all layers over their squared weights."""
    power = sum(result.measures.power for result in results)
    return sum(result.measures.error for result in results) / power if power else 0.0


def layer_table(results: list[LayerResult]) -> str:
    """The per-layer table as Markdown."""
    headers = ("tensor", "shape", "bits", "error", "3-bit clusters", "disagreeing pairs")
    return table(headers, map(table_row, results)).rstrip()


def changed_list(plan: CheckpointPlan) -> str:
    """The tensors that keep their form and have other values, as a section; empty without."""
    if not plan.changed:
        return ""
    lines = "".join(f"- `{name}`\n" for name in plan.changed)
    return f"## Changed beside the weights\n\nThe recipe also tuned these tensors, in their own form:\n\n{lines}\n"


def kept_table(plan: CheckpointPlan) -> str:
    """Why tensors were kept, as Markdown."""
    rows = [(why, len(names), names[0]) for why, names in plan.kept_by_reason().items()]
    return table(("why", "tensors", "for example"), rows).rstrip()


def table_row(result: LayerResult) -> list[str]:
    """Cells of a layer in the per-layer table."""
    measures = result.measures
    return [
        result.name,
        " x ".join(map(str, result.shape)),
        f"{result.bits_per_weight:.3f}",
        f"{measures.normalised_error:.4f}",
        f"{measures.outlier_share:.1%}" if measures.clusters else "",
        f"{measures.disagreement_share:.1%}" if measures.clusters else "",
    ]
