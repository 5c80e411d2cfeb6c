"""The study of accuracy against cycles: counts by hand, permutations, areas, the report and its command."""

import csv
import io
import json
from dataclasses import replace

import pytest
import torch
from helpers.models.calibration import SOLVER
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq

from fineq import normalised_error, quantize
from fineq.calibrated import CalibratedRecipe
from fineq.common.errors import FineqError
from fineq.evaluation.evaluate import evaluate
from fineq.evaluation.perplexity import Text
from fineq.format.temporal import ENCODINGS
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.recipes import RECIPES
from fineq_reports.accuracy import cycle_counts
from fineq_reports.accuracy import encodings as study
from fineq_reports.accuracy.cycle_counts import Counter, matrix_points, model_points, permuted, study_recipes
from fineq_reports.accuracy.decisions import recipe_method
from fineq_reports.accuracy.encodings import encodings, read_designs
from fineq_reports.accuracy.tables import write_report

TEXT = Text("text.txt", "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 12, 1, "as it is")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def small_study(monkeypatch):
    monkeypatch.setattr(cycle_counts, "ROWS", 4)
    monkeypatch.setattr(cycle_counts, "COLUMNS", 96)
    monkeypatch.setattr(cycle_counts, "CYCLE_WEIGHTS", (0.03, 0.1))
    monkeypatch.setattr(cycle_counts, "PLAIN_RECIPES", ("paper", "mse"))
    monkeypatch.setattr(cycle_counts, "CYCLE_RECIPES", ("mse-cycles",))
    quick = (CalibratedRecipe(solver=SOLVER, name="calibrated"),)
    monkeypatch.setattr(cycle_counts, "CALIBRATED", quick)
    monkeypatch.setattr(study, "CALIBRATED", quick)


def write_synthesis(path, **changes):
    designs = [
        {"top": "macro", "title": "FineQ", "columns": 64, "area_per_element_um2": 80.0, "encoding": "unary"},
        {"top": "b", "title": "two", "columns": 64, "area_per_element_um2": 90.0, "encoding": "2s-unary"},
        {"top": "fineq_multiplier", "title": "MAC", "columns": 64, "area_per_element_um2": 300.0},
    ]
    designs[1] |= changes
    path.write_text(json.dumps({"designs": designs}))
    return path


# -- counting --------------------------------------------------------------------------------------------------


def test_counts_of_a_matrix_small_enough_to_follow():
    codes = torch.tensor([[3, 0, 1, 0, 0, 2, 1, 1, 1], [0] * 9, [0, 0, 0, 0, 0, 0, -2, 0, 0]])
    packed = PackedWeight.from_codes(codes, torch.tensor([1.0, 1.0, 2.0]))
    counter = Counter(columns=6)
    weight = packed.dequantize()
    weight[0, 1] = 1.0
    assert torch.equal(counter.add(weight, packed), packed.dequantize())
    point = counter.point("data", "paper", RECIPES["paper"])
    assert point.cycles["unary"] == (3 + 1 + 1 + 1 + 1 + 2) / 6
    assert point.cycles["2s-unary"] == (2 + 5) / 6 and point.cycles["parallel"] == 1
    assert point.threes == 1 / 27
    assert point.error == pytest.approx(1 / weight.square().sum().item())


def test_points_bear_the_recipe_that_theirs_comes_from(monkeypatch):
    """Also where names of changed recipes are built in another way."""
    plain = cycle_counts.RECIPES
    renamed = {name: replace(recipe, name=f"our {name}, changed") for name, recipe in plain.items()}
    monkeypatch.setattr(cycle_counts, "RECIPES", renamed)
    points = list(matrix_points("data", torch.randn(2, 48, generator=torch.Generator().manual_seed(0)), 16))
    assert {point.recipe for point in points} == {"paper", "mse", "mse-cycles"}


def test_points_of_a_matrix_are_those_of_its_recipes():
    weight = torch.randn(4, 96, generator=torch.Generator().manual_seed(0))
    points = list(matrix_points("data", weight, 16))
    recipes = study_recipes(16)
    assert len(points) == len(recipes) >= 6
    for point, (name, recipe) in zip(points, recipes, strict=True):
        assert point.recipe == name
        packed = quantize(weight, recipe)
        assert point.error == pytest.approx(normalised_error(weight, packed))
        assert (point.encoding, point.cycle_weight) == (
            (recipe.encoding, recipe.cycle_weight) if point.encoding else ("", 0)
        )
    by_weight = {(p.recipe, p.encoding, p.cycle_weight): p for p in points}
    for encoding in cycle_counts.aware_encodings():
        light, heavy = (by_weight["mse-cycles", encoding, weight].cycles[encoding] for weight in (0.03, 0.1))
        assert heavy < light


def test_perplexity_is_that_of_the_quantized_model(model):
    points = {(p.recipe, p.encoding, p.cycle_weight): p for p in model_points(model, TEXT, TEXT, 16, None)}
    assert points["mse", "", 0.0].perplexity == evaluate(model, TEXT, recipe_method(RECIPES["mse"])).result.perplexity
    aware = RECIPES["mse-cycles"].with_options(cycle_weight=0.1, encoding="unary", columns=16)
    record = evaluate(model, TEXT, recipe_method(aware))
    point = points["mse-cycles", "unary", 0.1]
    assert point.perplexity == record.result.perplexity
    assert points["calibrated", "", 0.0].perplexity not in (None, point.perplexity)


# -- permuted input channels -----------------------------------------------------------------------------------


def test_permutation_gathers_the_columns_with_large_codes():
    weight = 0.1 * torch.randn(8, 40, generator=torch.Generator().manual_seed(0))
    weight[:, [3, 17, 37]] = 3.0
    moved = permuted(weight, "paper", 1)
    assert torch.equal(moved.sort(dim=1).values, weight.sort(dim=1).values)
    assert (moved[:, :3] == 3).all()
    by_pairs = permuted(weight, "paper", 6)
    assert torch.equal(by_pairs[:, :12], torch.cat([weight[:, 0:6], weight[:, 12:18]], dim=1))
    assert torch.equal(by_pairs[:, 36:], weight[:, 36:])  # too few columns for a group stay last
    cycles = []
    for matrix in (weight, moved):
        counter = Counter(8)
        counter.add(matrix, quantize(matrix, "paper"))
        cycles.append(counter.point("data", "paper").cycles["unary"])
    assert cycles[1] < cycles[0]


# -- areas -----------------------------------------------------------------------------------------------------


def test_areas_times_cycles(tmp_path):
    designs = read_designs(write_synthesis(tmp_path / "synth.json"), 64)
    counter = Counter(64)
    weight = torch.randn(4, 128, generator=torch.Generator().manual_seed(0))
    counter.add(weight, quantize(weight, "paper"))
    point = counter.point("data", "paper", RECIPES["paper"])
    assert [design.encoding for design in designs] == ["unary", "2s-unary", None]
    assert designs[0].product(point) == 80 * point.cycles["unary"]
    assert designs[1].product(point) == 90 * point.cycles["2s-unary"]
    assert designs[2].product(point) == 300


def test_bad_synthesis_reports(tmp_path):
    with pytest.raises(FineqError, match=r"cannot read the synthesis report .*absent.json: No such file"):
        read_designs(tmp_path / "absent.json", 64)
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(FineqError, match=r"other.json is not a synthesis report: give the .json file of `make synth`"):
        read_designs(tmp_path / "other.json", 64)
    with pytest.raises(FineqError, match="names the encoding 'morse', which is unknown: choose one of unary, "):
        read_designs(write_synthesis(tmp_path / "synth.json", encoding="morse"), 64)
    with pytest.raises(FineqError, match=r"is about arrays of \[64\] columns, not 32: give one of that width"):
        read_designs(write_synthesis(tmp_path / "synth.json"), 32)


# -- the report ------------------------------------------------------------------------------------------------


def test_the_report_has_every_point_and_repeats(model, tmp_path, monkeypatch):
    synthesis, steps = write_synthesis(tmp_path / "synth.json"), []
    report = encodings([model], TEXT, TEXT, 64, 1, synthesis, lambda what, done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] == len(report.records)
    rows = list(csv.DictReader(io.StringIO(report.csv())))
    assert {row["data"] for row in rows} == {"tiny", *cycle_counts.DISTRIBUTIONS}
    assert all(float(row[f"cycles_{encoding}"]) >= 1 for row in rows for encoding in ENCODINGS)
    area = report.sections[-1]
    assert area.header[-3:] == ["FineQ (80.0 µm²)", "two (90.0 µm²)", "MAC (300.0 µm²)"]
    gaussian = next(row for row in rows if (row["data"], row["recipe"]) == ("Gaussian", "paper"))
    line = next(row for row in area.rows if row[:2] == ["Gaussian", "paper"])
    assert line[2:] == [
        f"{80 * float(gaussian['cycles_unary']):.1f}",
        f"{90 * float(gaussian['cycles_2s-unary']):.1f}",
        "300.0",
    ]

    # The command makes the same files.
    (tmp_path / TEXT.name).write_text(TEXT.content)
    arguments = ["--text", TEXT.name, "--calibration", TEXT.name, "--windows", "1", "--synthesis", "synth.json"]
    monkeypatch.chdir(tmp_path)
    assert run_fineq("encodings", model, *arguments, "-o", "second").code == 0
    for first in write_report(report, tmp_path / "first"):
        assert first.read_bytes() == (tmp_path / "second" / first.name).read_bytes()
    assert {file.suffix for file in (tmp_path / "second").iterdir()} == {".md", ".csv", ".png"}


def test_command_names_a_bad_report_before_it_measures(model):
    outcome = run_fineq("encodings", model, "--synthesis", model / "config.json")
    assert outcome.code == 1
    assert "config.json is not a synthesis report" in outcome.stderr
