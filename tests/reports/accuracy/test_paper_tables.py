"""The paper's tables and figures for any model: values, files, commands."""

import csv
import json
import math

import pytest
from helpers.running.command_line import run_fineq

from fineq.common.errors import FineqError
from fineq.evaluation.evaluate import evaluate
from fineq.evaluation.methods import find_method
from fineq.evaluation.perplexity import Text
from fineq_reports.accuracy.cells import Plan
from fineq_reports.accuracy.perplexities import (
    figure_1,
    paper_figures,
    paper_ratios,
    table_1,
    table_2,
)
from fineq_reports.accuracy.tables import number, write_report
from fineq_reports.accuracy.weights import figure_3b

TEXT = Text("text.txt", "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 12, 1, "as it is")
OTHER = Text("other.raw", "z y x w v u t s r q p o n m l k j i h g f e d c b a " * 12, 1, "as it is")
METHODS = ["none", "rtn", "gptq", "paper"]


# -- tables and figures ----------------------------------------------------------------------------------------


def rows_of(section):
    return {row[0]: dict(zip(section.header, row, strict=True)) for row in section.rows}


def test_table_1(model, other, cache):
    report = table_1(Plan([model, other], METHODS, [TEXT, OTHER], OTHER, cache=cache))
    rows = rows_of(report.sections[0])
    plain = evaluate(model, TEXT, find_method("none"), 64).to_json()["result"]["perplexity"]
    rounded = evaluate(model, TEXT, find_method("rtn"), 64).to_json()["result"]["perplexity"]
    row = rows["RTN, 2 bits, asymmetric per row"]
    assert row["tiny"] == number(rounded) and row["tiny, ratio"] == number(rounded / plain, 3)
    assert rows["not quantized"]["other, ratio"] == "1"
    assert rows["FineQ, recipe paper"]["paper, 7B Wiki, ratio"] == "1.66"
    assert rows["FineQ, recipe paper"]["paper, 7B C4, ratio"] == "1.7"
    bits = rows_of(report.sections[-1])
    assert "not quantized" not in bits and bits["FineQ, recipe paper"]["bits"] == "2.33"
    assert float(bits["FineQ, recipe paper"]["tiny"]) > 2.33
    assert "the same calibration text: other.raw" in "".join(report.notes)
    assert [record["perplexity"] for record in report.records if record["method"] == "rtn"][0] == rounded


def test_table_2_cuts_lengths_at_the_context(model, cache):
    report = table_2(Plan([model], ["none", "paper"], [TEXT], OTHER, (16, 32, 256), cache=cache))
    assert report.sections[0].header[2:8] == ["16", "16, ratio", "32", "32, ratio", "64", "64, ratio"]
    assert report.sections[0].rows[1][-3:] == paper_ratios("table_2", "paper", ["32 Wiki", "256 Wiki", "1024 Wiki"])


def test_figure_1_and_3b(model, cache):
    report = figure_1(Plan([model], ["none", "rtn", "rtn-3bit", "paper"], [TEXT], OTHER, cache=cache))
    assert [row[1] for row in report.sections[0].rows] == ["32", "2.00", "3.00", "2.33"]
    with pytest.raises(FineqError, match="figure 1 shows one text"):
        figure_1(Plan([model], ["none"], [TEXT, OTHER], cache=cache))
    report = figure_3b(Plan([model], ["none", "uniform", "uniform-16bit"], [TEXT], OTHER, cache=cache))
    ratios = [float(row[2]) for row in report.sections[0].rows]
    assert ratios[0] == 1 and math.isclose(ratios[2], 1, abs_tol=0.01) and ratios[1] > 1.05
    with pytest.raises(FineqError, match="tiny has no layer 'x': choose one such as model.layers.1.mlp.down_proj"):
        figure_3b(Plan([model], ["none"], [TEXT], OTHER, cache=cache), "x")


def test_files_are_complete_and_reproducible(model, cache, tmp_path):
    plan = Plan([model], ["none", "rtn", "paper"], [TEXT], OTHER, cache=cache)
    for make in (table_1, figure_3b):
        for part in ("one", "two"):
            paths = write_report(make(plan), tmp_path / part)
        assert [path.suffix for path in paths] == [".md", ".csv", ".png"]
        for path in paths:
            assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()
        records = list(csv.DictReader(paths[1].open()))
        assert [record["method"] for record in records] == ["none", "rtn", "paper"]
        assert f"]({paths[2].name})" in paths[0].read_text()
        assert paths[2].read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "file").write_text("")
    with pytest.raises(FineqError, match="cannot write to .*file"):
        write_report(table_1(plan), tmp_path / "file")


