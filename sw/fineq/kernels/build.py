"""Compiles the kernels on first use and keeps the result.

A compiled kernel lies in the cache directory under a name made of everything that it depends on: sources, sizes
of the format, compiler, flags and processor. Its last 32 bytes are the SHA-256 of the rest, so that a damaged
file is compiled again and never loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from fineq import format as block_format
from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq.common.files import replacing

SOURCES = Path(__file__).parent

CODE_FILES = ("*.cpp", "*.h", "integer/*.cpp", "integer/*.h")
"""What decides the compiled kernels beside this module (`fineq.common.cache_keys`)."""

COMPILERS = ("c++", "g++", "clang++")
"""Tried in this order if the environment does not name one in CXX."""

NATIVE = ("-march=native",)
"""Makes use of all that the processor can do. Some compilers do not know it: they are asked again without."""

FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fno-math-errno", "-fno-trapping-math", "-w")

CONSTANTS = (
    "CLUSTER_WEIGHTS",
    "PAIR_CLUSTERS",
    "INDEX_BITS",
    "CLUSTER_PAYLOAD_BITS",
    "BLOCK_PAIRS",
    "BLOCK_BYTES",
    "MAX_NORMAL",
    "MAX_MAGNITUDE",
)
"""Sizes that the sources take from `fineq.format`."""

DIGEST_BYTES = hashlib.sha256().digest_size
COMPILE_SECONDS = 120


class KernelError(FineqError):
    """The kernels cannot be used; the text says why."""


def load_kernel(name: str, contraction: str, target: tuple[str, ...] = NATIVE) -> ctypes.CDLL:
    """The library of `<name>.cpp`, compiled if it has to be.

    Args:
        name: of the source file, relative to this folder.
        contraction: `off` or `fast`: whether a product and a sum may become one operation with one rounding.
        target: flags that say what processor it is for, and macros.

    Raises:
        KernelError: no compiler, it fails, or the cache directory cannot be written.
    """
    if sys.byteorder != "little":
        raise KernelError("the kernels are for little-endian processors")
    compiler = find_compiler()
    flags = [*FLAGS, f"-ffp-contract={contraction}", *format_macros()]
    named = fingerprint(name, compiler, [*flags, *target])
    library = cache_directory() / f"{name.replace('/', '-')}-{named}.so"
    if not is_intact(library):
        compile_source(SOURCES / f"{name}.cpp", compiler, flags, library, target)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise KernelError(f"the compiled kernel cannot be loaded: {error}") from error


def format_macros() -> list[str]:
    """Flags that hand the sizes of the format to the sources."""
    return [f"-DFINEQ_{constant}={getattr(block_format, constant)}" for constant in CONSTANTS]


def find_compiler() -> list[str]:
    """Command of the C++ compiler: that of the environment variable CXX, or the first of `COMPILERS`."""
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [[compiler] for compiler in COMPILERS]:
        if path := shutil.which(command[0]):
            return [path, *command[1:]]
    if named:
        raise KernelError(f"CXX names the C++ compiler {named[0]}, which is not installed")
    raise KernelError(f"no C++ compiler: none of {', '.join(COMPILERS)} is installed")


def cache_directory() -> Path:
    """FINEQ_CACHE, or `fineq` in the user's cache directory."""
    if own := os.environ.get("FINEQ_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fineq"


def fingerprint(name: str, compiler: list[str], flags: list[str]) -> str:
    """Hash of everything that the compiled file depends on."""
    return cache_key(__name__, inputs=[name, compiler, flags, run([*compiler, "--version"]), processor()])


def processor() -> str:
    """What the processor can do, as far as the system tells: the compiler is asked to make use of all of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kept = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    return "\n".join([platform.machine(), *sorted(kept)])


def is_intact(path: Path) -> bool:
    """Whether the file is there and ends with the hash of the rest."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-DIGEST_BYTES]).digest() == content[-DIGEST_BYTES:]


def compile_source(
    source: Path, compiler: list[str], flags: list[str], library: Path, target: tuple[str, ...] = NATIVE
) -> None:
    """Compile a C++ source to a library aside, then put it in place; several processes may do so at once.

    Raises:
        KernelError: the compiler fails, or the directory of `library` cannot be written.
    """
    try:
        library.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(library) as output:
            command = [*compiler, *flags, "-o", str(output), str(source)]
            try:
                run([*command, *target])
            except KernelError:
                if not set(NATIVE) & set(target):
                    raise
                run([*command, *(flag for flag in target if flag not in NATIVE)])
            content = output.read_bytes()
            output.write_bytes(content + hashlib.sha256(content).digest())
    except OSError as error:
        raise KernelError(
            f"cannot write to the cache directory {library.parent}: {error.strerror}; set FINEQ_CACHE to another"
        ) from error


def run(command: list[str]) -> str:
    """Standard output of a command that must succeed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=COMPILE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(f"the C++ compiler {command[0]} does not run: {error}") from error
    if done.returncode:
        problem = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
        raise KernelError(f"the C++ compiler {command[0]} fails: {problem}")
    return done.stdout
