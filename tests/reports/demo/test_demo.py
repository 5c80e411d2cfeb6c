"""The demo's report: sections from measured results, rendered to one page."""

from __future__ import annotations

import pytest
from helpers.models.damaged_models import with_outlier_channels
from helpers.models.tiny_models import make_model

from fineq.evaluation.perplexity import Perplexity, Text, read_text, shipped_text_path
from fineq.models.language_model import LayerReport
from fineq_reports.demo import accuracy, sections
from fineq_reports.demo.page import Section, Table, bar_plot, stacked_plot, write_page


def test_report_holds_every_part_and_escapes_text(tmp_path):
    section = Section(
        "A section",
        ["A paragraph with <angle> brackets."],
        [Table(["name", "value"], [["first", "1.5"], ["second", "2.5"]], "A note.", highlight=1)],
        [bar_plot(["a", "b"], [1.0, 2.0], ylabel="height", caption="Two bars.", ours=[1])],
        [("A sample:", "Once upon a time")],
    )
    write_page(tmp_path / "report.html", "Title", "Lead.", [section])
    page = (tmp_path / "report.html").read_text()
    for part in ("Title", "Lead.", "A section", "&lt;angle&gt;", "A note.", "Two bars.", "Once upon a time"):
        assert part in page
    assert page.count("<tr") == 3 and page.count('class="highlight"') == 1
    assert "data:image/png;base64,iVBOR" in page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_plots_are_the_same_bytes_every_time():
    def draw() -> tuple[bytes, bytes]:
        bars = bar_plot(["a", "b"], [1.0, 2.0], ylabel="y", caption="")
        stack = stacked_plot(["a", "b"], {"x": [1.0, 2.0], "y": [3.0, 0.5]}, ylabel="y", caption="")
        return bars.png, stack.png

    assert draw() == draw()


def test_report_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        write_page(tmp_path / "file" / "report.html", "Title", "Lead.", [])
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_methods_of_every_kind_are_measured(tmp_path):
    """None, data-free and calibrated, on a model of two blocks."""
    text = Text("words", " ".join("abcdefghijklm" * 40), documents=1, join="")
    lines: list[str] = []
    model = make_model("llama", tmp_path / "model")
    results = accuracy.measure(model, text, lines.append, methods=("none", "mse", "gptq"))
    assert [result.name for result in results] == ["none", "mse", "gptq"]
    assert lines == [result.title for result in results]
    assert results[0].bits_per_weight == accuracy.FULL_PRECISION_BITS and not results[0].layers
    assert all(result.layers and result.bits_per_weight < 5 for result in results[1:])
    assert len({result.result.perplexity for result in results}) == 3


def test_a_model_that_the_data_free_recipe_destroys_is_calibrated_too(tmp_path):
    text = read_text(shipped_text_path())
    titles: list[str] = []
    fragile = with_outlier_channels(tmp_path / "model", factor=8)
    names = [result.name for result in accuracy.measure(fragile, text, titles.append, methods=("none", "mse"))]
    assert names == ["none", "mse", "calibrated"] and titles[-1] == "FineQ, recipe calibrated"


def test_our_methods_stand_out_whatever_their_titles_say(monkeypatch):
    layers = [LayerReport("layer", (2, 3), 2.5, 0.1)]
    found = []
    monkeypatch.setattr(sections, "bar_plot", lambda labels, values, ours, **texts: found.append(list(ours)))
    results = [
        accuracy.MethodResult(
            name, title, 2.5, 100, layers, Perplexity(2.2, 9.0, 8, 7, "bos", 1, 8, 7, "float32"), "text"
        )
        for name, title in (
            ("none", "FineQ left out"),
            ("mse", "Least squares"),
            ("calibrated", "fitted"),
            ("rtn", "rtn"),
        )
    ]
    sections.accuracy_section("model", "text", results)
    assert found == [[1, 2]]
