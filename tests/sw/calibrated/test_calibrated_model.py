"""Calibrated recipes on whole models: random ones of several architectures, and the shipped one."""

import copy
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.models.calibration import QUICK
from helpers.models.tiny_models import make_model
from transformers import AutoModelForCausalLM

from fineq.calibrated import RECIPES, CalibratedRecipe, TrainingOptions, output_error, quantize_model
from fineq.calibrated.capture import BlockRunner, cut_windows
from fineq.calibrated.moments import collect_moments
from fineq.calibrated.staged import StagedBlock
from fineq.calibrated.training import TrainableWeights, fake_quantize
from fineq.common.errors import FineqError
from fineq.evaluation.perplexity import perplexity, read_text, shipped_calibration_path, shipped_text_path, tokenize
from fineq.format import bits_per_weight
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.activations import capture_activations
from fineq.models.language_model import block_linears, get_weight
from fineq.models.locations import shipped_model_path
from fineq_reports.accuracy.ablation import STEPS, measure

TRAINED = replace(
    QUICK, block=TrainingOptions(steps=3, batch=2), whole=TrainingOptions(steps=3, batch=2), name="trained"
)


@pytest.fixture
def make(tmp_path):
    return lambda architecture="llama": load_model(make_model(architecture, tmp_path / architecture))


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name].blocks, second[name].blocks) and torch.equal(first[name].scales, second[name].scales)
        for name in first
    )


# -- windows ---------------------------------------------------------------------------------------------------


def test_windows_begin_with_bos_and_hold_consecutive_text(make, tokens):
    windows = cut_windows(make(), tokens)
    assert windows.shape == (4, 64)
    assert (windows[:, 0] == 1).all()
    assert torch.equal(windows[:, 1:].flatten(), tokens[: 4 * 63])
    ready = tokens[:200].view(10, 20)
    assert torch.equal(cut_windows(make(), ready), ready)


def test_text_shorter_than_a_window(make, tokens):
    with pytest.raises(FineqError, match="calibration text has 62 tokens, fewer than one window of 63: give a longer"):
        quantize_model(make(), tokens[:62], QUICK)


def test_unknown_recipe(make, tokens):
    names = "calibrated, calibrated-2, calibrated-1, reconstructed, distilled"
    message = f"unknown calibrated recipe 'best': choose one of {names}"
    with pytest.raises(FineqError, match=message):
        quantize_model(make(), tokens, "best")


def test_weights_that_are_not_numbers(make, tokens):
    model = make()
    get_weight(model, "model.layers.1.mlp.up_proj")[2, 5] = math.nan
    with pytest.raises(FineqError, match=r"model.layers.1.mlp.up_proj\[2, 5\] is NaN"):
        quantize_model(model, tokens, QUICK)


# -- whole models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["llama-tied", "gpt2", "opt", "gpt_neox", "bloom", "mixtral"])
def test_every_architecture(make, tokens, architecture):
    recipe = QUICK if architecture in ("opt", "gpt_neox") else TRAINED
    model = make(architecture)
    before = copy.deepcopy(model.state_dict())
    packed, changed = quantize_model(model, tokens, recipe)
    assert sorted(packed) == sorted(block_linears(model))
    after = model.state_dict()
    matrices = {name for name in before if any(name.startswith(layer.rsplit(".", 1)[0]) for layer in packed)}
    for name in before:
        if name in changed:
            assert torch.equal(after[name], changed[name])
        elif name not in matrices:
            assert torch.equal(after[name], before[name]), f"{name} changed and was not returned"
    for name, layer in packed.items():
        assert layer.recipe == recipe.name
        assert layer.bits_per_weight() == bits_per_weight(layer.shape)
        assert layer.codes(strict=True).shape == get_weight(model, name).shape
        torch.testing.assert_close(get_weight(model, name), layer.dequantize(), rtol=0, atol=0)
    assert bool(changed) == (recipe is TRAINED)  # norms and biases


