"""Reads the syntax of Liberty files: groups with attributes, whatever they mean (`liberty` gives them a meaning)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fineq_asic.errors import SynthesisError

_TOKEN = re.compile(r'/\*.*?\*/|"[^"]*"|[{}();:,]|[^\s{}();:,"\\]+', re.DOTALL)


@dataclass
class LibertyGroup:
    """One group of a Liberty file, such as `pin (A) { ... }`.

    Attributes:
        kind, arguments: the word before the brackets, and the words in them.
        attributes: `name : value;`.
        groups: the groups inside.
        complex: `name (values);` in order; a name may come more than once.
    """

    kind: str
    arguments: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    groups: list[LibertyGroup] = field(default_factory=list)
    complex: list[tuple[str, list[str]]] = field(default_factory=list)

    def all(self, kind: str) -> Iterator[LibertyGroup]:
        return (group for group in self.groups if group.kind == kind)

    def first(self, kind: str) -> LibertyGroup | None:
        return next(self.all(kind), None)

    def argument(self, name: str) -> list[str] | None:
        return next((values for key, values in self.complex if key == name), None)


def parse_groups(text: str, path: Path) -> LibertyGroup:
    """The `library` group of a Liberty file.

    Args:
        text: the file.
        path: its name, for errors.

    Raises:
        SynthesisError: the text is no Liberty, or ends early.
    """
    tokens = [token for token in _TOKEN.findall(text) if not token.startswith("/*")]
    root = LibertyGroup("root", [])
    stack = [root]
    position, count = 0, len(tokens)
    while position < count:
        token = tokens[position]
        if token == "}":
            stack.pop()
            if not stack:
                break
            position += 1
        elif token == ";":
            position += 1
        elif position + 1 < count and tokens[position + 1] == ":":
            end = position + 2
            while end < count and tokens[end] not in ";}":
                end += 1
            stack[-1].attributes[token] = " ".join(tokens[position + 2 : end]).strip('"')
            position = end
        elif position + 1 < count and tokens[position + 1] == "(":
            end = tokens.index(")", position)
            arguments = [part.strip('"') for part in tokens[position + 2 : end] if part != ","]
            position = end + 1
            if position < count and tokens[position] == "{":
                group = LibertyGroup(token, arguments)
                stack[-1].groups.append(group)
                stack.append(group)
                position += 1
            else:
                stack[-1].complex.append((token, arguments))
        else:
            raise SynthesisError(f"{path.name} is not a Liberty file: unexpected {token[:30]!r}")
    if len(stack) != 1 or not root.groups or root.groups[0].kind != "library":
        raise SynthesisError(f"{path.name} is not a complete Liberty file: a group is open or `library` is missing")
    return root.groups[0]


def numbers(arguments: list[str] | None) -> list[float]:
    """All numbers in the values of a complex attribute."""
    return [float(word) for text in arguments or [] for word in text.replace(",", " ").split()]
