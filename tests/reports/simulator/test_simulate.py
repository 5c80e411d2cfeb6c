"""`fineq simulate` as a user calls it: the files it leaves, and one sentence for what it cannot do."""

import csv
import json
import re

import pytest
from helpers.running.command_line import run_fineq

FILES = {
    "energy.png",
    "layers.csv",
    "report.html",
    "result.json",
    "roofline.png",
    "summary.md",
    "timeline.png",
    "trace.json",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "new"
    outcome = run_fineq(
        "simulate", "smollm2-135m", "--seq", "40,70", "--batch", 2, "--generate", 3, "--trace", 4000, "-o", output
    )
    assert outcome.code == 0, outcome.stderr
    return output, outcome.stdout


def test_leaves_every_file(study):
    output, printed = study
    assert {path.name for path in output.iterdir()} == FILES
    for name in FILES:
        assert f"wrote {output / name}" in printed.replace("\n", "")
    assert "checked exactly: " in printed and "range of 3 measured models" in printed


def test_all_files_tell_the_same(study):
    output, _ = study
    document = json.loads((output / "result.json").read_text())
    assert [each["pass"] for each in document["passes"]] == [
        name for name in ("prefill 40", "decode 40", "prefill 70", "decode 70") for _ in range(2)
    ]
    rows = list(csv.DictReader((output / "layers.csv").open()))
    assert len(rows) == len(document["layers"])
    summary = (output / "summary.md").read_text()
    page = (output / "report.html").read_text()
    for each in document["passes"]:
        cycles = f"{each['cycles']:,.0f}"
        assert cycles in summary and cycles in page
        assert each["share"] in summary and each["share"] in page


def test_the_trace_adds_up(study):
    output, _ = study
    document = json.loads((output / "trace.json").read_text())
    names = [each for each in document["traceEvents"] if each["ph"] == "M" and each["name"] == "process_name"]
    assert len(names) == 4  # shapes of the first pass
    slices = [each for each in document["traceEvents"] if each["ph"] == "X"]
    for process in range(1, 5):
        multiply = [each["dur"] for each in slices if each["pid"] == process and each["tid"] == 4]
        assert 0 < sum(multiply) <= 4000


def test_the_page_needs_no_network_and_fits_a_phone(study):
    output, _ = study
    page = (output / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "url(" not in page
    assert 'name="viewport" content="width=device-width' in page
    # Whatever is wider than a narrow screen scrolls by itself or shrinks.
    assert page.count("<table") == page.count('<div class="scroll"><table') and "img { max-width: 100%" in page


def test_no_energy_and_no_attention(tmp_path):
    outcome = run_fineq(
        "simulate", "smollm2-135m", "--seq", 9, "--no-energy", "--attention", "host", "--trace", 0, "-o", tmp_path
    )
    assert outcome.code == 0, outcome.stderr
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"energy.png", "timeline.png", "trace.json"}
    assert "linear layers only" in outcome.stdout.lower()
    assert json.loads((tmp_path / "result.json").read_text())["passes"][0]["title"] == "linear layers only"


def test_a_csv_on_a_machine_of_one_s_own(tmp_path):
    (tmp_path / "g.csv").write_text("Layer,M,N,K,\na,30,40,50,\n")
    (tmp_path / "m.yaml").write_text("bus_bits: 256\nextrapolate: true\n")
    outcome = run_fineq("simulate", tmp_path / "g.csv", "--arch", tmp_path / "m.yaml", "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert "m (extrapolated: no RTL)" in (tmp_path / "out" / "summary.md").read_text()
    assert "Extrapolated: no RTL" in outcome.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["llama-2-7"], "did you mean llama-2-7b"),
        (["llama-2-7b", "--seq", "0"], "sequence length is 0"),
        (["llama-2-7b", "--seq", "1,x"], "'x' is no length"),
        (["llama-2-7b", "--batch", "0"], "batch is 0"),
        (["llama-2-7b", "--batch", "64"], "layer self_attn.q_proj has 131072 tokens"),
        (["llama-2-7b", "--arch", "accelerator_8x24"], "fineq synth --size 8x24"),
        (["llama-2-7b", "--arch", "x.yaml"], "no accelerator or file 'x.yaml'"),
        (["llama-2-7b", "--steps", "packed"], "needs a packed checkpoint"),
        (["llama-2-7b", "--engine", "fast"], "unknown engine"),
        (["llama-2-7b", "--attention", "none"], "unknown attention mode"),
        (["llama-2-7b", "--writes", "float"], "unknown output"),
        (["llama-2-7b", "--phase", "train"], "unknown phase"),
        (["llama-2-7b", "--results", "/no/such/place"], "--results"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, arguments, said):
    outcome = run_fineq("simulate", *arguments, "-o", tmp_path / "out")
    assert outcome.code == 1 and said in outcome.stderr
    assert outcome.stderr.strip().count("\n") == 0 and not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    outcome = run_fineq("simulate", "smollm2-135m", "-o", tmp_path / "file")
    assert outcome.code == 1 and "is no directory" in outcome.stderr