def test_the_same_input_gives_the_same_bytes(make, tokens):
    first, second = (quantize_model(make(), tokens, TRAINED) for _ in range(2))
    assert same(first[0], second[0])
    assert all(torch.equal(first[1][name], second[1][name]) for name in first[1])


def test_progress_reaches_its_end(make, tokens):
    calls = []
    quantize_model(make(), tokens, TRAINED, progress=lambda *call: calls.append(call))
    assert {what for what, _, _ in calls} == {"layers", "block training", "distillation"}
    assert [call[1:] for call in calls if call[0] == "layers"] == [(n, 14) for n in range(1, 15)]
    assert calls[-1] == ("distillation", 3, 3)


def test_layers_are_fitted_to_the_inputs_they_get(make, tokens):
    """The Hessian of a later layer comes from the model with all earlier layers quantized."""
    model = make()
    windows = cut_windows(model, tokens)
    runner, hidden = BlockRunner.start(model, windows)
    name = "model.layers.0.mlp.down_proj"
    inputs = capture_activations(model, windows, [name])[name].double()
    expected = inputs.T @ inputs / len(inputs)
    moments, _ = collect_moments(StagedBlock(runner, 0), [name], hidden, None)
    torch.testing.assert_close(moments[name], expected, rtol=1e-5, atol=1e-5)
    assert runner.groups(0, hidden) == [
        [f"model.layers.0.self_attn.{part}_proj" for part in "qkv"],
        ["model.layers.0.self_attn.o_proj"],
        ["model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj"],
        ["model.layers.0.mlp.down_proj"],
    ]
    again = BlockRunner.start(model, windows)[1]
    assert torch.equal(runner.run_all(1, runner.run_all(0, hidden)), runner.run_all(1, runner.run_all(0, again)))
    direct = model(input_ids=windows, output_hidden_states=True).hidden_states
    torch.testing.assert_close(runner.run_all(0, hidden), direct[1])


def test_blocks_that_take_what_depends_on_the_text(make, tokens):
    """Zamba, Gemma 3n and the like hand embeddings to every block: refused before a layer is touched."""
    model = make()
    before = copy.deepcopy(model.state_dict())

    def add(module, arguments, keywords):
        return arguments, keywords | {"embeddings": {"of_tokens": keywords.get("hidden_states", *arguments[:1])}}

    for block in model.model.layers:
        block.register_forward_pre_hook(add, with_kwargs=True)
    message = r"the blocks of LlamaForCausalLM take embeddings\['of_tokens'\], which depends on the text"
    with pytest.raises(FineqError, match=message):
        quantize_model(model, tokens, QUICK)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("architecture", ["bloom", "falcon-alibi"])
