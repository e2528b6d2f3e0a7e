"""Scripts of the stand-in Nuke: text to nodes, nodes to text."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from fakes.nuke_host import tcl
from fakes.nuke_host.nodes import Group, Node, body_lines, make, read_body

_SILENT = ("version", "define_window_layout_xml", "add_layer", "add_format", "Layer")


def read(text: str, into: Group) -> List[Node]:
    """Make the nodes of a script in a Group (or the root), and return those of the outer level.

    Raises:
        TclError, ValueError: a script that Nuke would not open.
    """
    made: List[Node] = []
    stack: List[Optional[Node]] = []
    names: Dict[str, Optional[Node]] = {}
    outer: List[Any] = []  # open Groups, each with the stack of the level outside it
    for command in tcl.commands(text):
        verb, words = command[0].text, [word.text for word in command[1:]]
        if verb in _SILENT:
            continue
        if verb == "set":
            names[words[0]] = stack[-1] if words[1] == "[stack 0]" and stack else None
        elif verb == "push":
            stack.append(names[words[0][1:]] if words[0].startswith("$") else None)
        elif verb == "Root":
            read_body(into.host.root, _known(into.host.root, words[0]))
        elif verb == "end_group":
            node, stack, into = outer.pop()
            stack.append(node)
        else:
            node = _node(into, verb, words[0], stack)
            if not outer:
                made.append(node)
            if isinstance(node, Group):
                outer.append((node, stack[:-1], into))
                stack, into = [], node
    if outer:
        raise tcl.TclError("a Group is not closed")
    return made


def _known(root: Node, body: str) -> str:
    """Return the lines of a Root's body whose knobs are known here; others are ignored."""
    return "\n".join(line for line in body.splitlines() if line.split() and line.split()[0] in root.knobs_)


def _node(into: Group, cls: str, body: str, stack: List[Optional[Node]]) -> Node:
    node = make(into.host, cls, into)
    node._quiet = True
    read_body(node, body)
    node._quiet = False
    wanted = 1
    for words in tcl.commands(body):
        if words[0].text == "inputs":
            wanted = int(words[1].text.split("+")[0])
    if cls in ("Group",) or into.host.classes[cls]["inputs"] or wanted != 1:
        node.inputs_ = [stack.pop() if stack else None for _ in range(wanted)]
    stack.append(node)
    return node


def write(root: Group, nodes: Optional[List[Node]] = None) -> str:
    """Return the text of a script, or of some nodes of it."""
    lines: List[str] = []
    if nodes is None:
        lines += ["Root {", " inputs 0", *body_lines(root, " "), "}"]
    lines.append("add_layer {harmovid harmovid.red harmovid.green harmovid.blue}")
    _write(nodes if nodes is not None else root.nodes_, lines, "")
    return "\n".join(lines) + "\n"


def _write(nodes: List[Node], lines: List[str], indent: str) -> None:
    written: List[Node] = []
    for node in _sorted(nodes):
        for feeding in reversed(node.inputs_):
            known = feeding is not None and feeding in written
            lines.append(f"{indent}push " + (f"$N_{feeding.knobs_['name']._text}" if known else "0"))
        lines.append(f"{indent}{node.cls} {{")
        if len(node.inputs_) != 1:
            lines.append(f"{indent} inputs {len(node.inputs_)}")
        lines += [*body_lines(node, indent + " "), f"{indent}}}"]
        if isinstance(node, Group):
            _write(node.nodes_, lines, indent + " ")
            lines.append(f"{indent}end_group")
        lines.append(f"{indent}set N_{node.knobs_['name']._text} [stack 0]")
        written.append(node)


def _sorted(nodes: List[Node]) -> List[Node]:
    """Return the nodes sorted so that inputs come first, otherwise in their own order."""
    found: List[Node] = []

    def visit(node: Node) -> None:
        if node in found:
            return
        for feeding in node.inputs_:
            if feeding is not None and feeding in nodes:
                visit(feeding)
        found.append(node)

    for node in nodes:
        visit(node)
    return found


def load(host: Any, text: str) -> None:
    """Open a script in an empty host and run Nuke's callbacks."""
    made = read(text, host.root)
    for node in made:
        if node.knobs_["onCreate"]._text:
            host.run_script(node.knobs_["onCreate"]._text, node, None)
        host.call_back("onCreate", node)
    host.call_back("onScriptLoad", host.root)
