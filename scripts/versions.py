"""Tests of models, checkpoints and transformers on the lowest and the newest versions that pyproject.toml allows.

    python scripts/versions.py DIRECTORY      # `make versions`

Each runs in a virtual environment of its own under DIRECTORY, which takes everything else from the environment of the
caller. torch above all is taken as it is: another one is gigabytes, so its version is not varied.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

VARIED = ("transformers", "tokenizers", "safetensors", "numpy")

TESTS = ("tests/sw/models", "tests/sw/checkpoint", "tests/sw/huggingface", "tests/sw/evaluation")


def requirements() -> dict[str, list[str]]:
    """What to install, by the name of the environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    varied = [line for line in project["dependencies"] if line.split(">=")[0] in VARIED]
    lowest = [f"{name}=={bounds.split(',')[0]}.*" for name, bounds in (line.split(">=") for line in varied)]
    return {"lowest": lowest, "newest": varied}


def make_environment(directory: Path, packages: list[str]) -> Path:
    """A virtual environment with these packages, and those of the caller behind them; returns its interpreter."""
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, clear=True, with_pip=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = directory / "lib" / version / "site-packages"
    behind = [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))]
    (own / "behind.pth").write_text("\n".join(dict.fromkeys(behind)) + "\n", encoding="utf-8")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", *packages]
    subprocess.run(pip, check=True)
    return python


def main(directory: Path) -> int:
    """Run the tests in both environments; 0 if all pass."""
    paths = os.pathsep.join(str(ROOT / part) for part in ("sw", "hw", "sim", "scripts"))
    failed = []
    for name, packages in requirements().items():
        python = make_environment(directory / name, packages)
        shown = f"import importlib.metadata as m; print(*(f'{{p}} {{m.version(p)}}' for p in {VARIED}), sep=', ')"
        print(f"{name}: ", end="", flush=True)
        subprocess.run([python, "-c", shown], check=True)
        tests = [python, "-m", "pytest", "-m", "not regress", *TESTS]
        if subprocess.run(tests, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}).returncode:
            failed.append(name)
    if failed:
        print(f"tests fail on the {' and the '.join(failed)} versions that pyproject.toml allows", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
