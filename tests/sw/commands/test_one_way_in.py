"""`fineq` as a whole: quick help, errors as sentences, sub-commands whose packages are missing."""

import subprocess
import sys

import pytest
from helpers.running.command_line import run_fineq

from fineq import cli
from fineq.common.errors import FineqError

HEAVY = ("torch", "transformers", "numpy", "amaranth", "pyosys", "matplotlib", "jinja2", "cocotb", "klayout")


def stub(monkeypatch, function):
    """One more sub-command, `fineq stub`, that calls a function."""

    class Entry:
        name = "stub"
        module = __name__

        @staticmethod
        def load():
            return function

    known = cli.commands()
    monkeypatch.setattr(cli, "commands", lambda: known | {"stub": Entry})


def test_help_loads_nothing_heavy():
    """Of any command: all of them are asked for their first line."""
    program = f"""
import sys
sys.argv = ["fineq", "--help"]
from fineq.cli import main
try:
    main()
finally:
    print("loaded:", [name for name in {HEAVY} if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.endswith("loaded: []\n"), result
    assert all(f"│ {name} " in result.stdout for name in cli.commands())
    assert "Not available" not in result.stdout


@pytest.mark.parametrize("name", sorted(cli.commands()))
def test_every_command_has_help(name):
    outcome = run_fineq(name, "--help")
    assert outcome.code == 0 and f"fineq {name} " in outcome.stdout


def test_unknown_command():
    outcome = run_fineq("nothing")
    assert outcome.code == 2 and "No such command 'nothing'" in outcome.stderr


def test_a_missing_package_is_one_sentence(monkeypatch):
    def command() -> None:
        raise ModuleNotFoundError("No module named 'amaranth.hdl'", name="amaranth.hdl")

    sentence = "this needs the package amaranth: run `pip install 'fineq[hw]'`"
    stub(monkeypatch, command)
    assert run_fineq("stub") == (1, "", f"error: {sentence}\n")

    class Unloadable:
        name = "stub"
        load = staticmethod(command)

    known = cli.commands()
    monkeypatch.setattr(cli, "commands", lambda: known | {"stub": Unloadable})
    assert run_fineq("stub") == (1, "", f"error: {sentence}\n")
    assert f"Not available: {sentence}"[:40] in run_fineq("--help").stdout


def test_a_fault_of_ours_is_no_missing_package(monkeypatch):
    def command() -> None:
        raise ModuleNotFoundError("No module named 'fineq.nothing'", name="fineq.nothing")

    stub(monkeypatch, command)
    with pytest.raises(ModuleNotFoundError):
        run_fineq("stub")


@pytest.mark.parametrize(
    ("package", "extra"),
    [("amaranth_boards.arty_a7", "hw"), ("pyosys", "hw"), ("cocotb_tools.runner", "sim"), ("cocotbext.axi", "sim")],
)
def test_the_extra_is_found_in_the_metadata(package, extra):
    assert f"'fineq[{extra}]'" in cli.what_is_missing(ModuleNotFoundError("none", name=package))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FineqError("the weight is bad"), "the weight is bad"),
        (PermissionError(13, "Permission denied", "/a/b"), "cannot read or write /a/b: Permission denied"),
        (FileExistsError(17, "File exists", "/a/.c", None, "/a/c"), "cannot read or write /a/c: File exists"),
        (OSError(28, "No space left on device"), "the system refuses: No space left on device"),
    ],
)
def test_errors_are_one_sentence(monkeypatch, error, sentence):
    def command() -> None:
        raise error

    stub(monkeypatch, command)
    assert run_fineq("stub") == (1, "", f"error: {sentence}\n")


def test_help_keeps_brackets():
    wide = {"COLUMNS": "400", "TERMINAL_WIDTH": "400"}
    assert "A .npy file of activations [tokens, K] instead" in run_fineq("vectors", "--help", environment=wide).stdout


@pytest.mark.parametrize("name", ["quantize", "eval", "vectors"])
def test_help_lists_all_recipes(name):
    from fineq.baselines import BASELINES, CALIBRATED_BASELINES
    from fineq.calibrated import RECIPES as CALIBRATED
    from fineq.quantizer.recipes import RECIPES

    names = {"vectors": [*RECIPES], "quantize": [*RECIPES, *CALIBRATED]}
    every = [*RECIPES, *CALIBRATED, *BASELINES, *CALIBRATED_BASELINES]
    outcome = run_fineq(name, "--help", environment={"COLUMNS": "400", "TERMINAL_WIDTH": "400"})
    shown = "".join(outcome.stdout.replace("│", " ").split())  # words wrap at hyphens
    assert ",".join(RECIPES) in shown and "{recipes}" not in shown
    assert all(recipe in shown for recipe in names.get(name, every))


@pytest.mark.parametrize("name", sorted(cli.commands()))
def test_seeds_beyond_64_bits(name):
    """Every option that takes a seed refuses one that no generator takes, before any work."""
    command = cli.load(cli.commands()[name])
    if any(parameter.name == "seed" for parameter in command.params):
        needed = [parameter for parameter in command.params if parameter.required]
        needed.sort(key=lambda parameter: parameter.param_type_name == "option")
        words = [
            word for each in needed for word in ([] if each.param_type_name == "argument" else each.opts[:1]) + ["x"]
        ]
        outcome = run_fineq(name, *words, "--seed", str(2**70))
        assert outcome.code == 2 and "Invalid value for '--seed'" in outcome.stderr