def test_the_papers_figures_give_its_ratios():
    assert paper_ratios("table_1", "paper", ["3B Wiki", "7B Wiki", "13B Wiki"]) == ["1.86", "1.66", "2.2"]
    assert paper_ratios("table_1", "paper", ["3B C4", "7B C4", "13B C4"]) == ["1.99", "1.7", "2.26"]
    assert paper_ratios("table_1", "mse", ["7B Wiki"]) == ["-"]
    content = paper_figures()
    assert "figures of the paper" in content["source"]
    for table in ("table_1", "table_2"):
        assert {len(content[table][name]) for name in (*content["methods"], "columns")} == {6}
    for name, (_, bits) in content["methods"].items():
        assert math.isclose(find_method(name).nominal_bits or 16, bits, abs_tol=0.005)


@pytest.mark.parametrize(
    "value, text",
    [(None, "-"), (3.14159, "3.142"), (1234.56, "1235"), (45678.0, "45680"), (123456.0, "1.2e5"), (math.inf, "inf"),
     (0.012345, "0.01235"), (2e12, "2.0e12")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert number(value) == text


# -- commands --------------------------------------------------------------------------------------------------


def test_commands(model, cache, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT.content)
    options = ["--text", text, "--calibration", text, "--cache", cache, "-o", tmp_path / "out", "--windows", "2"]
    printed = run_fineq("table", "1", model, "--recipe", "rtn", "--recipe", "gptq", *options)
    assert (
        printed.code == 0 and "Perplexity, text.txt" in printed.stdout and "0/3  tiny, not quantized" in printed.stderr
    )
    assert (tmp_path / "out" / "accuracy-table-1.md").exists()
    printed = run_fineq("figure", "3b", model, "--recipe", "uniform", *options)
    assert printed.code == 0 and "where they lie" in printed.stdout
    printed = run_fineq("eval", model, "--text", text, "--recipe", "gptq", "--calibration", text,
                        "-o", tmp_path / "e.json")  # fmt: skip
    assert (
        printed.code == 0 and json.loads((tmp_path / "e.json").read_text())["results"][0]["calibration"] == "text.txt"
    )


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["table", "3"], "there is no table '3': choose one of 1, 2"),
        (["figure", "2"], "there is no figure '2': choose one of 1, 3b"),
        (["table", "1", "nowhere"], "nowhere is not a directory"),
        (["table", "1", "--recipe", "best"], "unknown recipe 'best'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, arguments, text):
    printed = run_fineq(*arguments, "--cache", tmp_path)
    assert printed.code == 1 and printed.stderr.startswith(f"error: {text}") and printed.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["table", "1"], ["figure", "1"], ["decisions"], ["encodings"]])
def test_an_output_that_cannot_be_written_is_told_before_measuring(tmp_path, monkeypatch, command):
    monkeypatch.setattr("fineq_reports.accuracy.cells.prepare", lambda *a, **k: pytest.fail("it began to measure"))
    monkeypatch.setattr("fineq_reports.accuracy.encodings.model_points", lambda *a: pytest.fail("it began to measure"))
    (tmp_path / "file").write_text("mine")
    printed = run_fineq(*command, "-o", tmp_path / "file")
    assert printed == (1, "", f"error: {tmp_path / 'file'} is no directory: choose another output\n")
