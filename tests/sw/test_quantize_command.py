"""`fineq quantize` from start to end: output, patterns, resuming after a kill, memory, and every refusal."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import make_model
from transformers import AutoModelForCausalLM

import fineq
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.cli import main
from fineq.errors import FineqError


@pytest.fixture
def run(capsys, monkeypatch):
    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fineq", "quantize", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = exit.code or 0
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("llama") / "model", max_shard_size="40KB")


def files(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_output(run, llama, tmp_path):
    code, output, error = run(llama, "-o", tmp_path / "q")
    assert code == 0, error
    lines = output.splitlines()
    assert lines[0].split() == "tensor shape bits error 3-bit clusters disagreeing pairs".split()
    assert lines[1].split()[:5] == ["model.layers.0.self_attn.q_proj", "48", "x", "48", "3.000"]
    assert lines[15].startswith("14 tensors quantized, normalised error 0.1")
    assert lines[16].startswith("quantized layers take 3.")
    assert lines[17] == f"written to {tmp_path / 'q'}"
    assert error.splitlines()[-1].startswith("100%") and "s left" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]
    written = files(tmp_path / "q")
    assert {"config.json", "README.md", "fineq_report.json", "tokenizer.json", "tokenizer_config.json"} <= set(written)
    assert "journal.jsonl" not in written
    settings = json.loads(written["config.json"])["quantization_config"]
    assert (settings["quant_method"], settings["recipe"], settings["axis"]) == ("fineq", "mse", "row")
    assert settings["tensors"]["model.layers.1.mlp.up_proj"] == [80, 48]
    assert "model.embed_tokens" not in str(settings)


def test_figures_of_the_report(run, llama, tmp_path):
    """The table's figures against a direct computation, and the card's sizes against the files."""
    run(llama, "-o", tmp_path / "q", "--recipe", "paper")
    weight = load_file_of(llama, "model.layers.1.mlp.up_proj.weight")
    packed = fineq.quantize(weight, "paper")
    report = json.loads((tmp_path / "q" / "fineq_report.json").read_text())
    layer = next(line for line in report["layers"] if line["tensor"] == "model.layers.1.mlp.up_proj")
    assert layer["normalised_error"] == pytest.approx(fineq.normalised_error(weight, packed), abs=1e-6)
    assert layer["bits_per_weight"] == pytest.approx(packed.bits_per_weight(), abs=1e-4)
    index = packed.index()
    assert layer["share_of_3_bit_clusters"] == pytest.approx((index > 0).float().mean().item(), abs=1e-6)
    clusters = weight.abs().view(80, 16, 3)
    own = torch.where(clusters.amax(2) > 4 * clusters.amin(2), 1 + clusters.argmin(2), 0).view(80, 8, 2)
    disagree = (own[..., 0] != own[..., 1]).float().mean().item()
    assert layer["share_of_disagreeing_pairs"] == pytest.approx(disagree, abs=1e-6)
    stored = [t for file in (tmp_path / "q").glob("*.safetensors") for t in load_file(file).items()]
    total = sum(t.numel() * t.element_size() for _, t in stored)
    quantized = sum(t.numel() * t.element_size() for name, t in stored if "proj" in name)
    weights = sum(rows * columns for rows, columns in map(lambda line: line["shape"], report["layers"]))
    kept = sum(t.numel() for name, t in stored if "proj" not in name)
    card = (tmp_path / "q" / "README.md").read_text()
    assert f"quantized layers (scales and padding included) | {8 * quantized / weights:.3f} |" in card
    assert f"bits per weight, whole model | {8 * total / (weights + kept):.3f} |" in card
    assert f"| size of all tensors | {total:,} bytes |" in card


def load_file_of(directory, name):
    return next(tensors[name] for file in directory.glob("*.safetensors") if name in (tensors := load_file(file)))


def test_same_bytes_every_time(run, llama, tmp_path):
    run(llama, "-o", tmp_path / "a")
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        run(llama, "-o", tmp_path / "b")
    finally:
        torch.set_num_threads(threads)
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_chunks_do_not_matter(architecture, tmp_path, monkeypatch):
    source = open_source(make_model(architecture, tmp_path / "model"))
    quantize_checkpoint(source, tmp_path / "a", Options())
    monkeypatch.setattr("fineq.checkpoint.pack.CHUNK_WEIGHTS", 500)
    monkeypatch.setattr("fineq.checkpoint.container.PIECE_BYTES", 100)
    quantize_checkpoint(source, tmp_path / "b", Options())
    assert files(tmp_path / "a")["model.safetensors"] == files(tmp_path / "b")["model.safetensors"]


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


def test_patterns(run, llama, tmp_path):
    code, output, _ = run(llama, "-o", tmp_path / "q", "--include", "*.mlp.*", "--exclude", "*.0.*", "--dry-run")
    assert code == 0
    names = [line.split()[0] for line in output.splitlines()[1:-2]]
    assert names == [f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down")]
    assert output.splitlines()[-2] == "3 tensors to quantize, 18 to keep"
    assert "would take" in output.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_embeddings_and_head(run, llama, tmp_path):
    code, output, _ = run(llama, "-o", tmp_path / "q", "--embeddings", "--lm-head", "--exclude", "*layers*")
    assert code == 0 and "2 tensors quantized" in output
    assert set(json.loads((tmp_path / "q" / "config.json").read_text())["quantization_config"]["tensors"]) == {
        "model.embed_tokens",
        "lm_head",
    }


@pytest.mark.parametrize("architecture", ["llama", pytest.param("gpt2", marks=pytest.mark.regress), "mixtral"])
def test_calibrated_recipe(architecture, run, tmp_path):
    """What the recipe makes of the model in memory is what the directory gives when it is loaded."""
    from fineq.calibrated import quantize_model
    from fineq.models import load_model, load_tokenizer

    model = make_model(architecture, tmp_path / "model")
    text = " ".join("abcdefghij"[n * n % 7 + n % 3] for n in range(150))
    (tmp_path / "text").write_text(text)
    code, _, error = run(model, "-o", tmp_path / "q", "--recipe", "calibrated", "--calibration", tmp_path / "text")
    assert code == 0, error
    expected = load_model(model)
    token_ids = load_tokenizer(model)(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    quantize_model(expected, token_ids, "calibrated")
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        difference = AutoModelForCausalLM.from_pretrained(tmp_path / "q")(ids).logits - expected(ids).logits
    assert difference.abs().max() < 1e-4


# -- interruption ------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
count = 0
def progress(name, done, total):
    global count
    count += 1
    if count == 9:
        os.kill(os.getpid(), signal.SIGKILL)
quantize_checkpoint(open_source(sys.argv[1]), Path(sys.argv[2]), Options(), progress=progress)
"""


