"""Functions of cell pins, as a Liberty library writes them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from fineq_asic.errors import SynthesisError

_FUNCTION_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|[!&|^*+'()01])")


class BooleanFunction:
    """A Liberty expression such as `((A & B) | (CI & (A | B)))`, evaluated bitwise on integers or arrays.

    Attributes:
        text: the expression as written.
        inputs: names of its variables in order of first appearance.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.inputs: list[str] = []
        tokens = _FUNCTION_TOKEN.findall(text)
        if "".join(tokens) != re.sub(r"\s", "", text) or not tokens:
            raise SynthesisError(f"cannot read the Liberty function {text!r}")
        self._tokens = tokens
        self._position = 0
        self._tree = self._parse_or()
        if self._position != len(tokens):
            raise SynthesisError(f"cannot read the Liberty function {text!r}")

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    def _parse_or(self) -> tuple:
        left = self._parse_xor()
        while self._peek() in ("|", "+"):
            self._next()
            left = ("|", left, self._parse_xor())
        return left

    def _parse_xor(self) -> tuple:
        left = self._parse_and()
        while self._peek() == "^":
            self._next()
            left = ("^", left, self._parse_and())
        return left

    def _parse_and(self) -> tuple:
        left = self._parse_not()
        while self._peek() in ("&", "*"):
            self._next()
            left = ("&", left, self._parse_not())
        return left

    def _parse_not(self) -> tuple:
        token = self._next()
        if token == "!":
            return ("!", self._parse_not())
        if token == "(":
            tree = self._parse_or()
            if self._next() != ")":
                raise SynthesisError(f"cannot read the Liberty function {self.text!r}")
        elif token in ("0", "1"):
            tree = ("constant", token == "1")
        elif token and (token[0].isalpha() or token[0] == "_"):
            if token not in self.inputs:
                self.inputs.append(token)
            tree = ("variable", token)
        else:
            raise SynthesisError(f"cannot read the Liberty function {self.text!r}")
        while self._peek() == "'":
            self._next()
            tree = ("!", tree)
        return tree

    def evaluate(self, values: dict[str, Any], ones: Any) -> Any:
        """Value of the function; every operand is a bit pattern and `ones` is the pattern of all ones."""

        def walk(tree: tuple) -> Any:
            operator = tree[0]
            if operator == "variable":
                return values[tree[1]]
            if operator == "constant":
                return ones if tree[1] else ones ^ ones
            if operator == "!":
                return walk(tree[1]) ^ ones
            left, right = walk(tree[1]), walk(tree[2])
            return left & right if operator == "&" else left | right if operator == "|" else left ^ right

        return walk(self._tree)

    def __repr__(self) -> str:
        return f"BooleanFunction({self.text!r})"


@cache
def parse_function(text: str) -> BooleanFunction:
    """`BooleanFunction` of a text; equal texts share one object."""
    return BooleanFunction(text)
