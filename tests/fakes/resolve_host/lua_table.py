"""The tables of Fusion's files: `Kind { name = value, ["name"] = value, value }`, as far as compositions need them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Tuple

_TOKENS = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*(?:(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<number>-?\d+\.?\d*(?:[eE][-+]?\d+)?)|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign>[{}\[\]=,;()]))"
)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_WORDS = {"true": True, "false": False, "nil": None}


@dataclass
class Table:
    """A table, with the name of what it makes before it; `items` are the values without a name."""

    kind: str = ""
    fields: Dict[str, Any] = field(default_factory=dict)
    items: List[Any] = field(default_factory=list)


def parse(text: str) -> Table:
    """Return the table that a file is.

    Raises:
        ValueError: it is none; a comma that is missing is enough.
    """
    tokens = _tokens(text)
    value, place = _value(tokens, 0)
    if not isinstance(value, Table) or place != len(tokens):
        raise ValueError("the file is not one table")
    return value


def _tokens(text: str) -> List[Tuple[str, str]]:
    found, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKENS.match(text, place)
        if match is None:
            raise ValueError(f"what is {text[place : place + 20]!r}?")
        found.append((str(match.lastgroup), match[match.lastgroup or 0]))
        place = match.end()
    return found


def _value(tokens: List[Tuple[str, str]], place: int) -> Tuple[Any, int]:
    kind, text = _at(tokens, place)
    if kind == "number":
        return float(text) if re.search(r"[.eE]", text) else int(text), place + 1
    if kind == "text":
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1]), place + 1
    if kind == "word" and text in _WORDS:
        return _WORDS[text], place + 1
    name = ""
    if kind == "word":
        name, place = text, place + 1
        if _at(tokens, place)[1] == "(":
            place += 2
    if _at(tokens, place)[1] != "{":
        raise ValueError(f"no table after {name!r}")
    return _table(tokens, place + 1, name)


def _table(tokens: List[Tuple[str, str]], place: int, name: str) -> Tuple[Table, int]:
    table = Table(name)
    while _at(tokens, place)[1] != "}":
        key, place = _key(tokens, place)
        value, place = _value(tokens, place)
        if key is None:
            table.items.append(value)
        else:
            table.fields[key] = value
        if _at(tokens, place)[1] in ",;":
            place += 1
        elif _at(tokens, place)[1] != "}":
            raise ValueError(f"no comma before {_at(tokens, place)[1]!r}")
    return table, place + 1


def _key(tokens: List[Tuple[str, str]], place: int) -> Tuple[Any, int]:
    if _at(tokens, place)[1] == "[":
        key, _ = _value(tokens, place + 1)
        return str(key), place + 4
    if _at(tokens, place)[0] == "word" and _at(tokens, place + 1)[1] == "=":
        return _at(tokens, place)[1], place + 2
    return None, place


def _at(tokens: List[Tuple[str, str]], place: int) -> Tuple[str, str]:
    if place >= len(tokens):
        raise ValueError("the file ends within a table")
    return tokens[place]


def written(value: Any, indent: str = "") -> str:
    """Return a value as Fusion writes it."""
    if isinstance(value, Table):
        inner = indent + "\t"
        named = [
            f"{inner}{_written_key(key)} = {written(each, inner)}," for key, each in value.fields.items()
        ]
        plain = [f"{inner}{written(each, inner)}," for each in value.items]
        head = f"{value.kind} {{" if value.kind else "{"
        return "\n".join([head, *named, *plain, indent + "}"])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return "nil" if value is None else repr(value)


def _written_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_]\w*", key) else f'["{key}"]'
