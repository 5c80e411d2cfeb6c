"""How transformers comes to know FineQ, what may not touch it, and that it refuses quantized models otherwise."""

import subprocess
import sys

import pytest
from helpers.models.quantized_models import load, quantize_model

from fineq.checkpoint.planning import Options

WAYS = [
    "import fineq.huggingface",
    "import fineq.format, fineq; import fineq.huggingface",
    "from fineq.huggingface import linear",
    "import transformers; import fineq.huggingface",
    "from transformers import AutoModelForCausalLM; import fineq.huggingface",
]
"""Imports after which transformers loads quantized models."""

LOADING = "AutoModelForCausalLM.from_pretrained(sys.argv[1])"


def run_python(script: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    return quantize_model("llama", tmp_path_factory.mktemp("llama"))[1]


def test_without_fineq_loading_fails(tmp_path):
    """Fresh random weights in the place of packed ones would be worse than an error."""
    directories = [
        quantize_model("llama", tmp_path / "1")[1],
        quantize_model("gpt2", tmp_path / "2")[1],
        quantize_model("mixtral", tmp_path / "3")[1],
        quantize_model("mixtral", tmp_path / "4", save_original_format=False)[1],
        quantize_model("llama", tmp_path / "5", Options(include=("*layers.1.mlp.up_proj.weight",)))[1],
        quantize_model("mixtral", tmp_path / "6", Options(include=("*.experts.*",)), save_original_format=False)[1],
    ]
    directories.append(quantize_model("granitemoe", tmp_path / "8", Options(include=("*.input_linear.*",)))[1])
    load(directories[0]).save_pretrained(tmp_path / "7")
    script = """
import sys
from transformers import AutoModelForCausalLM
assert "fineq" not in sys.modules
for directory in sys.argv[1:]:
    try:
        AutoModelForCausalLM.from_pretrained(directory)
        print("loaded", directory)
    except RuntimeError as error:
        assert "mismatched" in str(error), error
        print("refused")
"""
    result = run_python(script, *directories, tmp_path / "7")
    assert result.stdout == "refused\n" * 8, result.stdout + result.stderr


@pytest.mark.parametrize("module", ["fineq", "fineq.format", "fineq.common.errors", "fineq.kernels", "fineq_hw.config"])
def test_rooms_below_leave_transformers_alone(module):
    script = f"""
import sys
before = list(sys.meta_path), list(sys.path_hooks)
import {module}
assert (list(sys.meta_path), list(sys.path_hooks)) == before, sys.meta_path
assert not [name for name in sys.modules if name.partition(".")[0] in ("torch", "transformers")]
assert "fineq.huggingface" not in sys.modules
"""
    result = run_python(script)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", ["fineq", "fineq.format", "fineq.quantizer.vectorised"])
def test_rooms_below_leave_loaded_tables_alone(module):
    script = f"""
import transformers.quantizers.auto as auto
before = dict(auto.AUTO_QUANTIZER_MAPPING), dict(auto.AUTO_QUANTIZATION_CONFIG_MAPPING)
import {module}
assert (auto.AUTO_QUANTIZER_MAPPING, auto.AUTO_QUANTIZATION_CONFIG_MAPPING) == before
"""
    result = run_python(script)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("way", WAYS)
def test_one_import_registers(way, quantized):
    script = f"""
import sys
{way}
from transformers import AutoModelForCausalLM
{LOADING}
assert not any(type(finder).__module__.startswith("fineq") for finder in sys.meta_path)
print("loaded")
"""
    result = run_python(script, quantized)
    assert result.stdout == "loaded\n", result.stderr


@pytest.mark.parametrize("first", ["import fineq.format", "import transformers", ""])
def test_a_plain_import_is_refused_whatever_came_before(first, quantized):
    """Older model cards show it. Never silently: the markers stop transformers, and the documented import helps."""
    script = f"""
import sys
{first}
import fineq
from transformers import AutoModelForCausalLM
try:
    {LOADING}
except RuntimeError as error:
    assert "mismatched" in str(error), error
    import fineq.huggingface
    {LOADING}
    print("loaded")
"""
    result = run_python(script, quantized)
    assert result.stdout == "loaded\n", result.stderr


def test_loading_by_our_own_function_needs_no_import(quantized):
    script = """
import sys
from pathlib import Path
from fineq.huggingface.loading import load_model
load_model(Path(sys.argv[1]))
print("loaded")
"""
    result = run_python(script, quantized)
    assert result.stdout == "loaded\n", result.stderr