def test_resume_after_kill(run, llama, tmp_path):
    result = subprocess.run([sys.executable, "-c", KILLED, llama, tmp_path / "q"])
    assert result.returncode == -signal.SIGKILL
    work = tmp_path / "q.unfinished"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.unfinished"]
    assert len((work / "journal.jsonl").read_text().splitlines()) == 10
    refused = run(llama, "-o", tmp_path / "q")
    assert refused[0] == 1 and "q.unfinished holds an unfinished run: add --resume to go on with it" in refused[2]
    refused = run(llama, "-o", tmp_path / "q", "--resume", "--recipe", "paper")
    assert refused[0] == 1 and "q.unfinished was begun with another options: repeat that run exactly" in refused[2]
    code, _, error = run(llama, "-o", tmp_path / "q", "--resume")
    assert code == 0, error
    run(llama, "-o", tmp_path / "undisturbed")
    assert files(tmp_path / "q") == files(tmp_path / "undisturbed")


class Stop(Exception):
    pass


def interrupted(source, output, after, options=None):
    def progress(name, done, total):
        nonlocal after
        after -= 1
        if after == 0:
            raise Stop

    with pytest.raises(Stop):
        quantize_checkpoint(open_source(source), output, options or Options(), resume=True, progress=progress)


def test_resume_again_and_again(llama, tmp_path):
    quantize_checkpoint(open_source(llama), tmp_path / "undisturbed", Options())
    for after in range(1, 21, 4):
        interrupted(llama, tmp_path / "q", after)
    quantize_checkpoint(open_source(llama), tmp_path / "q", Options(), resume=True)
    assert files(tmp_path / "q") == files(tmp_path / "undisturbed")


