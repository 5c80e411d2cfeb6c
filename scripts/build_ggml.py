"""Builds ggml, which `fineq bench --ggml` measures beside the kernels of FineQ.

    python scripts/build_ggml.py DIRECTORY

The sources come from a pinned source package of llama-cpp-python. Needs a package index, CMake and a C++ compiler, and
takes a few minutes. Nothing is installed; the libraries stay in DIRECTORY.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = "llama-cpp-python==0.3.36"

OPTIONS = ("-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DGGML_OPENMP=OFF", "-DBUILD_SHARED_LIBS=ON",
           "-DGGML_BUILD_TESTS=OFF", "-DGGML_BUILD_EXAMPLES=OFF")  # fmt: skip


def main(directory: Path) -> Path:
    """Fetch, unpack and build; returns where the libraries are."""
    sources, build = directory / "source", directory / "build"
    sources.mkdir(parents=True, exist_ok=True)
    if not list(sources.glob("*.tar.gz")):
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            str(sources),
        ]
        subprocess.run([*pip, PACKAGE], check=True)
    [archive] = sources.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(sources, filter="data")
    [ggml] = sources.glob("*/vendor/llama.cpp/ggml")
    (ggml / "ggml.pc.in").touch()  # the package leaves it out, and only an installation would read it
    subprocess.run(["cmake", "-S", str(ggml), "-B", str(build), *OPTIONS], check=True)
    subprocess.run(["cmake", "--build", str(build), "--parallel", "2"], check=True)
    return build / "src"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    print(main(Path(sys.argv[1])))
