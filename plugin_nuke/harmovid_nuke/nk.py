"""Text of Nuke scripts: values as Tcl words, expressions, curves, nodes and Groups.

    word("a [b]")                       # "a \\[b]" in quotes
    expression("parent.strength * 2")   # {{"parent.strength * 2"}}
    curve([(1001, 0.1), (1002, 0.2)])   # {{curve x1001 0.1 x1002 0.2}}
    script([NkNode("Blur", {"size": "10"})])

A `.nk` file is Tcl: one command per node, whose body lists knobs and their values. Nodes take inputs from a stack: the
last one pushed is input 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

_PLAIN = re.compile(r"[A-Za-z0-9_./:%#@,+*=<>-]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "[": "\\[", "]": "\\]", "{": "\\{", "}": "\\}", "$": "\\$", "\n": "\\n"}
Key = Tuple[float, float]
"""Frame and value."""


@dataclass
class NkNode:
    """One node of a script.

    Attributes:
        cls: the node's class, as "Blur".
        knobs: knob name to its value as script text (`word`, `expression`, `curve`), in order.
        inputs: names of nodes of the same script, input 0 first; None where nothing is connected.
        user: `addUserKnob` bodies, each followed by the knob's value line where it has one.
        inside: the nodes of a Group.
    """

    cls: str
    knobs: Dict[str, str] = field(default_factory=dict)
    inputs: Sequence[Optional[str]] = ()
    user: Sequence[str] = ()
    inside: Sequence[NkNode] = ()

    @property
    def name(self) -> str:
        """The node's name."""
        return self.knobs["name"]


def word(text: str) -> str:
    """Return `text` as one quoted Tcl word in which nothing is evaluated."""
    if _PLAIN.fullmatch(text):
        return text
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'


def number(value: float) -> str:
    """Return a number as text that reads back as exactly the same value."""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def expression(*texts: str) -> str:
    """Return knob expressions, one per channel."""
    return "{" + " ".join('{"' + text.replace('"', '\\"') + '"}' for text in texts) + "}"


def curve(*channels: Sequence[Key], steps: bool = False) -> str:
    """Return animation curves, one per channel; `steps` holds each value until the next key.

    A channel without keys is the constant 0.
    """
    return "{" + " ".join(_one_curve(keys, steps) for keys in channels) + "}"


def _one_curve(keys: Sequence[Key], steps: bool) -> str:
    if not keys:
        return "0"
    parts = [f"x{number(frame)} {number(value)}" for frame, value in keys]
    return "{curve " + ("K " if steps else "") + " ".join(parts) + "}"


def script(nodes: Iterable[NkNode]) -> str:
    """Return the script text of these nodes and their connections."""
    return "\n".join(_node_lines(list(nodes), "")) + "\n"


def _node_lines(nodes: Sequence[NkNode], indent: str) -> List[str]:
    lines: List[str] = []
    wanted = {name for node in nodes for name in node.inputs if name is not None}
    for node in nodes:
        # The last one pushed becomes input 0.
        lines += [f"{indent}push {'0' if name is None else '$N_' + name}" for name in reversed(node.inputs)]
        lines += [f"{indent}{node.cls} {{", *_body(node, indent + " "), f"{indent}}}"]
        if node.inside:
            lines += [*_node_lines(node.inside, indent + " "), f"{indent}end_group"]
        if node.knobs.get("name") in wanted:
            lines.append(f"{indent}set N_{node.name} [stack 0]")
    return lines


def _body(node: NkNode, indent: str) -> List[str]:
    lines = [] if len(node.inputs) == 1 else [f"{indent}inputs {len(node.inputs)}"]
    lines += [f"{indent}{name} {value}" for name, value in node.knobs.items()]
    return lines + [f"{indent}{line}" for line in node.user]
