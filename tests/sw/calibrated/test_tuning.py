"""End-to-end tuning: what it trains, that gradients are right, and that what is kept in memory changes nothing."""

import copy
from dataclasses import replace

import pytest
import torch
from helpers.models.calibration import QUICK
from helpers.models.tiny_models import make_model

from fineq.calibrated import RECIPES, TuningOptions, find_calibrated_recipe, quantize_model
from fineq.calibrated.capture import BlockRunner, cut_windows
from fineq.calibrated.training import TrainableWeights, choose_codes
from fineq.calibrated.tuning import MemoryState, TuningInputs, memory, run, tune
from fineq.calibrated.tuning.backprop import Backprop
from fineq.calibrated.tuning.student import Student
from fineq.calibrated.tuning.tail import Tail
from fineq.common.errors import FineqError
from fineq.huggingface.loading import load_model
from fineq.models.language_model import get_weight

SCALES = replace(QUICK, name="scales", tuning=TuningOptions(steps=30, tokens=128, scale_rate=0.01, other_rate=0.01))
CODES = replace(QUICK, name="codes", tuning=replace(SCALES.tuning, code_reach=0.07))


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    directories = {}

    def load(architecture="llama"):
        if architecture not in directories:
            directories[architecture] = make_model(architecture, tmp_path_factory.mktemp("model") / architecture)
        return load_model(directories[architecture])

    return load


@pytest.fixture
def exact_products(monkeypatch):
    monkeypatch.setattr(run, "product_dtype", lambda: torch.float32)


def divergence(model, exact, windows):
    with torch.no_grad():
        expected, found = (m(input_ids=windows).logits.log_softmax(-1) for m in (exact, model))
    return (expected.exp() * (expected - found)).sum(-1).mean().item()


@pytest.mark.parametrize(
    ("recipe", "architecture"),
    [(SCALES, name) for name in ("llama", "llama-tied", "gpt2", "opt", "gpt_neox")]
    + [(CODES, name) for name in ("llama", "opt")],
    ids=lambda value: getattr(value, "name", value),
)
def test_predictions_come_closer(make, tokens, architecture, recipe):
    exact, calibrated, tuned = make(architecture), make(architecture), make(architecture)
    windows = cut_windows(exact, tokens)
    before, _ = quantize_model(calibrated, tokens, QUICK)
    packed, changed = quantize_model(tuned, tokens, recipe)
    assert divergence(tuned, exact, windows) < 0.9 * divergence(calibrated, exact, windows)
    assert sorted(changed) == sorted(name for name, value in exact.named_parameters() if value.ndim == 1)
    moved = sum((packed[name].codes() != layer.codes()).sum() for name, layer in before.items())
    assert (moved > 0) == (recipe is CODES)
    for name, layer in packed.items():
        assert layer.recipe == recipe.name and torch.isfinite(layer.scales).all() and (layer.scales > 0).all()
        assert not torch.equal(layer.scales, before[name].scales)
        torch.testing.assert_close(get_weight(tuned, name), layer.dequantize(), rtol=0, atol=0)
    for name, value in changed.items():
        assert torch.equal(tuned.get_parameter(name), value)


def started(model, tokens, options, dtype=torch.float32):
    """A student, its tail, and what it is trained on."""
    weights = {name: get_weight(model, name).clone() for name in quantized_names(model)}
    exact = copy.deepcopy(model)
    runner, hidden = BlockRunner.start(model, cut_windows(model, tokens))
    wanted = hidden
    for number in range(len(runner.blocks)):
        wanted = runner.run_all(number, wanted)
    packed, _ = quantize_model(model, tokens, QUICK)
    student = Student(runner, packed, lambda name: model.get_parameter(name), weights.get, options, dtype)
    with student.in_place(), torch.no_grad():
        tail = Tail(model, runner.blocks, student.output(0, hidden[:1]))
    return exact, student, tail, hidden, wanted, packed


def quantized_names(model):
    from fineq.models.language_model import block_linears

    return block_linears(model)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_gradients_are_those_of_the_whole_model(make, tokens, architecture):
    model = make(architecture)
    options = TuningOptions(steps=1, code_reach=0.1)
    exact, student, tail, hidden, wanted, packed = started(model, tokens, options)
    count, length, _ = hidden.shape
    with student.in_place():
        total = Backprop(student, tail, 0).add_gradients(hidden, wanted, 1 / (count * length))

    windows = cut_windows(model, tokens)
    weights = TrainableWeights(model, packed, [name for name, v in model.named_parameters() if v.ndim == 1])
    found = torch.func.functional_call(model, weights.tensors(), kwargs={"input_ids": windows}).logits.log_softmax(-1)
    expected = exact(input_ids=windows).logits.log_softmax(-1).detach()
    loss = (expected.exp() * (expected - found)).sum(-1).mean()
    loss.backward()
    assert total / (count * length) == pytest.approx(loss.item(), rel=1e-4)
    for name, layer in student.layers.items():
        torch.testing.assert_close(layer.growth.grad, scale_gradient(weights, name), rtol=1e-3, atol=1e-6)
        wanted_gradient = weights.latent[name].grad
        torch.testing.assert_close(layer.latent.grad, wanted_gradient, rtol=1e-3, atol=1e-6)
    for name, small in student.small.items():
        torch.testing.assert_close(small.moved.grad, small._unit * weights.others[name].grad, rtol=1e-3, atol=1e-6)


