"""Keys of caches: a hash over the code that decides what is kept, found by following imports, and over its inputs.

Whatever the project keeps between runs (netlists, proofs, built simulations, measurements, kernels) takes its name
from `cache_key`. Nobody lists files by hand: a cache names the modules that make its content, and every module of
the project that these import, however far away, counts with its text; every other package counts with its version.
A module that hands further files to another program, a C++ source for one, says so itself with a constant:

    CODE_FILES = ("harness.cpp",)      # patterns, relative to the module's folder
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTION = "fineq"
"""Distribution whose packages are followed."""

LENGTH = 24
"""Hexadecimal digits of a key: 96 bits."""


def cache_key(*modules: str, inputs: Any = None, files: Iterable[str | os.PathLike[str]] = ()) -> str:
    """Name for something that is kept.

    Args:
        modules: dotted names of the modules whose code decides the content.
        inputs: whatever else decides it, JSON-clean or with a `repr` that tells values apart.
        files: files whose names and bytes count.

    Raises:
        ValueError: a module cannot be found, or imports in a way that cannot be followed.
    """
    digest = hashlib.sha256(code_digest(*modules).encode())
    digest.update(json.dumps(inputs, sort_keys=True, default=repr).encode())
    for file in map(Path, files):
        digest.update(b"\0" + file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:LENGTH]


def code_digest(*modules: str) -> str:
    """SHA-256 over the texts of all deciding files and the versions of all deciding packages, as hexadecimal."""
    digest = hashlib.sha256()
    names, packages = _reach(modules)
    for name in sorted(names):
        for file in _files(name):
            digest.update(f"{name} {file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    for package in sorted(packages):
        digest.update(f"{package} {_version(package)}\0".encode())
    return digest.hexdigest()


def deciding_files(*modules: str) -> list[Path]:
    """The files that `code_digest` reads, sorted."""
    return sorted({file for name in _reach(modules)[0] for file in _files(name)})


def _reach(modules: Iterable[str]) -> tuple[set[str], set[str]]:
    """Modules of the project that are reached from some of them, and other packages that these import."""
    reached: set[str] = set()
    packages: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        found, others = _imports(name, _source(name))
        parents = {name.rsplit(".", steps)[0] for steps in range(1, name.count(".") + 1)}
        waiting += (found | parents) - reached
        packages |= others
    return reached, packages


def _imports(name: str, source: Path) -> tuple[set[str], set[str]]:
    """Modules of the project and other packages that a module imports, in functions too."""
    status = source.stat()
    return _parsed(name, source, status.st_mtime_ns, status.st_size)[:2]


@cache
def _parsed(name: str, source: Path, mtime_ns: int, size: int) -> tuple[set[str], set[str], tuple[str, ...]]:
    own: set[str] = set()
    others: set[str] = set()
    patterns: tuple[str, ...] = ()
    package = name if source.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in _top_packages():
                    raise ValueError(f"{source} imports {alias.name} as a whole: import the modules that it needs")
                _sort(alias.name, own, others)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            if not _is_own(base):
                _sort(base, own, others)
                continue
            for alias in node.names:
                member = f"{base}.{alias.name}"
                if _find(member) is not None:
                    own.add(member)
                elif base in _top_packages():
                    raise ValueError(
                        f"{source} takes {alias.name} from {base}, which loads it on demand: import it from its module"
                    )
                else:
                    own.add(base)
        elif isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "CODE_FILES" for t in node.targets
        ):
            patterns = tuple(ast.literal_eval(node.value))
    return own, others, patterns


def _executed(tree: ast.AST) -> Iterable[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _executed(node)


def _sort(name: str, own: set[str], others: set[str]) -> None:
    top = name.partition(".")[0]
    if _is_own(name):
        own.add(name)
    elif top not in sys.stdlib_module_names:
        others.add(top)


def _files(name: str) -> list[Path]:
    source = _source(name)
    status = source.stat()
    patterns = _parsed(name, source, status.st_mtime_ns, status.st_size)[2]
    further = []
    for pattern in patterns:
        matches = sorted(source.parent.glob(pattern))
        if not matches:
            raise ValueError(f"{source} names {pattern} in CODE_FILES, and there is no such file")
        further += matches
    return [source, *further]


def _source(name: str) -> Path:
    source = _find(name)
    if source is None:
        raise ValueError(f"no source of module {name}: give the dotted name of a module of the project")
    return source


@cache
def _find(name: str) -> Path | None:
    """Source of a module; nothing but the top package's place is asked of Python, so nothing is imported."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top) if _is_own(name) else None
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin).parent.joinpath(*rest)
    return next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)


def _is_own(name: str) -> bool:
    return name.partition(".")[0] in _top_packages()


@cache
def _top_packages() -> frozenset[str]:
    """Top-level packages of the project."""
    return frozenset(name for name, homes in _homes().items() if DISTRIBUTION in homes)


@cache
def _homes() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@cache
def _version(package: str) -> str:
    homes = _homes().get(package)
    return " ".join(f"{home} {metadata.version(home)}" for home in sorted(set(homes))) if homes else "not installed"
