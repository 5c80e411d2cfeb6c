"""The demo's results as sections of its report and as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from fineq_hw.config import MacConfig
from fineq_reports.demo.accuracy import SAMPLE_PROMPT, MethodResult
from fineq_reports.demo.hardware import LayerDemo
from fineq_reports.demo.page import Plot, Section, Table, bar_plot, stacked_plot
from fineq_reports.synthesis.report import SynthesisRun


def _size(count: int) -> str:
    """Bytes in the unit that one says them in."""
    return f"{count / 1e6:.1f} MB" if count >= 10e6 else f"{count / 1000:.1f} kB"


def accuracy_section(model_name: str, text_name: str, results: list[MethodResult]) -> Section:
    """Size and perplexity of every method, the error of every layer, samples of text."""
    full = results[0]
    rows = [
        [
            result.title,
            f"{result.bits_per_weight:.3f}",
            _size(result.linear_bytes),
            f"{result.result.perplexity:.2f}",
            f"{result.result.perplexity / full.result.perplexity:.3f}",
        ]
        for result in results
    ]
    quantized = [result for result in results if result.layers]
    error_rows = [
        [layer.name, f"{layer.shape[0]} x {layer.shape[1]}"]
        + [f"{result.layers[position].normalised_error:.4f}" for result in quantized]
        for position, layer in enumerate(quantized[0].layers)
    ]
    return Section(
        "A language model in 2.33 bits",
        [
            f"Model: {model_name}. Text: {text_name}, {full.result.scored_tokens} tokens in windows of "
            f"{full.result.sequence_length}. Only the linear layers of the blocks are quantized. Bits per weight count "
            "scales and the padding of short rows: a block holds 24 weights, so a row of 4096 takes 2.338 bits."
        ],
        [
            Table(
                ["method", "bits per weight", "linear layers", "perplexity", "ratio to full precision"],
                rows,
                highlight=len(rows) - 1,
            ),
            Table(
                ["layer", "shape", *(f"error, {result.title}" for result in quantized)],
                error_rows,
                "Squared error over squared weights: 0 is exact, 1 would be all zero.",
            ),
        ],
        [
            bar_plot(
                [result.title.replace(", ", ",\n") for result in results],
                [result.result.perplexity for result in results],
                ylabel="perplexity",
                caption="Perplexity, lower is better.",
                ours=[position for position, result in enumerate(results) if result.ours],
            )
        ],
        [(f"{result.title}, asked to continue '{SAMPLE_PROMPT}':", result.sample) for result in results],
    )


def hardware_section(demo: LayerDemo) -> Section:
    """The layer on the simulated array."""
    vectors, on, off = demo.vectors, demo.with_termination, demo.without_termination
    shares = demo.vector_share()
    verdict = (
        f"All {on.sums.size} results of both runs are bit-exact."
        if not demo.difference
        else f"NOT bit-exact: {demo.difference}"
    )
    return Section(
        "A whole layer on the verilated array",
        [
            f"{demo.layer} ({vectors.rows} x {vectors.inner_dimension}, recipe {demo.recipe}) with the real inputs of "
            f"{vectors.tokens} tokens: packed bytes go through the decoders and the array of {demo.config}, and every "
            f"sum is compared with the integer reference. {verdict}"
        ],
        [
            Table(
                ["", "cycles", "of these computing", "predicted by the cycle model"],
                [
                    ["early termination on", str(on.cycles), str(on.computing_cycles), str(demo.predicted.total)],
                    [
                        "early termination off",
                        str(off.cycles),
                        str(off.computing_cycles),
                        str(demo.predicted_without.total),
                    ],
                ],
                f"Early termination saves {demo.saved_share:.1%} of the cycles; a weight vector takes "
                f"{demo.predicted.cycles_per_vector:.3f} cycles on average instead of "
                f"{off.computing_cycles / demo.predicted.vectors:.0f}.",
            )
        ],
        [
            bar_plot(
                [str(magnitude) for magnitude in range(len(shares))],
                [100 * share for share in shares],
                ylabel="% of weight vectors",
                caption="Largest magnitude in a weight vector: it is the number of cycles that the vector takes "
                "(a vector of zeros takes one).",
                ours=range(len(shares)),
                number="{:.1f}",
            )
        ],
    )


def _short(title: str) -> str:
    return title.replace(", ", ",\n")


def _stack(run: SynthesisRun, what: str, scale: float, ylabel: str, caption: str) -> Plot:
    """Stacked bars of one figure by block, one bar a design."""
    blocks: list[str] = []
    for result in run.results:
        blocks += [block for block in getattr(result, what) if block not in blocks]
    parts: dict[str, Sequence[float]] = {}
    for block in blocks:
        values = []
        for result in run.results:
            value = getattr(result, what).get(block, 0.0)
            values.append(scale * getattr(value, "total", value) / result.design.elements)
        parts[block] = values
    return stacked_plot([_short(r.design.title) for r in run.results], parts, ylabel=ylabel, caption=caption)


def synthesis_section(run: SynthesisRun) -> Section:
    """Area, timing and power of the small arrays."""
    rows = [
        [
            result.design.title,
            f"{result.total_area:.0f}",
            f"{result.total_area / result.design.elements:.1f}",
            f"{result.timing.worst_slack_ns:+.3f}",
            f"{result.total_power.total * 1e3:.3f}",
            f"{result.cycles_per_vector:.3f}",
            f"{result.area_cycles:.1f}",
            f"{result.energy_per_mac * 1e12:.4f}",
        ]
        for result in run.results
    ]
    macs = [result for result in run.results if isinstance(result.design.config, MacConfig)]
    arrays = [result for result in run.results if result not in macs]
    paragraphs = [
        f"Arrays of {run.size} mapped to the 45 nm library at {1000 / run.clock_ns:.0f} MHz. The mapped netlists were "
        f"simulated gate by gate; power comes from the toggles. Activity: {run.activity}."
    ]
    if macs and arrays:
        mac, ours = min(macs, key=lambda r: r.total_area), min(arrays, key=lambda r: r.total_area)
        paragraphs.append(
            f"{ours.design.title} takes {1 - ours.total_area / mac.total_area:.1%} less area than {mac.design.title}, "
            f"{1 - ours.total_power.total / mac.total_power.total:.1%} less power, and "
            f"{mac.energy_per_mac / ours.energy_per_mac:.2f} times less energy per multiply-accumulate. A small array "
            "carries more overhead per element than the 64x64 of `make synth`."
        )
    headers = ["design", "area µm²", "µm² per PE", "slack ns", "power mW", "cycles per vector"]
    headers += ["µm² x cycles per MAC", "pJ"]
    return Section(
        "A small array in a 45 nm library",
        paragraphs,
        [Table(headers, rows, "pJ: energy per multiply-accumulate. Decoders, encoders and control are included.")],
        [
            _stack(run, "area", 1.0, "µm² per PE", "Cell area per processing element, by block."),
            _stack(run, "power", 1e6, "µW per PE", "Power per processing element, by block."),
        ],
    )
