"""GPTQ, PB-LLM and OWQ against properties that follow from their definitions, not from their code."""

import math

import pytest
import torch
from helpers.models.tiny_models import make_model

from fineq.baselines import CALIBRATED_BASELINES, Gptq, Owq, PbLlm, Rtn, find_baseline
from fineq.baselines.grid import min_max_grid, searched_grid
from fineq.baselines.hessian import DAMPING, feed_back, hessian_error, inverse_factor, quantize_model
from fineq.calibrated.capture import cut_windows
from fineq.common.errors import FineqError
from fineq.huggingface.loading import load_model
from fineq.models.activations import watch_activations
from fineq.models.language_model import block_linears, get_weight


def layer(rows=24, columns=40, seed=0):
    """Weights and the Hessian of correlated inputs, some channels much larger than others."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    mixing = torch.eye(columns) + 0.7 * torch.randn(columns, columns, generator=generator) / columns**0.5
    inputs = torch.randn(300, columns, generator=generator) @ mixing
    inputs *= (0.5 * torch.randn(columns, generator=generator)).exp()
    return weight, (inputs.T @ inputs / 300).double()


def damped(hessian):
    return hessian + DAMPING * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=torch.float64)


def best_rest(original, fixed, hessian):
    """With the first columns fixed, what the others must be for the least e H e^T: one linear solve, no inverse."""
    n = fixed.shape[1]
    error = original[:, :n] - fixed
    return original[:, n:] + torch.linalg.solve(hessian[n:, n:], hessian[n:, :n] @ error.T).T


def rounded_one_by_one(weight, hessian, nearest):
    """Error feedback in plain steps: solve for the rest from the start again after every column."""
    weight = weight.double()
    done = weight[:, :0]
    for _ in range(weight.shape[1]):
        rest = best_rest(weight, done, hessian)
        done = torch.cat([done, nearest(rest[:, :1])], dim=1)
    return done


@pytest.mark.parametrize("columns", [1, 2, 7, 130])
def test_gptq_is_the_step_by_step_optimum(columns):
    weight, hessian = layer(5, columns)
    grid = min_max_grid(weight, 2)
    expected = rounded_one_by_one(weight, damped(hessian), grid.nearest)
    assert torch.allclose(Gptq().quantize(weight, hessian)[0].double(), expected, atol=1e-5)


def test_gptq_act_order_rounds_the_largest_inputs_first():
    weight, hessian = layer(5, 12)
    order = hessian.diagonal().argsort(descending=True)
    grid = min_max_grid(weight, 2)
    expected = rounded_one_by_one(weight[:, order], damped(hessian)[order][:, order], grid.nearest)
    measured = Gptq(act_order=True).quantize(weight, hessian)[0].double()
    assert torch.allclose(measured[:, order], expected, atol=1e-5)


@pytest.mark.parametrize("block", [1, 3, 64])
def test_blocks_of_columns_change_nothing(block):
    weight, hessian = layer(6, 20)
    factor, grid = inverse_factor(damped(hessian)), min_max_grid(weight, 2)
    results = [
        feed_back(weight.double(), factor, lambda column, _: grid.nearest(column), block=size) for size in (block, 20)
    ]
    assert torch.allclose(*results, atol=1e-9)


def test_groups_get_their_grid_from_the_moved_weights():
    weight, hessian = layer(6, 10)
    result = Gptq(group=4).quantize(weight, hessian)[0].double()
    for start in (0, 4, 8):
        rest = best_rest(weight.double(), result[:, :start], damped(hessian))
        grid = min_max_grid(rest[:, :4], 2, scale_bits=16)
        assert torch.allclose(grid.nearest(result[:, start : start + 4]), result[:, start : start + 4], atol=1e-6)
    assert len({tuple(row.tolist()) for row in (result[0, :4], result[0, 4:8])}) == 2


def test_groups_in_the_order_of_work_get_their_grid_from_the_moved_weights():
    weight, hessian = layer(6, 10)
    order = hessian.diagonal().argsort(descending=True)
    method = Gptq(group=4, act_order=True, static_groups=False)
    result = method.quantize(weight, hessian)[0].double()[:, order]
    for start in (0, 4, 8):
        rest = best_rest(weight[:, order].double(), result[:, :start], damped(hessian)[order][:, order])
        grid = min_max_grid(rest[:, :4], 2, scale_bits=16)
        assert torch.allclose(grid.nearest(result[:, start : start + 4]), result[:, start : start + 4], atol=1e-6)
    assert method.quantize(weight, hessian)[1] == Gptq(group=4).quantize(weight, hessian)[1] + 16 / 6


def test_names_tell_the_settings_of_gptq():
    best = dict(act_order=True, search=True, static_groups=False)
    assert find_baseline("gptq-3bit-g64") == Gptq(3, 64)
    assert find_baseline("gptq-2bit-g128-best") == find_baseline("gptq-g128-best") == Gptq(2, 128, **best)
    assert find_baseline("gptq-4bit-best") == Gptq(4, **best) and find_baseline("gptq-4bit-worst") is None


def test_without_correlations_gptq_is_rtn():
    weight, _ = layer()
    for hessian in (None, torch.zeros(40, 40), torch.eye(40), torch.rand(40).diag()):
        assert torch.equal(Gptq().quantize(weight, hessian)[0], Rtn()(weight)[0])


@pytest.mark.parametrize("seed", range(3))
def test_each_step_towards_the_best_effort_pays_off(seed):
    weight, hessian = layer(seed=seed, columns=256)
    error = {name: hessian_error(weight, CALIBRATED_BASELINES[name].quantize(weight, hessian)[0], hessian)
             for name in CALIBRATED_BASELINES}  # fmt: skip
    error["rtn"] = hessian_error(weight, Rtn()(weight)[0], hessian)
    assert error["gptq"] < 0.7 * error["rtn"]
    assert error["gptq-g128"] < error["rtn"]
    assert error["gptq-best"] < 0.7 * error["gptq"]
    assert error["gptq-g128-best"] < error["gptq-best"]
    assert error["owq-best"] < error["owq"] < 0.7 * error["gptq-g128"]


def test_searched_grid_is_the_best_of_all_shrunk_ones():
    torch.manual_seed(0)
    weight = torch.distributions.StudentT(3.0).sample((4, 60))
    importance = torch.rand(60)
    loss = lambda grid: ((weight - grid.nearest(weight)).square() * importance).sum(dim=1)  # noqa: E731
    best = loss(searched_grid(weight, 2, importance=importance))
    every = torch.stack([loss(min_max_grid(weight, 2, shrink=n / 40)) for n in range(8, 41)])
    assert torch.allclose(best, every.amin(dim=0)) and best.sum() < 0.9 * loss(min_max_grid(weight, 2)).sum()


def test_pb_llm_keeps_the_salient_weights_and_makes_the_others_two_values():
    weight = torch.randn(20, 50, generator=torch.Generator().manual_seed(3))
    result, bits = PbLlm(criterion="magnitude").quantize(weight, None)
    is_salient = weight.abs() >= weight.abs().flatten().sort(descending=True).values[99]
    assert is_salient.sum() == 100
    assert torch.allclose(result[is_salient], weight[is_salient], atol=6 / 255)
    for row in range(20):
        rest = weight[row][~is_salient[row]]
        alpha = (rest - rest.mean()).abs().mean()
        values = result[row][~is_salient[row]]
        expected = torch.where(rest < rest.mean(), rest.mean() - alpha, rest.mean() + alpha)
        assert torch.allclose(values, expected, atol=1e-6)
    assert math.isclose(PbLlm().nominal_bits, 2.7)
    assert math.isclose(bits, 2.7 + (3 * 32 + 8) / 50)


def test_pb_llm_uses_the_hessian_twice():
    weight, hessian = layer(columns=128)
    errors = [hessian_error(weight, PbLlm(criterion=c).quantize(weight, h)[0], hessian)
              for c, h in (("hessian", hessian), ("magnitude", hessian), ("magnitude", None))]  # fmt: skip
    assert errors == sorted(errors)


def test_pb_llm_in_order_of_the_inputs():
    """The same as the layer with its columns in that order, for which the order of columns is the order of work."""
    weight, hessian = layer(columns=64)
    order = damped(hessian).diagonal().argsort(descending=True)
    result, bits = PbLlm(act_order=True).quantize(weight, hessian)
    expected, same = PbLlm().quantize(weight[:, order], hessian[order][:, order])
    assert torch.allclose(result[:, order], expected, atol=1e-6) and bits == same
    in_place, _ = PbLlm().quantize(weight, hessian)
    assert hessian_error(weight, result, hessian) < hessian_error(weight, in_place, hessian)
    assert find_baseline("pb-llm-20%-best") == PbLlm(0.2, act_order=True)


def test_owq_keeps_the_most_sensitive_columns_and_lets_them_compensate():
    weight, hessian = layer(columns=128)
    method = Owq()
    result, bits = method.quantize(weight, hessian)
    error = weight.double() - searched_grid(weight.double(), 2, importance=damped(hessian).diagonal()).nearest(
        weight.double()
    )
    sensitive = (damped(hessian).diagonal() * error.square().sum(dim=0)).argsort(descending=True)[:2]
    levels = [len(set(result[0, column : column + 1].tolist())) for column in range(128)]
    assert levels == [1] * 128 and method.kept_columns(128) == 2
    others = torch.tensor([column for column in range(128) if column not in sensitive])
    assert len(result[0, others].unique()) <= 4 < len(result[0].unique())
    # the FP16 columns are where they are best, given all others
    order = torch.cat([others, sensitive])
    best = best_rest(weight[:, order].double(), result[:, others].double(), damped(hessian)[order][:, order])
    assert torch.allclose(result[:, sensitive].double(), best, rtol=1e-3, atol=1e-3)
    assert math.isclose(bits, (2 * 126 + 16 * 2 + (16 + 2) + 16 * 2 / 24) / 128)
    assert bits > method.nominal_bits == 2.25


def test_owq_in_order_of_the_inputs():
    """Rounded columns by their inputs, in groups of that order, and the FP16 ones last."""
    weight, hessian = layer(columns=64)
    method = Owq(group=30, act_order=True)
    result, bits = method.quantize(weight, hessian)
    kept = [column for column in range(64) if len(result[:, column].unique()) == 24]
    assert len(kept) == method.kept_columns(64) == 1
    order = hessian.diagonal().argsort(descending=True)
    order = torch.cat([order[order != kept[0]], torch.tensor(kept)])
    importance, done = damped(hessian).diagonal()[order], result[:, order].double()
    for start, end in ((0, 30), (30, 60), (60, 63)):
        rest = best_rest(weight[:, order].double(), done[:, :start], damped(hessian)[order][:, order])
        grid = searched_grid(rest[:, : end - start], 2, 16, importance[start:end])
        assert torch.allclose(grid.nearest(done[:, start:end]), done[:, start:end], atol=1e-6)
    assert math.isclose(bits, (2 * 63 + 16 + 3 * 18 + 16 * 64 / 24) / 64)
    assert hessian_error(weight, result, hessian) < hessian_error(
        weight, Owq(group=30).quantize(weight, hessian)[0], hessian
    )


def test_owq_on_narrow_layers_keeps_one_column_and_one_group():
    weight, hessian = layer(rows=8, columns=48)
    result, bits = Owq().quantize(weight, hessian)
    assert Owq().kept_columns(48) == 1 and Owq().kept_columns(384) == 6
    assert math.isclose(bits, (2 * 47 + 16 + 18 + 16 / 8) / 48)
    assert Owq(extra_bits=0).quantize(weight, hessian)[1] == 2 + 18 / 48


def test_gptq_bits_count_scales_and_zero_points():
    weight, hessian = layer(columns=40)
    assert Gptq().quantize(weight, hessian)[1] == 2 + 34 / 40
    assert Gptq(group=16).quantize(weight, hessian)[1] == 2 + 3 * 18 / 40
    assert Gptq(group=128).quantize(weight, hessian)[1] == 2 + 18 / 40


@pytest.mark.parametrize("name", [*CALIBRATED_BASELINES, "gptq-3bit", "owq-3.25bit", "pb-llm-20%"])
def test_every_calibrated_baseline_keeps_the_common_contract(name):
    method = find_baseline(name)
    weight, hessian = layer(6, 32)
    weight = weight.to(torch.bfloat16)
    before = weight.clone(), hessian.clone()
    result, bits = method.quantize(weight, hessian)
    assert result.shape == weight.shape and result.dtype == torch.float32 and result.isfinite().all()
    assert torch.equal(weight, before[0]) and torch.equal(hessian, before[1])
    assert bits > method.nominal_bits - 0.1 and method.title
    assert torch.equal(method.quantize(weight, hessian)[0], result)
    assert method.quantize(torch.zeros(3, 9), None)[0].abs().max() < 1e-30
    assert method.quantize(torch.ones(2, 1), None)[0].shape == (2, 1)
    weight[2, 3] = math.nan
    with pytest.raises(FineqError, match=r"layer\[2, 3\] is NaN"):
        method.quantize(weight, hessian, "layer")
    with pytest.raises(FineqError, match="layer has shape .*: it must be a matrix"):
        method.quantize(weight[0], hessian, "layer")


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: Gptq(bits=0), "bits is 0: it must lie between 1 and 8"),
        (lambda: Gptq(group=0), "group is 0: it must be at least 1 column"),
        (lambda: PbLlm(salient=1.5), "salient is 1.5: it must be a share between 0 and 1"),
        (lambda: PbLlm(criterion="size"), "criterion is 'size': choose one of hessian, magnitude"),
        (lambda: Owq(extra_bits=15), "extra_bits is 15: it must lie between 0 and 14"),
    ],
)
def test_impossible_settings_are_refused(make, text):
    with pytest.raises(FineqError, match=text):
        make()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mixtral"])
def test_a_model_is_quantized_with_the_inputs_that_its_layers_get(tmp_path, architecture):
    path = make_model(architecture, tmp_path / "model")
    model, original = load_model(path), load_model(path)
    tokens = torch.randint(3, 29, (400,), generator=torch.Generator().manual_seed(0))
    seen = []
    reports = quantize_model(model, tokens, Gptq(), lambda *state: seen.append(state))
    names = block_linears(model)
    assert sorted(report.name for report in reports) == sorted(names)
    assert seen[-1] == ("layers", len(names), len(names))
    for name in names:
        weight = get_weight(model, name)
        assert all(len(row.unique()) <= 4 for row in weight)
        assert not torch.equal(weight, get_weight(original, name))
    assert torch.equal(model.get_input_embeddings().weight, original.get_input_embeddings().weight)
    kept = {n: p for n, p in model.named_parameters() if p.ndim == 1}
    assert all(torch.equal(value, dict(original.named_parameters())[name]) for name, value in kept.items())


def test_later_layers_see_the_errors_of_earlier_ones(tmp_path):
    path = make_model("llama", tmp_path / "model")
    tokens = torch.randint(3, 29, (400,), generator=torch.Generator().manual_seed(0))
    hessians = {}

    class Spy:
        def __init__(self, method):
            self.method, self.title, self.nominal_bits = method, "", 2.0

        def quantize(self, weight, hessian, name="weight"):
            hessians[self.method, name] = hessian
            return Rtn(self.method)(weight, name)

    for bits in (2, 8):
        quantize_model(load_model(path), tokens, Spy(bits))
    first = "model.layers.0.self_attn.q_proj"
    assert torch.equal(hessians[2, first], hessians[8, first])
    for later in ("model.layers.0.mlp.down_proj", "model.layers.1.self_attn.q_proj"):
        assert not torch.allclose(hessians[2, later], hessians[8, later], rtol=0.01)
    inputs = []
    whole = load_model(path)
    with watch_activations(whole, ["model.layers.1.self_attn.q_proj"], lambda name, x: inputs.append(x)):
        quantize_model(whole, tokens, Spy(8))
        inputs.clear()
        with torch.no_grad():  # the whole model, in the place of one block after the other
            whole(input_ids=cut_windows(whole, tokens))
    expected = (inputs[0].T @ inputs[0]).double() / len(inputs[0])
    assert torch.allclose(hessians[8, "model.layers.1.self_attn.q_proj"], expected, rtol=1e-3, atol=1e-6)
