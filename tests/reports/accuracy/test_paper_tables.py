"""The paper's tables and figures for any model: values, cache, files, commands; experiments behind decisions."""

import csv
import json
import math
import sys

import pytest
import torch
from tiny_models import make_model

from fineq.cli import main
from fineq.common.errors import FineqError
from fineq.evaluation.evaluate import evaluate, measure, prepare
from fineq.evaluation.methods import find_method, method_names
from fineq.evaluation.perplexity import Text
from fineq.huggingface.loading import load_model
from fineq.models.language_model import block_linears, get_weight
from fineq.quantizer.recipes import RECIPES, Recipe
from fineq.quantizer.vectorised import quantize
from fineq_reports.accuracy import cells as cells_module
from fineq_reports.accuracy.cells import Plan, code_digest, measure_cells
from fineq_reports.accuracy.cluster_size import ClusterSize
from fineq_reports.accuracy.decisions import (
    cluster_method,
    code_shares,
    decisions,
    recipe_method,
    rule_statistics,
    switch_recipes,
)
from fineq_reports.accuracy.perplexities import (
    TABLE_METHODS,
    figure_1,
    figure_1_methods,
    paper_figures,
    paper_ratios,
    table_1,
    table_2,
)
from fineq_reports.accuracy.tables import number, write_report
from fineq_reports.accuracy.weights import concentration, figure_3b, outliers, representative_layer

