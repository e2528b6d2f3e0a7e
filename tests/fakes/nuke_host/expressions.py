"""Nuke's knob and pixel expressions, as far as the nodes here use them, over numbers or arrays.

    value = evaluate("a > 0 ? pow(2, parent.trim) : 1", names)      # names("a"), names("parent.trim")

`names` gives a number, or an array where the name is a channel; the answer is then an array. Arithmetic is in double
precision. Both sides of a conditional are evaluated, as in SIMD code.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any, Callable, Dict, List, Sequence, Tuple

Names = Callable[[str], Any]
Tree = Tuple[Any, ...]
_TOKEN = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)|([A-Za-z_][\w.]*)|(\|\||&&|[<>=!]=|[-+*/%?:(),<>!]))"
)
_LEVELS: Sequence[Sequence[str]] = (
    ("||",),
    ("&&",),
    ("==", "!="),
    ("<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)


class ExpressionError(ValueError):
    """An expression that Nuke would mark as an error."""


def evaluate(text: str, names: Names) -> Any:
    """Return the value of an expression.

    Raises:
        ExpressionError: it cannot be read, or names something unknown.
    """
    return _value(parse(text), names)


@functools.lru_cache(maxsize=512)
def parse(text: str) -> Tree:
    """Return the expression as nested tuples."""
    reader = _Reader(text)
    tree = reader.choice()
    if reader.tokens:
        raise ExpressionError(f"{text!r} goes on after its end: {reader.tokens[0]}")
    return tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: List[str] = []
        self._text, at = text, 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise ExpressionError(f"{text!r} cannot be read at {text[at:]!r}")
            self.tokens.append(match.group().strip())
            at = match.end()

    def _take(self, *wanted: str) -> str:
        if not self.tokens or (wanted and self.tokens[0] not in wanted):
            raise ExpressionError(f"{self._text!r}: {wanted} is missing")
        return self.tokens.pop(0)

    def choice(self) -> Tree:
        condition = self._level(0)
        if not self.tokens or self.tokens[0] != "?":
            return condition
        self._take("?")
        yes = self.choice()
        self._take(":")
        return ("?", condition, yes, self.choice())

    def _level(self, level: int) -> Tree:
        if level == len(_LEVELS):
            return self._unary()
        left = self._level(level + 1)
        while self.tokens and self.tokens[0] in _LEVELS[level]:
            left = (self._take(), left, self._level(level + 1))
        return left

    def _unary(self) -> Tree:
        if self.tokens and self.tokens[0] in ("-", "!", "+"):
            return ("unary " + self._take(), self._unary())
        return self._atom()

    def _atom(self) -> Tree:
        word = self._take()
        if word == "(":
            inner = self.choice()
            self._take(")")
            return inner
        if word[0].isdigit() or word[0] == ".":
            return ("number", float(word))
        if not (word[0].isalpha() or word[0] == "_"):
            raise ExpressionError(f"{self._text!r}: {word!r} is out of place")
        return ("call", word, *self._arguments()) if self.tokens[:1] == ["("] else ("name", word)

    def _arguments(self) -> List[Tree]:
        self._take("(")
        found = [self.choice()]
        while self._take(",", ")") == ",":
            found.append(self.choice())
        return found


def _value(tree: Tree, names: Names) -> Any:
    kind = tree[0]
    if kind == "number":
        return tree[1]
    if kind == "name":
        return names(tree[1])
    if kind == "call":
        return _call(tree[1], [_value(each, names) for each in tree[2:]])
    return _OPERATORS[kind](*(_value(each, names) for each in tree[1:]))


def _call(name: str, values: List[Any]) -> Any:
    if name not in _FUNCTIONS:
        raise ExpressionError(f"there is no function {name}")
    return _FUNCTIONS[name](*values)


def _is_array(*values: Any) -> bool:
    return any(hasattr(value, "shape") for value in values)


def _on_arrays(array_name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that uses numpy's for arrays and `plain` for numbers (a host may have no numpy)."""

    def work(*values: Any) -> Any:
        if not _is_array(*values):
            return plain(*values)
        import numpy as np

        with np.errstate(all="ignore"):
            return getattr(np, array_name)(*values)

    return work


def _select(condition: Any, yes: Any, no: Any) -> Any:
    if not _is_array(condition):
        return yes if condition else no
    import numpy as np

    return np.where(np.asarray(condition) != 0, yes, no)


def _many(one: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *values: functools.reduce(one, values)


def _divide(one: float, other: float) -> float:
    return one / other if other else (math.nan if one == 0 else math.copysign(math.inf, one))


_minimum, _maximum = _on_arrays("minimum", min), _on_arrays("maximum", max)
_FUNCTIONS: Dict[str, Callable[..., Any]] = {
    "pow": _on_arrays("power", pow),
    "min": _many(_minimum),
    "max": _many(_maximum),
    "clamp": lambda value, low=0.0, high=1.0: _minimum(_maximum(value, low), high),
    "abs": _on_arrays("abs", abs),
    "exp": _on_arrays("exp", math.exp),
    "log": _on_arrays("log", math.log),
    "sqrt": _on_arrays("sqrt", math.sqrt),
    "int": _on_arrays("trunc", int),
}
_OPERATORS: Dict[str, Callable[..., Any]] = {
    "?": _select,
    "||": _on_arrays("logical_or", lambda x, y: bool(x) or bool(y)),
    "&&": _on_arrays("logical_and", lambda x, y: bool(x) and bool(y)),
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _on_arrays("divide", _divide),
    "%": _on_arrays("fmod", math.fmod),
    "unary -": lambda a: -a,
    "unary +": lambda a: a,
    "unary !": _on_arrays("logical_not", lambda x: not x),
}
