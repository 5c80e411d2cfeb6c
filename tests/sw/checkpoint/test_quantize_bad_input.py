"""What `fineq quantize` refuses: each model and option with one sentence."""

import json
import os

import pytest
import torch
from helpers.models.tiny_models import make_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError


def edit_tensors(directory, change) -> None:
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def edit_json(path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def with_value(value):
    def change(tensors):
        tensors["model.layers.1.mlp.up_proj.weight"][70, 5] = value

    return change


def narrow(tensors):
    tensors["model.layers.0.mlp.down_proj.weight"] = torch.ones(48, 2)


UP = "model.layers.1.mlp.up_proj.weight"
AWQ = {"quant_method": "awq"}
BAD_MODELS = {
    "nan": (lambda d: edit_tensors(d, with_value(float("nan"))), f"{UP}[70, 5] is NaN: all weights must be finite"),
    "infinity": (lambda d: edit_tensors(d, with_value(-torch.inf)), f"{UP}[70, 5] is infinite: all weights must be"),
    "tensor absent": (lambda d: edit_tensors(d, lambda t: t.pop(UP)), f"{UP} is in none of the weight files of"),
    "norm absent": (lambda d: edit_tensors(d, lambda t: t.pop("model.norm.weight")), "model.norm.weight is in none of"),
    "wrong shape": (lambda d: edit_tensors(d, lambda t: t.update({UP: torch.ones(80, 40)})),
                    f"{UP} has shape [80, 40], config.json asks for [80, 48]: the two are of different models"),
    "integers": (lambda d: edit_tensors(d, lambda t: t.update({UP: torch.ones(80, 48, dtype=torch.int8)})),
                 f"{UP} is I8: only F32, F16, BF16, F64 can be quantized; --exclude it"),
    "no config": (lambda d: (d / "config.json").unlink(), "config.json does not exist: the description of the model"),
    "config is no JSON": (lambda d: (d / "config.json").write_text("{"), "config.json: its JSON text is not valid"),
    "no architecture": (lambda d: edit_json(d / "config.json", lambda c: c.pop("model_type")),
                        "config.json names no architecture: it needs a model_type such as llama"),
    "unknown architecture": (lambda d: edit_json(d / "config.json", lambda c: c.update(model_type="lama")),
                             "transformers does not know the model_type 'lama' of config.json: check its spelling"),
    "not a language model": (lambda d: edit_json(d / "config.json", lambda c: c.update(model_type="vit")),
                             "transformers has no causal language model of the model_type 'vit'"),
    "impossible config": (lambda d: edit_json(d / "config.json", lambda c: c.update(hidden_size=-1)),
                          "transformers cannot build the model_type 'llama' of config.json"),
    "quantized": (lambda d: edit_json(d / "config.json", lambda c: c.update(quantization_config=AWQ)),
                  "is already quantized (quant_method awq): start from the full-precision model"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(),
                   "has neither model.safetensors nor model.safetensors.index.json: it is no complete model directory"),
    "old weights": (lambda d: (d / "model.safetensors").rename(d / "pytorch_model.bin"),
                    "index.json: convert pytorch_model.bin to safetensors"),
    "truncated": (lambda d: os.truncate(d / "model.safetensors", 5000), "model.safetensors is truncated: "),
}  # fmt: skip


@pytest.mark.parametrize("problem", BAD_MODELS)
def test_bad_model(quantize, tmp_path, problem):
    spoil, message = BAD_MODELS[problem]
    spoil(make_model("llama", tmp_path / "model"))
    check_refused(quantize, [tmp_path / "model", "-o", tmp_path / "q"], message)
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize("architecture, position", [("llama", "[70, 5]"), ("gpt2", "[70, 5]")])
def test_position_of_a_nan_in_a_later_chunk(architecture, position, tmp_path, monkeypatch):
    monkeypatch.setattr("fineq.checkpoint.pack.CHUNK_WEIGHTS", 500)
    directory = make_model(architecture, tmp_path / "model")
    name = {"llama": UP, "gpt2": "transformer.h.1.mlp.c_fc.weight"}[architecture]
    place = (70, 5) if architecture == "llama" else (5, 70)  # GPT-2 stores [inputs, outputs]
    edit_tensors(directory, lambda tensors: tensors[name].__setitem__(place, float("nan")))
    with pytest.raises(FineqError) as error:
        quantize_checkpoint(open_source(directory), tmp_path / "q", Options())
    assert str(error.value) == f"{name}{position} is NaN: all weights must be finite float32 numbers"


def check_refused(quantize, arguments, message) -> None:
    code, output, error = quantize(*arguments)
    assert (code, output) == (1, "")
    last = error.splitlines()[-1]
    assert last.startswith("error: ") and message in last, last
    assert error.count("error:") == 1


BAD_SHARDS = {
    "shard missing": (lambda d, first: (d / first).unlink(), "1 of 4 shards are missing, first model-00001-of-00004"),
    "absent tensor": (lambda d, first: edit_index(d, lambda m: m.update(nothing=first)),
                      "puts tensor nothing into model-00001-of-00004.safetensors, which does not hold it: copy both"),
    "no map": (lambda d, first: edit_json(d / "model.safetensors.index.json", lambda c: c.pop("weight_map")),
               "model.safetensors.index.json has no weight_map: copy it again"),
    "shard elsewhere": (lambda d, first: edit_index(d, lambda m: m.update(x="../x.safetensors")),
                        "puts x into '../x.safetensors', which is no name of a safetensors file"),
    "shard is a number": (lambda d, first: edit_index(d, lambda m: m.update(x=3)), "puts x into 3, which is no name"),
    "both": (lambda d, first: (d / first).rename(d / "model.safetensors"),
             "has both model.safetensors and model.safetensors.index.json: remove the one that is not meant"),
    "tensor twice": (lambda d, first: add_norm(d / first), "tensor model.norm.weight lies both in"),
}  # fmt: skip


def add_norm(shard) -> None:
    save_file({"model.norm.weight": torch.ones(48)} | load_file(shard), shard)


def edit_index(directory, change) -> None:
    edit_json(directory / "model.safetensors.index.json", lambda content: change(content["weight_map"]))


@pytest.mark.parametrize("problem", BAD_SHARDS)
def test_bad_shards(quantize, tmp_path, problem):
    spoil, message = BAD_SHARDS[problem]
    model = make_model("llama", tmp_path / "model", max_shard_size="50KB")
    spoil(model, sorted(path.name for path in model.glob("*.safetensors"))[0])
    check_refused(quantize, [model, "-o", tmp_path / "q"], message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_layer_narrower_than_a_cluster(quantize, tmp_path):
    model = make_model("llama", tmp_path / "model")
    edit_tensors(model, lambda t: t.update({f"model.layers.{n}.mlp.{p}.weight": torch.ones(*s) for n in (0, 1)
                                            for p, s in (("down_proj", (48, 2)), ("up_proj", (2, 48)),
                                                         ("gate_proj", (2, 48)))}))  # fmt: skip
    edit_json(model / "config.json", lambda config: config.update(intermediate_size=2))
    message = "model.layers.0.mlp.down_proj.weight takes 2 inputs, fewer than the 3 weights of a cluster: --exclude it"
    check_refused(quantize, [model, "-o", tmp_path / "q"], message)
    assert quantize(model, "-o", tmp_path / "q", "--exclude", "*down_proj*")[0] == 0
    AutoModelForCausalLM.from_pretrained(tmp_path / "q")


def test_bad_options(quantize, llama, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out = ["-o", tmp_path / "q"]
    (tmp_path / "there").mkdir()
    for name in ("text", "text.txt"):
        (tmp_path / name).write_text("a b c")
    quantized = tmp_path / "quantized"
    assert quantize(llama, "-o", quantized)[0] == 0
    calibrated = ["--recipe", "calibrated", "--calibration"]
    data_free = [*out, "--recipe", "mse"]
    cases = [
        ([tmp_path / "no", *out], f"{tmp_path / 'no'} does not exist: give a model directory, or a hub id"),
        ([llama / "config.json", *out], "is a file: give the model directory that holds config.json"),
        (["nobody/nothing", *out], "nobody/nothing is no directory, and the Hugging Face hub has no such model or"),
        ([quantized, *out], "is already quantized (quant_method fineq): start from the full-precision model"),
        ([llama, "-o", tmp_path / "there"], "there exists already: choose another output, or remove it"),
        ([llama, "-o", tmp_path / "text" / "q"], "cannot write"),
        ([llama, *out, "--recipe", "best"], "unknown recipe 'best': choose one of auto, paper, "),
        ([llama, *out, "--include", "*.attn.*"], "the pattern '*.attn.*' matches no layer: layers have names such as"),
        ([llama, *out, "--exclude", "*"], "nothing is left to quantize: loosen --include and --exclude"),
        ([llama, *data_free, "--calibration", tmp_path / "text"], "recipe mse needs no calibration text: leave"),
        ([llama, *out, "--recipe", "calibrated"], "recipe calibrated needs a text to calibrate with: add --calib"),
        ([llama, *out, *calibrated, tmp_path / "no"], "no does not exist: --calibration needs a text file"),
        ([llama, *out, *calibrated, tmp_path / "text", "--lm-head"], "recipe calibrated quantizes the linear"),
        ([llama, *out, "--windows", "4"], "--windows are of the calibration text: add --calibration FILE, or leave"),
        ([llama, *data_free, "--windows", "4"], "recipe mse needs no calibration text: leave --windows out"),
        ([llama, *out, *calibrated, tmp_path / "text.txt"], "the calibration text has 3 tokens, fewer than one window"),
        ([llama, *out, *calibrated, tmp_path / "text"], "text is not a text that FineQ reads: give a .txt, .raw or"),
    ]  # fmt: skip
    for arguments, message in cases:
        check_refused(quantize, arguments, message)
        assert not (tmp_path / "q").exists() and not (tmp_path / "q.unfinished").exists()
        assert not (tmp_path / "q.calibration").exists()