def test_resume_repairs_what_was_lost(llama, tmp_path):
    """A line of the journal cut short, and bytes that never reached the disk."""
    quantize_checkpoint(open_source(llama), tmp_path / "undisturbed", Options())
    interrupted(llama, tmp_path / "q", 12)
    work = tmp_path / "q.unfinished"
    journal = (work / "journal.jsonl").read_bytes()
    (work / "journal.jsonl").write_bytes(journal[:-30])
    shard = sorted(work.glob("*.safetensors"))[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    shard.write_bytes(content)
    sorted(work.glob("*.safetensors"))[1].unlink()
    quantize_checkpoint(open_source(llama), tmp_path / "q", Options(), resume=True)
    assert files(tmp_path / "q") == files(tmp_path / "undisturbed")


def test_resume_of_another_model_is_refused(tmp_path, monkeypatch):
    source = make_model("llama", tmp_path / "model")
    interrupted(source, tmp_path / "q", 4)
    weights = bytearray((source / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (source / "model.safetensors").write_bytes(weights)
    with pytest.raises(FineqError, match="q.unfinished was begun with another model: repeat that run exactly"):
        quantize_checkpoint(open_source(source), tmp_path / "q", Options(), resume=True)
    monkeypatch.setattr("fineq.checkpoint.quantize.metadata.version", lambda name: "0.0")
    with pytest.raises(FineqError, match="was begun with another model and version"):
        quantize_checkpoint(open_source(source), tmp_path / "q", Options(), resume=True)


# -- bad input ---------------------------------------------------------------------------------------------------


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
                             "transformers cannot build the model_type 'vit' of config.json"),
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
def test_bad_model(run, tmp_path, problem):
    spoil, message = BAD_MODELS[problem]
    spoil(make_model("llama", tmp_path / "model"))
    check_refused(run, [tmp_path / "model", "-o", tmp_path / "q"], message)
    assert not (tmp_path / "q").exists()


def check_refused(run, arguments, message) -> None:
    code, output, error = run(*arguments)
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
def test_bad_shards(run, tmp_path, problem):
    spoil, message = BAD_SHARDS[problem]
    model = make_model("llama", tmp_path / "model", max_shard_size="50KB")
    spoil(model, sorted(path.name for path in model.glob("*.safetensors"))[0])
    check_refused(run, [model, "-o", tmp_path / "q"], message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_layer_narrower_than_a_cluster(run, tmp_path):
    model = make_model("llama", tmp_path / "model")
    edit_tensors(model, lambda t: t.update({f"model.layers.{n}.mlp.{p}.weight": torch.ones(*s) for n in (0, 1)
                                            for p, s in (("down_proj", (48, 2)), ("up_proj", (2, 48)),
                                                         ("gate_proj", (2, 48)))}))  # fmt: skip
    edit_json(model / "config.json", lambda config: config.update(intermediate_size=2))
    message = "model.layers.0.mlp.down_proj.weight takes 2 inputs, fewer than the 3 weights of a cluster: --exclude it"
    check_refused(run, [model, "-o", tmp_path / "q"], message)
    assert run(model, "-o", tmp_path / "q", "--exclude", "*down_proj*")[0] == 0
    AutoModelForCausalLM.from_pretrained(tmp_path / "q")


def test_bad_options(run, llama, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out = ["-o", tmp_path / "q"]
    (tmp_path / "there").mkdir()
    (tmp_path / "text").write_text("a b c")
    quantized = tmp_path / "quantized"
    assert run(llama, "-o", quantized)[0] == 0
    calibrated = ["--recipe", "calibrated", "--calibration"]
    cases = [
        ([tmp_path / "no", *out], f"{tmp_path / 'no'} does not exist: give a model directory, or a hub id"),
        ([llama / "config.json", *out], "is a file: give the model directory that holds config.json"),
        (["nobody/nothing", *out], "nobody/nothing is no directory, and the Hugging Face hub has no such model or"),
        ([quantized, *out], "is already quantized (quant_method fineq): start from the full-precision model"),
        ([llama, "-o", tmp_path / "there"], "there exists already: choose another output, or remove it"),
        ([llama, "-o", tmp_path / "text" / "q"], "cannot write"),
        ([llama, *out, "--recipe", "best"], "unknown recipe 'best': choose one of paper, "),
        ([llama, *out, "--include", "*.attn.*"], "the pattern '*.attn.*' matches no layer: layers have names such as"),
        ([llama, *out, "--exclude", "*"], "nothing is left to quantize: loosen --include and --exclude"),
        ([llama, *out, "--calibration", tmp_path / "text"], "recipe mse needs no calibration text: leave"),
        ([llama, *out, "--recipe", "calibrated"], "recipe calibrated needs a text to calibrate with: add --calib"),
        ([llama, *out, *calibrated, tmp_path / "no"], "no does not exist: --calibration needs a text file"),
        ([llama, *out, *calibrated, tmp_path / "text", "--lm-head"], "recipe calibrated quantizes the linear"),
        ([llama, *out, *calibrated, tmp_path / "text", "--resume"], "a calibrated recipe cannot resume"),
        ([llama, *out, *calibrated, tmp_path / "text"], "the calibration text has 3 tokens, fewer than one window"),
    ]  # fmt: skip
    for arguments, message in cases:
        check_refused(run, arguments, message)
        assert not (tmp_path / "q").exists() and not (tmp_path / "q.unfinished").exists()


# -- memory ------------------------------------------------------------------------------------------------------

MEASURED = """
import json, resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
quantize_checkpoint(open_source(sys.argv[1]), Path(sys.argv[2]), Options(recipe="paper", embeddings=True))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write_big_model(directory, architecture: str, layers: int) -> int:
    """A multi-shard model with one large embedding, written a tensor at a time; returns bytes of all tensors."""
    from transformers import GPT2Config, LlamaConfig

    from fineq.checkpoint.layers import skeleton

    if architecture == "llama":
        config = LlamaConfig(vocab_size=40_000, hidden_size=1536, intermediate_size=4096, num_hidden_layers=layers,
                             num_attention_heads=12, num_key_value_heads=12)  # fmt: skip
    else:
        config = GPT2Config(vocab_size=40_000, n_embd=1536, n_layer=layers, n_head=12)
    config.save_pretrained(directory)
    weight_map, total = {}, 0
    shards: dict[str, dict[str, torch.Tensor]] = {}
    model = skeleton(json.loads((directory / "config.json").read_text()))
    for name, parameter in model.named_parameters():
        shard = "model-embedding.safetensors" if "layers" not in name and ".h." not in name else None
        shard = shard or f"model-{[part for part in name.split('.') if part.isdigit()][0]}.safetensors"
        shards.setdefault(shard, {})[name] = parameter
    for shard, parameters in shards.items():
        tensors = {name: torch.randn(p.shape, dtype=torch.float32).half() for name, p in parameters.items()}
        save_file(tensors, directory / shard, metadata={"format": "pt"})
        total += sum(tensor.nbytes for tensor in tensors.values())
        weight_map |= dict.fromkeys(tensors, shard)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return total


@pytest.mark.regress
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_memory_does_not_grow_with_the_model(architecture, tmp_path):
    """Peak memory of the whole process, imports included, stays under twice the largest tensor and 1 GB; a model of
    three times the layers takes no more."""
    peaks = []
    for layers in (3, 9):
        directory = tmp_path / f"{architecture}-{layers}"
        directory.mkdir()
        total = write_big_model(directory, architecture, layers)
        script = [sys.executable, "-c", MEASURED, directory, tmp_path / f"q{layers}"]
        peaks.append(int(subprocess.run(script, capture_output=True, text=True, check=True).stdout))
    largest = 40_000 * 1536 * 2
    print(f"{architecture}: {total / 1e6:.0f} MB of weights, largest tensor {largest / 1e6:.0f} MB, peaks {peaks}")
    assert max(peaks) < 2 * largest + 2**30
    assert peaks[1] < peaks[0] + 0.15 * largest + 2**25