TEXT = Text("text.txt", "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 12, 1, "as it is")
OTHER = Text("other.raw", "z y x w v u t s r q p o n m l k j i h g f e d c b a " * 12, 1, "as it is")
METHODS = ["none", "rtn", "gptq", "paper"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return make_model("gpt2", tmp_path_factory.mktemp("models") / "other")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")


# -- methods on whole models -----------------------------------------------------------------------------------


def test_every_method_applies_to_a_model_by_one_call(model):
    tokens = torch.randint(3, 29, (200,), generator=torch.Generator().manual_seed(1))
    for name in ("none", "paper", "rtn", "gptq", "owq", "pb-llm", "calibrated"):
        method, loaded = find_method(name), load_model(model)
        reports = method.apply(loaded, tokens)
        assert sorted(r.name for r in reports) == ([] if name == "none" else sorted(block_linears(loaded)))
        for report in reports:
            before, after = get_weight(load_model(model), report.name), get_weight(loaded, report.name)
            error = (before - after).double().square().sum() / before.double().square().sum()
            assert math.isclose(error, report.normalised_error, rel_tol=1e-4)
            assert report.bits_per_weight > method.nominal_bits - 0.2


def test_calibrated_methods_ask_for_text(model):
    with pytest.raises(FineqError, match="method owq needs a text to calibrate with: give one"):
        find_method("owq").apply(load_model(model))
    with pytest.raises(FineqError, match="unknown recipe 'best': choose one of none, paper.*calibrated.*gptq"):
        find_method("best")
    assert set(TABLE_METHODS) <= set(method_names())
    assert [find_method(name).name for name in figure_1_methods()] == figure_1_methods()


def test_evaluate_records_the_calibration_text(model):
    record = evaluate(model, TEXT, find_method("gptq"), 32, calibration=OTHER).to_json()
    assert (record["calibration"], record["calibration_sha256"]) == ("other.raw", OTHER.sha256)
    assert evaluate(model, TEXT, find_method("rtn"), 32, calibration=OTHER).to_json()["calibration"] is None


# -- cells -----------------------------------------------------------------------------------------------------


def test_cells_are_the_evaluations_in_order(model, other, cache):
    plan = Plan([model, other], METHODS, [TEXT, OTHER], OTHER, (16, None), cache=cache)
    cells = measure_cells(plan)
    assert len(cells) == 2 * 4 * 2 * 2
    expected = [(m, n, t, s) for m in ("tiny", "other") for n in METHODS for t in ("text.txt", "other.raw")
                for s in (16, 64)]  # fmt: skip
    assert [(c.model, c.method.name, c.text, c.sequence_length) for c in cells] == expected
    subject = prepare(other, find_method("gptq"), OTHER)
    assert cells[25].perplexity == measure(subject, TEXT).to_json()["result"]["perplexity"]


def test_an_interrupted_run_goes_on_and_a_repeated_one_measures_nothing(model, tmp_path, monkeypatch):
    plan = Plan([model], ["none", "rtn", "paper"], [TEXT], cache=tmp_path)
    prepared = []

    def stops(path, method, calibration):
        prepared.append(method.name)
        if method.name == "paper" and prepared.count("paper") == 1:
            raise KeyboardInterrupt
        return prepare(path, method, calibration)

    monkeypatch.setattr(cells_module, "prepare", stops)
    with pytest.raises(KeyboardInterrupt):
        measure_cells(plan)
    records = [cell.record for cell in measure_cells(plan)]
    assert prepared == ["none", "rtn", "paper", "paper"]
    assert [cell.record for cell in measure_cells(plan)] == records and len(prepared) == 4
    next(tmp_path.glob("*.json")).write_text("{")  # a damaged cell is measured again
    assert [cell.record for cell in measure_cells(plan)] == records and len(prepared) == 5
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("change", ["model", "text", "length", "windows", "calibration", "code"])
def test_whatever_decides_a_value_makes_a_new_cell(model, tmp_path, monkeypatch, change):
    plan = dict(models=[model], methods=["gptq"], texts=[TEXT], calibration=OTHER, cache=tmp_path)
    measure_cells(Plan(**plan))
    before = set(tmp_path.iterdir())
    if change == "model":
        plan["models"] = [make_model("llama", tmp_path / "elsewhere" / "tiny", torch.bfloat16)]
        before.add(tmp_path / "elsewhere")
    elif change == "code":
        monkeypatch.setattr(cells_module, "code_digest", lambda method: "other")
    else:
        plan |= {"text": dict(texts=[OTHER]), "length": dict(sequence_lengths=(16,)), "windows": dict(max_windows=1),
                 "calibration": dict(calibration=TEXT)}[change]  # fmt: skip
    measure_cells(Plan(**plan))
    assert len(set(tmp_path.iterdir()) - before) == 1


def test_code_digests_tell_kinds_apart():
    digests = [code_digest(find_method(name)) for name in ("none", "paper", "calibrated", "gptq")]
    assert len(set(digests)) == 4
    assert code_digest(find_method("mse")) == digests[1] == code_digest(recipe_method(RECIPES["paper-column"]))
    assert code_digest(find_method("rtn-4bit")) == digests[3]


def test_names_must_differ(model, tmp_path):
    with pytest.raises(FineqError, match="two of the models have the same name"):
        measure_cells(Plan([model, model], ["none"], [TEXT], cache=tmp_path))
    with pytest.raises(FineqError, match="two of the texts have the same name"):
        measure_cells(Plan([model], ["none"], [TEXT, TEXT], cache=tmp_path))


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


# -- outliers and decisions ------------------------------------------------------------------------------------


def test_outliers_and_where_they_lie():
    weight = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    weight[:, 7] *= 20
    marked = outliers(weight)
    assert marked[:, 7].sum() > 20 and marked.sum() < 60
    assert concentration(marked, 1) > 0.95 and concentration(marked, 0) < 0.5
    assert concentration(torch.ones(10, 10), 0) == pytest.approx(0.1)


def test_representative_layer_is_the_last_of_the_middle_block(model):
    names = block_linears(load_model(model))
    assert representative_layer(names) == "model.layers.1.mlp.down_proj"


@pytest.mark.parametrize("search", [False, True])
def test_clusters_of_three_are_the_quantizers(search):
    torch.manual_seed(0)
    weight = torch.distributions.StudentT(4.0).sample((16, 71))
    ours, bits = ClusterSize(3, search)(weight)
    packed = quantize(weight, "mse" if search else "paper")
    # 71 columns leave no cluster without neighbour: 24 clusters, 12 pairs
    error = lambda q: (weight - q).double().square().sum().item()  # noqa: E731
    assert math.isclose(error(ours), error(packed.dequantize()), rel_tol=1e-4)
    assert (ours - packed.dequantize()).abs().gt(1e-5).sum() <= (16 if search else 0)
    assert bits == (7 / 3 * 72 + 32) / 71


@pytest.mark.parametrize(
    "size, kept, bits", [(2, 1, 2.5), (3, 2, 2 + 1 / 3), (4, 2, 2.375), (5, 3, 2.4), (6, 4, 2 + 1 / 3)]
)
def test_cluster_sizes_keep_what_their_bits_pay_for(size, kept, bits):
    experiment = ClusterSize(size)
    assert (experiment.kept, experiment.bits) == (kept, pytest.approx(bits))
    weight = torch.randn(8, 12 * size, generator=torch.Generator().manual_seed(size))
    result, _ = experiment(weight)
    scale = weight.abs().amax(dim=1, keepdim=True) / 3
    clusters = (result / scale).round().view(8, -1, 2, size)
    for cluster in clusters.flatten(0, 2):
        assert cluster.abs().max() <= 1 or (cluster != 0).sum() <= kept
    for first, second in clusters.flatten(0, 1):
        if first.abs().max() > 1 and second.abs().max() > 1:  # one code for both
            assert ((first != 0) | (second != 0)).sum() <= kept
    with pytest.raises(FineqError, match="cluster size is 7: it must lie between 2 and 6"):
        ClusterSize(7)


def test_rule_statistics_count_clusters_and_pairs(model):
    loaded = load_model(model)
    for name in block_linears(loaded):
        get_weight(loaded, name)[:] = torch.tensor([1.0, 1, 1, 9, 1, 1]).repeat(14)[: get_weight(loaded, name).shape[1]]
    flagged, differing = rule_statistics(loaded, Recipe())
    assert flagged == pytest.approx(0.5, abs=0.02) and differing == 1.0
    assert rule_statistics(loaded, Recipe(threshold=9.0))[0] == 0


def test_code_shares_count_pairs(model):
    loaded = load_model(model)
    counts = [0, 0, 0, 0]
    for name in block_linears(loaded):  # per row: one pair for each code that zeroes, then pairs of small weights
        weight = get_weight(loaded, name)
        weight[:] = 1
        weight[:, :18] = torch.tensor([0.0, 3, 3, 0, 3, 3, 3, 0, 3, 3, 0, 3, 3, 3, 0, 3, 3, 0])
        rows, columns = weight.shape
        # A last cluster of its own, filled up with a zero, passes the rule and drops that zero.
        lone = rows * (-(-columns // 3) % 2 == 1 and columns % 3 != 0)
        for code, count in enumerate((rows * (-(-columns // 6) - 3) - lone, rows, rows, rows + lone)):
            counts[code] += count
    assert code_shares(loaded, RECIPES["mse"]) == pytest.approx([count / sum(counts) for count in counts])


def test_decisions(model, tmp_path, monkeypatch):
    monkeypatch.setattr("fineq_reports.accuracy.decisions.switch_recipes", lambda: switch_recipes()[::7])
    monkeypatch.setattr("fineq_reports.accuracy.decisions.THRESHOLDS", (2.0, 4.0))
    monkeypatch.setattr("fineq_reports.accuracy.decisions.CLUSTER_SIZES", (3,))
    report = decisions(Plan([model], [], [TEXT], cache=tmp_path, max_windows=2))
    titles = [section.title.split(",")[0].split(" (")[0] for section in report.sections]
    rules = ["What the rule says about the weights", "Pairs whose weights all have 2 bits"]
    assert titles == ["Not quantized", "Switches", "Threshold", "Cluster size", *rules]
    expected = evaluate(model, TEXT, cluster_method(ClusterSize(3)), max_windows=2).to_json()["result"]["perplexity"]
    assert report.sections[3].rows[0] == ["3, paper", "2.333", report.sections[3].rows[0][2], number(expected)]
    variants = [row[0] for section in report.sections[1:3] for row in section.rows]
    assert len(set(variants)) == len(variants)


# -- commands --------------------------------------------------------------------------------------------------


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["fineq", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
        raise SystemExit(0)
    return ended.value.code or 0, capsys.readouterr()


def test_commands(model, cache, tmp_path, monkeypatch, capsys):
    text = tmp_path / "text.txt"
    text.write_text(TEXT.content)
    options = ["--text", text, "--calibration", text, "--cache", cache, "-o", tmp_path / "out", "--windows", "2"]
    code, printed = run(monkeypatch, capsys, "table", "1", model, "--recipe", "rtn", "--recipe", "gptq", *options)
    assert code == 0 and "Perplexity, text.txt" in printed.out and "0/3  tiny, not quantized" in printed.err
    assert (tmp_path / "out" / "accuracy-table-1.md").exists()
    code, printed = run(monkeypatch, capsys, "figure", "3b", model, "--recipe", "uniform", *options)
    assert code == 0 and "where they lie" in printed.out
    code, printed = run(monkeypatch, capsys, "eval", model, "--text", text, "--recipe", "gptq", "--calibration", text,
                        "-o", tmp_path / "e.json")  # fmt: skip
    assert code == 0 and json.loads((tmp_path / "e.json").read_text())["results"][0]["calibration"] == "text.txt"


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["table", "3"], "there is no table '3': choose one of 1, 2"),
        (["figure", "2"], "there is no figure '2': choose one of 1, 3b"),
        (["table", "1", "nowhere"], "nowhere is not a directory"),
        (["table", "1", "--recipe", "best"], "unknown recipe 'best'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, capsys, arguments, text):
    code, printed = run(monkeypatch, capsys, *arguments, "--cache", tmp_path)
    assert code == 1 and printed.err.startswith(f"error: {text}") and printed.err.count("\n") == 1
