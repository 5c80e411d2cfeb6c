"""The lowest and the newest versions that `make versions` tests: what pyproject.toml allows and pip can install."""

import importlib.util
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

SCRIPT = Path(__file__).parents[2] / "scripts" / "versions.py"
specification = importlib.util.spec_from_file_location("versions", SCRIPT)
versions = importlib.util.module_from_spec(specification)
specification.loader.exec_module(versions)


def lowest() -> dict[str, str]:
    pinned = [line.removesuffix(".*").split("==") for line in versions.requirements()["lowest"]]
    return {name: version for name, version in pinned}


def test_every_varied_package_has_a_lower_bound():
    assert lowest().keys() == set(versions.VARIED)
    assert [Requirement(line).name for line in versions.requirements()["newest"]] == list(lowest())


@pytest.mark.parametrize("package", versions.VARIED)
def test_lowest_versions_go_together(package):
    """pip refuses a set in which one package wants a newer one of another; tokenizers 0.22 once stood beside
    transformers 5.23, which needs 0.23.1."""
    bounds = lowest()
    if not metadata.version(package).startswith(bounds[package]):
        pytest.skip(f"{package} {bounds[package]} is not installed, so what it needs is not known")
    for line in metadata.requires(package) or []:
        needed = Requirement(line)
        if needed.name in bounds and not (needed.marker and not needed.marker.evaluate({"extra": ""})):
            assert needed.specifier.contains(bounds[needed.name]), f"{package} needs {needed}, not {bounds}"
