"""A language model on small machines: the same text and the same results on every transport, faults noticed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq

from fineq.huggingface.loading import load_model
from fineq.models.locations import shipped_model_path
from fineq_reports.machine.llm_report import as_markdown, write_report
from fineq_sim.driver import Accelerator, FunctionalTransport
from fineq_sim.llm.executors import AcceleratorExecutor, LayerMismatch
from fineq_sim.llm.model import generate, install, quantize_layers, sampler
from fineq_sim.llm.run import Settings, prompt_tokens, run

TEXT = "a b c d e f g h i j k l m n o p"
SMALL = Settings(accelerator="accelerator_5x7", transport="functional", prefill=7, tokens=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model("llama-tied", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def functional(model):
    return run(model, TEXT, SMALL)


def test_verilated_and_functional_say_the_same(model, functional):
    steps = []
    verilated = run(model, TEXT, replace(SMALL, transport="verilated"), steps.append)
    assert verilated.generated == functional.generated
    assert verilated.digest == functional.digest
    assert verilated.software_same and functional.software_same
    for key, share in verilated.statistics.shares.items():
        same = functional.statistics.shares[key].counters
        assert share.counters["multiply_busy"] == same["multiply_busy"]
        assert share.counters["bytes_read"] == same["bytes_read"]
        assert share.counters.cycles > share.counters["multiply_busy"]
    assert [step.number for step in steps] == [1, 2, 3, 4]
    assert sum(step.cycles for step in steps) == verilated.statistics.total().counters.cycles


def test_shares_and_chains(functional):
    """Two blocks: q, k, v in one chain, gate and up in another, o and down alone."""
    assert functional.chains == 2 * 4 and functional.layers == 2 * 7
    assert functional.statistics.kinds == ["q, k, v", "o", "gate, up", "down"]
    assert functional.statistics.layers_compared == SMALL.tokens * functional.layers
    prefill = functional.statistics.shares["prefill", "gate, up"]
    assert prefill.runs == 2
    assert prefill.products == 2 * 2 * SMALL.prefill * 48 * 80
    assert functional.statistics.total("decode").runs == 3 * functional.chains


@pytest.mark.parametrize("change", [{"output": "fixed"}, {"early_termination": False}, {"temperature": 0.8, "seed": 3}])
def test_options(model, functional, change):
    outcome = run(model, TEXT, replace(SMALL, **change))
    assert outcome.software_same
    saved = outcome.statistics.total().counters["terminated_cycles"]
    assert (saved > 0) == outcome.settings.early_termination
    if "early_termination" in change:
        assert outcome.digest == functional.digest


def test_sampling_follows_the_seed(model):
    prompt = [1, 5, 9]
    texts = [list(generate(load_model(model), prompt, 8, sampler(1.0, seed))) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


class WrongOnce(FunctionalTransport):
    """A machine whose 20th result has one wrong bit."""

    reads = 0

    def read_memory(self, address, size):
        content = super().read_memory(address, size)
        if size > 128:
            self.reads += 1
            if self.reads == 20:
                content[4] ^= 1
        return content


def test_a_wrong_result_is_noticed(model):
    language_model = load_model(model)
    executor = AcceleratorExecutor(Accelerator(WrongOnce("accelerator_8x24", memory_size=1 << 20)))
    install(language_model, quantize_layers(language_model), executor)
    with pytest.raises(
        LayerMismatch,
        match=r"^model\.layers\.1\.\S+ differs from the integer reference at 1 of \d+ places, first at token 0, output "
        r"channel 1: -?\d+, expected -?\d+$",
    ):
        list(generate(language_model, [1, 5, 9], 4))


def test_report_is_the_same_for_the_same_run(model, functional, tmp_path):
    again = run(model, TEXT, SMALL)
    contents = []
    for number, outcome in enumerate((functional, again)):
        paths = write_report(outcome, tmp_path / str(number))
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    figures = json.loads(contents[0][1])
    assert figures["generated"] == list(functional.generated)
    page = as_markdown(functional)
    assert "equal the integer reference bit for bit" in page
    assert "This machine has no time: no cycles." in page
    assert "--accelerator accelerator_5x7 --transport functional --prefill 7 --tokens 4`" in page


def test_bad_input(model, tmp_path):
    with pytest.raises(ValueError, match="^the prompt has 17 tokens: give a longer one, or --prefill 17$"):
        run(model, TEXT, replace(SMALL, prefill=18))
    gpt2 = make_model("gpt2", tmp_path / "gpt2")
    with pytest.raises(ValueError, match=r"^transformer\.h\.0\.attn\.c_attn is no plain linear layer: the accelerator"):
        run(gpt2, TEXT, SMALL)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--accelerator", "x"], "error: unknown accelerator 'x': choose one of accelerator_64x64, "),
        (["--transport", "x"], "error: unknown transport 'x': choose one of verilated, functional"),
        (["--output", "int4"], "error: unknown output 'int4': choose one of sums, fixed"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_bad_command_lines(arguments, text, tmp_path):
    outcome = run_fineq("sim-llm", *arguments, "--report", tmp_path / "report")
    assert outcome.code == 1
    assert text in outcome.stderr and outcome.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()


@pytest.mark.regress
def test_the_shipped_model_on_the_full_size(tmp_path):
    text = "Once upon a time, there was a little girl who had a red ball. " * 3
    settings = Settings(tokens=16)
    verilated = run(shipped_model_path(), text, settings)
    functional = run(shipped_model_path(), text, replace(settings, transport="functional"))
    assert verilated.software_same
    assert (verilated.generated, verilated.digest) == (functional.generated, functional.digest)
    assert np.isfinite(verilated.statistics.total("decode").counters.cycles)


def test_prompt_begins_with_the_token_of_a_text():
    from fineq.huggingface.loading import load_tokenizer

    tokenizer = load_tokenizer(shipped_model_path())
    ids = prompt_tokens(tokenizer, "Once upon a time", 3)
    assert ids[0] == tokenizer.bos_token_id and len(ids) == 3
