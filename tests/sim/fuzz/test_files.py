"""The fuzz of packed files: finds nothing in the reader, and finds what is planted."""

import json
from pathlib import Path
from random import Random

import pytest

from fineq.checkpoint import container, fileformat
from fineq_sim.fuzz.files import campaign, mutation, reference
from fineq_sim.fuzz.files.campaign import fuzz_files, show
from fineq_sim.fuzz.files.corpus import Corpus
from fineq_sim.fuzz.files.judge import Judge, Manner
from fineq_sim.fuzz.files.mutation import KINDS, draw_recipe, mutate
from fineq_sim.fuzz.files.parts import Case, Parts
from fineq_sim.fuzz.files.seeds import make_seeds


@pytest.fixture(scope="module")
def seeds() -> dict[str, Case]:
    return make_seeds()


def test_seeds_are_the_same_every_time(seeds):
    assert make_seeds() == seeds


def test_seeds_are_accepted(seeds, tmp_path):
    judge = Judge(tmp_path)
    for name, case in seeds.items():
        assert judge.judge(case, Manner(case.config, sound=True, memory=True)).verdict == "accepted", name
    judge.close()


def test_a_case_survives_the_disk(seeds, tmp_path):
    for name, case in seeds.items():
        case.write(tmp_path / name)
        assert Case.read(tmp_path / name) == case


def test_short_run_finds_nothing(seeds, tmp_path):
    tally = fuzz_files(1, 3000, tmp_path, corpus=Corpus(seeds, tmp_path / "corpus"))
    assert tally.failures == []
    assert tally.count == sum(tally.outcomes.values()) == 3000
    assert len(tally.outcomes) > 20  # places in the reader
    assert len(Corpus(seeds, tmp_path / "corpus")) > len(seeds) + 20  # it grows, and the next run finds it


@pytest.mark.regress
def test_long_run_finds_nothing(seeds, tmp_path):
    assert fuzz_files(2, 100_000, tmp_path, corpus=Corpus(seeds, tmp_path / "corpus")).failures == []


def test_same_seed_same_mutants(seeds, tmp_path):
    runs = [fuzz_files(3, 400, tmp_path / str(number), corpus=Corpus(seeds)) for number in range(2)]
    assert runs[0].outcomes == runs[1].outcomes


def test_an_honest_config_says_what_the_files_repeat(seeds, tmp_path, monkeypatch):
    """To Python 1 and 1.0 are equal, and the digest of the settings tells them apart."""

    def as_float(parts, draw):
        parts.config["quantization_config"]["format_version"] = 1.0

    monkeypatch.setattr(mutation, "config_field", as_float)
    mutant = mutate(seeds["row"], mutation.Recipe("setting", 0, (1,)))
    assert type(json.loads(mutant.case.config)["quantization_config"]["format_version"]) is float
    outcome = Judge(tmp_path).judge(mutant.case, Manner(sound=True))
    assert outcome.verdict == "refused" and "format version 1.0" in outcome.sentence
    changed = Judge(tmp_path / "o").judge(seeds["row"], Manner(origin=mutant.case.config))
    assert (changed.verdict, changed.sentence) == ("fault", "another quantization_config was accepted")


def test_every_kind_of_change_changes_something(seeds):
    draw, found = Random(1), set()
    for _ in range(2000):
        case = draw.choice(list(seeds.values()))
        recipe = draw_recipe(draw, case)
        if mutate(case, recipe).case != case:
            found.add(recipe.kind)
    assert found == set(KINDS)


def accept_any_scale(container, name):
    """A planted fault."""


def accept_any_config(expected, config, where):
    """Another one."""


def test_a_reader_that_accepts_any_scale_is_found(seeds, tmp_path, monkeypatch):
    monkeypatch.setattr(fileformat, "_check_scales", accept_any_scale)
    tally = fuzz_files(1, 3000, tmp_path, corpus=Corpus(seeds))
    assert [failure.kind for failure in tally.failures] == ["accepted, though unsound"]
    place = tally.failures[0].directory
    assert tally.failures[0].command == f"fineq fuzz --show {place}"
    assert show(place).verdict == "fault"
    monkeypatch.undo()
    assert show(place).verdict == "refused"


def test_a_reader_that_takes_any_config_is_found_and_shown_again(seeds, tmp_path, monkeypatch):
    case = seeds["row"]
    changed = Case(case.shards, json.dumps(json.loads(case.config) | {"hidden_act": "gelu"}).encode())
    manner = Manner(case.config)
    changed.write(tmp_path)
    manner.write(tmp_path)
    assert Manner.read(tmp_path) == manner
    assert show(tmp_path).verdict == "refused"
    monkeypatch.setattr(fileformat, "_check_config", accept_any_config)
    assert show(tmp_path).place == "misread"


def test_a_reader_that_breaks_down_is_found_and_the_input_made_small(seeds, tmp_path, monkeypatch):
    def break_down(file, size, where):
        raise ZeroDivisionError

    monkeypatch.setattr(container, "_read_header", break_down)
    tally = fuzz_files(1, 50, tmp_path, corpus=Corpus({"row": seeds["row"]}))
    assert tally.failures[0].kind == "ZeroDivisionError"
    small = Case.read(Path(tally.failures[0].directory))
    assert small.nbytes < seeds["row"].nbytes / 2


def test_a_reader_that_hangs_is_found(seeds, tmp_path, monkeypatch):
    def hang(container, name):
        while True:
            pass

    monkeypatch.setattr("fineq_sim.fuzz.files.judge.SECONDS", 0.05)
    monkeypatch.setattr(campaign, "fewer_bytes", lambda case, fails: case)
    monkeypatch.setattr(fileformat, "_check_scales", hang)
    tally = fuzz_files(1, 3, tmp_path, corpus=Corpus({"row": seeds["row"]}))
    assert tally.failures[0].kind == "hang"


def test_the_second_reader_refuses_what_the_page_refuses(seeds):
    case = seeds["row"]
    parts = Parts(case.shards[0], json.loads(case.config))
    parts.data[parts.header[parts.find("up_proj.weight")]["data_offsets"][0]] = 2
    parts.sign()
    with pytest.raises(reference.Unsound):
        reference.read(Case((parts.join(),), case.config))
    reference.read(case)
