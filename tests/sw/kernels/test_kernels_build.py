"""How the kernels are compiled and kept, and what happens when they cannot be."""

import os
import subprocess
import sys

import pytest
import torch

import fineq
from fineq import kernels
from fineq.kernels import build, libraries
from fineq.operators import packed_linear

CHECK = """
from fineq import kernels
print(kernels.available(), kernels.reason())
"""

needs_compiler = pytest.mark.skipif(not kernels.available(), reason=f"no native kernels: {kernels.reason()}")


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def results() -> list[torch.Tensor]:
    """Of all kernels, or of what stands in for them; the product comes last."""
    halves = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.float16)
    every_half = fineq.quantize(halves[halves.isfinite()].reshape(-1, 62), "paper")
    packed = fineq.quantize(random(20, 100), "mse")
    exact = [every_half.blocks, every_half.scales, packed.blocks, packed.codes(strict=True), packed.dequantize()]
    return [*exact, packed_linear(random(17, 100), packed.blocks, packed.scales, packed.shape)]


EXPECTED = results()


@pytest.fixture
def start_again(tmp_path, monkeypatch):
    """Forgets the kernels that are loaded; an empty cache directory."""
    monkeypatch.setenv("FINEQ_CACHE", str(tmp_path / "cache"))
    libraries.compiled.cache_clear()
    yield
    monkeypatch.undo()
    libraries.compiled.cache_clear()


def assert_results() -> None:
    found = results()
    assert all(torch.equal(a, b) for a, b in zip(found[:-1], EXPECTED[:-1], strict=True))
    assert torch.allclose(found[-1], EXPECTED[-1], rtol=1e-5, atol=1e-5)


def test_switched_off(start_again, tmp_path, monkeypatch):
    monkeypatch.setenv("FINEQ_NATIVE", "0")
    assert not kernels.available() and kernels.reason() == "FINEQ_NATIVE is 0"
    assert_results()
    assert not (tmp_path / "cache").exists()


def test_no_compiler(start_again, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O1")
    assert kernels.reason() == "CXX names the C++ compiler no-such-compiler, which is not installed"
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    libraries.compiled.cache_clear()
    assert kernels.reason() == "no C++ compiler: none of c++, g++, clang++ is installed"
    assert_results()


def test_no_compiler_in_another_process(tmp_path):
    environment = {**os.environ, "FINEQ_CACHE": str(tmp_path), "PATH": "", "CXX": ""}
    done = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("False no C++ compiler")
    assert done.stderr.count("FineQ runs without its compiled kernels") == 1 and "Traceback" not in done.stderr


def test_failing_compiler(start_again, tmp_path, monkeypatch):
    compiler = tmp_path / "c++"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "x.cpp:1: error: out of luck" >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert kernels.reason() == f"the C++ compiler {compiler} fails: x.cpp:1: error: out of luck"
    assert_results()
    assert not list((tmp_path / "cache").iterdir())


def test_cache_directory_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FINEQ_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(build, "find_compiler", lambda: ["c++"])
    monkeypatch.setattr(build, "run", lambda command: "")
    with pytest.raises(build.KernelError, match="cannot write to the cache directory .*: Not a directory; set FINEQ_"):
        build.load_kernel("unpack", "off")


def test_where_the_cache_is(monkeypatch, tmp_path):
    for name in ("FINEQ_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build.cache_directory() == tmp_path / ".cache" / "fineq"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert build.cache_directory() == tmp_path / "xdg" / "fineq"
    monkeypatch.setenv("FINEQ_CACHE", str(tmp_path / "own"))
    assert build.cache_directory() == tmp_path / "own"


@needs_compiler
def test_compiles_once_and_again_when_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("FINEQ_CACHE", str(tmp_path))
    compiled = []
    original = build.compile_source
    monkeypatch.setattr(build, "compile_source", lambda *arguments: compiled.append(1) or original(*arguments))
    library = build.load_kernel("unpack", "off")
    assert library.fineq_unpack and len(compiled) == 1
    [file] = tmp_path.iterdir()
    build.load_kernel("unpack", "off")
    assert len(compiled) == 1

    content = file.read_bytes()
    damages = [b"", content[:-1], content[:5000] + b"\1\2\3" + content[5003:]]
    for number, damage in enumerate(damages, start=2):
        aside = tmp_path / "damaged"  # never write into a file that is mapped
        aside.write_bytes(damage)
        os.replace(aside, file)
        assert build.load_kernel("unpack", "off").fineq_unpack
        assert len(compiled) == number and file.read_bytes() != damage and build.is_intact(file)
    assert list(tmp_path.iterdir()) == [file]


@needs_compiler
def test_the_name_of_a_compiled_kernel_tells_all_that_it_depends_on(monkeypatch):
    compiler = build.find_compiler()
    known = {build.fingerprint("unpack", compiler, ["-O3"])}

    def assert_new(*arguments):
        name = build.fingerprint(*arguments)
        assert name not in known
        known.add(name)

    assert build.fingerprint("unpack", compiler, ["-O3"]) in known
    assert_new("unpack", compiler, ["-O2"])
    assert_new("linear", compiler, ["-O3"])
    assert_new("unpack", [*compiler, "-g"], ["-O3"])
    monkeypatch.setattr(build, "processor", lambda: "another")
    assert_new("unpack", compiler, ["-O3"])
    monkeypatch.setattr(build, "run", lambda command: "another version")
    assert_new("unpack", compiler, ["-O3"])


@needs_compiler
def test_plain_flags_give_the_same_results(start_again, monkeypatch):
    """What a compiler does that does not know -march=native: small vectors, no instruction for float16."""
    original, plain = build.run, []

    def refuse_native(command: list[str]) -> str:
        if "-march=native" in command:
            raise build.KernelError("unknown option")
        plain.append(command)
        return original(command)

    monkeypatch.setattr(build, "run", refuse_native)
    assert kernels.available()
    assert_results()
    assert len([command for command in plain if "-o" in command]) == len(libraries.CONTRACTION)
