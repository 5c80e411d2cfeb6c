"""Keys of caches: a hash over the code that decides what is kept, found by following imports, and over its inputs.

Whatever the project keeps between runs (netlists, proofs, built simulations, measurements, kernels) takes its name
from `cache_key`. Nobody lists files by hand: a cache names the modules that make its content, and every module of
the project that these import, however far away and wherever in the file, counts with its text; every other package
counts with its version, the standard library with Python's.

What no import shows a module says itself, with constants:

    CODE_FILES = ("harness.cpp",)   # files that it hands to another program: patterns, relative to its folder
    CODE_PACKAGES = ("pyosys",)     # packages that a program of its own imports in another process

Imports that cannot be followed are refused: a name that is only known when the program runs, or a name taken from a
package that loads it on demand (`__getattr__`).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
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
        inputs: whatever else decides it: JSON, data classes, enumerations and sets of these.
        files: files whose names and bytes count; where they lie does not.

    Raises:
        ValueError: a module cannot be found, or imports in a way that cannot be followed; an input is of a kind
            whose values cannot be told apart for certain.
    """
    digest = hashlib.sha256(code_digest(*modules).encode())
    digest.update(json.dumps([modules, _plain(inputs)], sort_keys=True).encode())
    for file in map(Path, files):
        digest.update(b"\0" + file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:LENGTH]


def _plain(value: Any) -> Any:
    """A value as JSON that differs whenever the value does."""
    if value is None or isinstance(value, str | int | float) and not isinstance(value, Enum):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, set | frozenset):
        return {"set": sorted(json.dumps(_plain(each), sort_keys=True) for each in value)}
    if isinstance(value, Enum):
        return {type(value).__qualname__: value.name}
    if is_dataclass(value) and not isinstance(value, type):
        content = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {type(value).__qualname__: content}
    raise ValueError(f"a {type(value).__name__} cannot be part of a cache key: give plain data that decides it")


def code_digest(*modules: str) -> str:
    """SHA-256 over the texts of all deciding files and the versions of all deciding packages, as hexadecimal."""
    digest = hashlib.sha256(f"python {sys.version_info.major}.{sys.version_info.minor}\0".encode())
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


# -- what a set of modules reaches -----------------------------------------------------------------------------


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
        module = _module(name)
        parents = {name.rsplit(".", steps)[0] for steps in range(1, name.count(".") + 1)}
        waiting += (module.own | parents) - reached
        packages |= module.others
    return reached, packages


def _files(name: str) -> list[Path]:
    source, further = _source(name), []
    for pattern in _module(name).files:
        matches = sorted(source.parent.glob(pattern))
        if not matches:
            raise ValueError(f"{source} names {pattern} in CODE_FILES, and there is no such file")
        further += matches
    return [source, *further]


# -- what one module imports -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Module:
    """What the text of a module says.

    Attributes:
        own: modules of the project that it imports.
        others: other packages that it imports.
        files: CODE_FILES.
    """

    own: frozenset[str]
    others: frozenset[str]
    files: tuple[str, ...]


def _module(name: str) -> _Module:
    source = _source(name)
    status = source.stat()
    return _parsed(name, source, status.st_mtime_ns, status.st_size)


@cache
def _parsed(name: str, source: Path, mtime_ns: int, size: int) -> _Module:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    package = name if source.name == "__init__.py" else name.rpartition(".")[0]
    found = {module for node in _executed(tree) for module in _imported(node, package, source)}
    constants = _constants(tree)
    others = {module.partition(".")[0] for module in found if not _is_own(module)} - sys.stdlib_module_names
    return _Module(
        frozenset(filter(_is_own, found)),
        frozenset(others | set(constants.get("CODE_PACKAGES", ()))),
        constants.get("CODE_FILES", ()),
    )


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that can run: not what only a type checker sees, nor how a lazy package finds its names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from _executed(other)
            continue
        if isinstance(tree, ast.Module) and isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            continue
        yield node
        yield from _executed(node)


def _imported(node: ast.AST, package: str, source: Path) -> Iterator[str]:
    """Modules that a node imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name in _top_packages():
                raise ValueError(f"{source} imports {alias.name} as a whole: import the modules that it needs")
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            yield _home(base, alias.name, source)
    elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
        wanted = node.args[0] if node.args else None
        name = wanted.value if isinstance(wanted, ast.Constant) else None
        if not isinstance(name, str) or len(node.args) > 1 and name.startswith("."):
            raise ValueError(f"{source} imports what only a running program knows: {ast.unparse(node)}")
        yield name


def _called(call: ast.Call) -> str:
    """Last part of the name of the function that is called; empty if it has none."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _home(base: str, name: str, source: Path) -> str:
    """The module that `from base import name` loads beside those above it."""
    if not _is_own(base):
        return base
    if _find(f"{base}.{name}") is not None:
        return f"{base}.{name}"
    if _is_lazy(base, name):
        raise ValueError(f"{source} takes {name} from {base}, which loads it on demand: import it from its module")
    return base


def _is_lazy(module: str, name: str) -> bool:
    """Whether a module that has a `__getattr__` leaves a name to it."""
    tree = ast.parse(_source(module).read_text(encoding="utf-8"))
    bound: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        else:
            names = (each for each in ast.walk(node) if isinstance(each, ast.Name))
            bound |= {each.id for each in names if isinstance(each.ctx, ast.Store)}
    return "__getattr__" in bound and name not in bound


def _constants(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Values of CODE_FILES and CODE_PACKAGES."""
    found = {}
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name) and target.id in ("CODE_FILES", "CODE_PACKAGES"):
                found[target.id] = tuple(ast.literal_eval(node.value))
    return found


# -- where modules and packages are ----------------------------------------------------------------------------


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
    text = metadata.distribution(DISTRIBUTION).read_text("top_level.txt")
    if text is None:  # an installer that leaves it out; this way takes longer
        return frozenset(name for name, homes in _homes().items() if DISTRIBUTION in homes)
    return frozenset(text.split())


@cache
def _homes() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@cache
def _version(package: str) -> str:
    homes = _homes().get(package)
    return " ".join(f"{home} {metadata.version(home)}" for home in sorted(set(homes))) if homes else "not installed"