def test_blocks_get_the_biases_of_all_their_windows(tmp_path, tokens, architecture):
    directory = make_model(architecture, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    windows = cut_windows(model, tokens)
    runner, hidden = BlockRunner.start(model, windows)
    direct = model(input_ids=windows, output_hidden_states=True).hidden_states
    torch.testing.assert_close(runner.run_all(0, hidden), direct[1])
    torch.testing.assert_close(runner.run(0, hidden[1:2]), direct[1][1:2])


def test_full_precision_targets_bring_the_outputs_closer(make, tokens):
    exact = make()
    windows = cut_windows(exact, tokens)
    wanted = exact(input_ids=windows).logits
    errors = []
    for targets in (False, True):
        model = make()
        quantize_model(model, tokens, replace(QUICK, targets=targets))
        errors.append((model(input_ids=windows).logits - wanted).square().mean().item())
    assert errors[1] < errors[0]


# -- training --------------------------------------------------------------------------------------------------


def test_training_brings_the_predictions_closer(make, tokens):
    exact = make()
    windows = cut_windows(exact, tokens)

    def divergence(model):
        with torch.no_grad():
            expected, found = (m(input_ids=windows).logits.log_softmax(-1) for m in (exact, model))
        return (expected.exp() * (expected - found)).sum(-1).mean().item()

    models = [make(), make()]
    quantize_model(models[0], tokens, QUICK)
    whole = TrainingOptions(steps=60, batch=4, code_rate=0.1, scale_rate=0.003, other_rate=0.003)
    quantize_model(models[1], tokens, replace(QUICK, whole=whole))
    assert divergence(models[1]) < 0.97 * divergence(models[0])


def test_forward_pass_of_training_is_the_format(make, tokens):
    model = make()
    packed, _ = quantize_model(model, tokens, QUICK)
    weights = TrainableWeights(model, packed)
    for name, tensor in weights.tensors().items():
        assert torch.equal(tensor, model.get_parameter(name)), "training must start at the packed weights"
    with torch.no_grad():
        for latent in weights.latent.values():
            latent += 0.8 * torch.randn(latent.shape, generator=torch.Generator().manual_seed(1))
        for growth in weights.growth.values():
            growth += 0.1
    seen = {name: tensor.detach().clone() for name, tensor in weights.tensors().items()}
    packed, _ = weights.finish()
    for name, layer in packed.items():
        assert torch.equal(layer.dequantize(), seen[f"{name}.weight"])


def test_straight_through_gradients():
    latent = torch.tensor([[0.2, 1.2, -0.1, 0.0, 0.9, 0.3], [9.0, 0.0, 0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    scale = torch.tensor([2.0, 2.0], requires_grad=True)
    value = fake_quantize(latent, scale, scale.detach())
    assert value.tolist() == [[0, 2, 0, 0, 2, 0], [6, 0, 0, 0, 0, 0]]
    value.sum().backward()
    assert latent.grad.tolist() == [[2.0] * 6, [0.0] + [2.0] * 5]  # beyond the largest code nothing moves
    torch.testing.assert_close(scale.grad, torch.tensor([2.0 - 2.5, 3.0]))


# -- real models -----------------------------------------------------------------------------------------------


def log_losses(path, text, calibration, steps):
    """Loss over full precision in nats per token, by step."""
    tokenizer = load_tokenizer(path)
    ids = tokenize(tokenizer, text)

    def measure_perplexity(model):
        result = perplexity(model, ids, 512, bos="window", bos_token_id=tokenizer.bos_token_id)
        return result.nll, result.perplexity

    rows = {step: measure(load_model(path), step, tokenize(tokenizer, calibration), measure_perplexity)
            for step in ("full precision", *steps)}  # fmt: skip
    return [rows[step].nll - rows["full precision"].nll for step in steps]


CALIBRATED_STEP = "+ full-precision targets = calibrated"


@pytest.mark.regress
def test_shipped_model_loses_at_most_half_of_what_the_paper_loses():
    text, calibration = (read_text(path).content for path in (shipped_text_path(), shipped_calibration_path()))
    assert not {line for line in text.splitlines() if line} & set(calibration.splitlines())
    paper, calibrated = log_losses(shipped_model_path(), text, calibration, ["paper", CALIBRATED_STEP])
    assert calibrated <= 0.5 * paper


@pytest.mark.regress
@pytest.mark.parametrize("name", ["stories260k", "tinystories-656k"])
def test_real_models_lose_at_most_half_of_what_the_paper_loses(name):
    if not os.environ.get("FINEQ_MODELS") or not os.environ.get("FINEQ_TEXT"):
        pytest.skip("FINEQ_MODELS and FINEQ_TEXT do not name directories with models and texts")
    path = Path(os.environ["FINEQ_MODELS"]) / name
    calibration = (Path(os.environ["FINEQ_TEXT"]) / "tinystories_v1_valid_794KB.txt").read_text()[:100_000]
    paper, calibrated = log_losses(path, read_text(shipped_text_path()).content, calibration,
                                   ["paper", CALIBRATED_STEP])  # fmt: skip
    assert calibrated <= 0.5 * paper


def test_steps_of_the_ablation_are_recipes():
    assert all(isinstance(how, str | CalibratedRecipe) for how in STEPS.values())
    assert STEPS[CALIBRATED_STEP] is RECIPES["calibrated"]
    assert output_error(torch.ones(1, 2), torch.zeros(1, 2), torch.eye(2)).item() == 2