def scale_gradient(weights, name):
    """Of the logarithm of the scales: codes times the gradient of the weight. Latent values begin at the codes."""
    return (weights.latent[name].grad * weights.latent[name].detach()).sum(1)


def test_what_is_kept_in_memory_changes_no_bit(make, tokens):
    found = []
    for kept in (0, 1, 2):
        _, student, tail, hidden, wanted, _ = started(make(), tokens, TuningOptions(steps=1, code_reach=0.1))
        with student.in_place():
            total = Backprop(student, tail, kept).add_gradients(hidden, wanted, 0.01)
        found.append([torch.tensor(total), *(leaf.grad for leaf in student.trained().values())])
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_training_of_codes_begins_where_the_solver_ended(make, tokens):
    _, student, _, _, _, packed = started(make(), tokens, TuningOptions(steps=1, code_reach=0.1), torch.bfloat16)
    for name, layer in student.finish("r")[0].items():
        assert torch.equal(layer.codes(), packed[name].codes()) and torch.equal(layer.scales, packed[name].scales)
    random = torch.Generator().manual_seed(0)
    for layer in student.layers.values():
        for size in (0.1, 0.3, 1.0):
            layer.latent.data += size * torch.randn(layer.latent.shape, generator=random)
            layer.after_step()
            assert torch.equal(layer.codes().float(), choose_codes(layer.latent)[0])
        assert torch.equal(layer.codes().float(), layer.finish("r").codes().float())


@pytest.mark.parametrize("recipe", [SCALES, CODES], ids=["scales", "codes"])
def test_a_run_goes_on_to_the_same_bits(make, tokens, recipe):
    class Kept(MemoryState):
        kept = None

        def load(self):
            return self.kept

        def save(self, steps, tensors):
            if steps == 7:
                self.kept = steps, {name: value.clone() for name, value in tensors().items()}

    def tuned(state):
        model = make()
        weights = {name: get_weight(model, name).clone() for name in quantized_names(model)}
        runner, hidden = BlockRunner.start(model, cut_windows(model, tokens))
        exact = hidden
        for number in range(len(runner.blocks)):
            exact = runner.run_all(number, exact)
        packed, _ = quantize_model(model, tokens, QUICK)
        inputs = TuningInputs(packed, hidden, exact, model.get_parameter, weights.get)
        return tune(runner, inputs, recipe.tuning, "r", state)

    state = Kept()
    first, second = tuned(state), tuned(state)
    assert state.kept is not None
    for name, layer in first[0].items():
        assert torch.equal(layer.blocks, second[0][name].blocks) and torch.equal(layer.scales, second[0][name].scales)
    assert all(torch.equal(value, second[1][name]) for name, value in first[1].items())


def test_every_window_has_its_turn():
    seen = torch.cat([run.windows_of_step(step, 3, 7, seed=1) for step in range(7)])
    assert sorted(seen.tolist()) == sorted([*range(7)] * 3)
    assert run.windows_of_step(4, 3, 7, seed=1).tolist() == seen[12:15].tolist()
    assert run.windows_of_step(0, 9, 4, seed=1).tolist() != run.windows_of_step(0, 9, 4, seed=2).tolist()


def test_rates_rise_and_fall():
    rates = [run.rate_factor(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1, rel=0.01) and max(rates) > 0.95 and rates[-1] < 0.03
    assert 0 < run.rate_factor(0, 1) <= 1


# -- bad input -------------------------------------------------------------------------------------------------


def test_options_behind_the_name():
    recipe = find_calibrated_recipe("tuned,steps=7,scale_rate=0.5")
    assert recipe.tuning == replace(RECIPES["tuned"].tuning, steps=7, scale_rate=0.5)
    assert recipe.name == "tuned,steps=7,scale_rate=0.5"
    for name, message in {
        "tuned,steps": "recipe option 'steps' has no value: write steps=VALUE",
        "tuned,steps=x": "steps is 'x': it must be a whole number",
        "tuned,steps=-1": "steps is -1: it must be a whole number from 0 to 1000000",
        "tuned,steps=0": "steps is 0: recipe tuned needs at least one",
        "tuned,scale_rate=nan": "scale_rate is nan: it must be a number from 0 to 1",
        "tuned,speed=3": "unknown option 'speed' of recipe tuned: choose from steps, tokens, windows, scale_rate",
        "calibrated,steps=3": "recipe calibrated has no options: write its name alone",
    }.items():
        with pytest.raises(FineqError, match=message):
            find_calibrated_recipe(name)


def test_what_cannot_be_tuned_is_said_before_the_work(make, tokens):
    with pytest.raises(FineqError, match="gate_up_proj is a stack of experts, which tuning cannot train: choose"):
        quantize_model(make("mixtral"), tokens, SCALES)
    with pytest.raises(FineqError, match="tuning computes in float32 and the model is in bfloat16: load it in"):
        quantize_model(make().to(torch.bfloat16), tokens, SCALES)
    with pytest.raises(FineqError, match="tuning needs what leaves the full-precision model"):
        replace(SCALES, targets=False)


def test_too_little_memory(make, tokens, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(FineqError, match=r"tuning takes about 0\.0 GB more memory, and 0\.0 GB are free: end other"):
        quantize_model(make(), tokens, SCALES)


def test_the_graph_of_a_block_is_measured(make, tokens):
    _, student, _, hidden, _, _ = started(make(), tokens, TuningOptions(steps=1))
    with student.in_place():
        one, two = (memory.graph_bytes(student, 0, hidden[:count]) for count in (1, 2))
    assert one > hidden[:1].nbytes and one < two <= 2 * one
