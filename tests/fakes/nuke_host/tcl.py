"""The part of Tcl that Nuke scripts use: commands made of words, quotes, braces, escapes, comments.

    for words in commands(text): ...        # [Word("Blur"), Word(" size 10 ", braces)]
    elements("{a b} c")                     # ["a b", "c"], as a Tcl list

Nothing is substituted: `$name` and `[stack 0]` in bare words are returned unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

BARE, QUOTED, BRACED = "bare", "quoted", "braced"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class TclError(ValueError):
    """A script that Tcl would refuse."""


@dataclass(frozen=True)
class Word:
    """One word: its text, quotes and braces removed, and how it was written."""

    text: str
    kind: str = BARE

    def __str__(self) -> str:
        return self.text


def commands(text: str) -> List[List[Word]]:
    """Return the commands of a script, each as its words.

    Raises:
        TclError: a quote, a brace or a bracket is not closed.
    """
    found: List[List[Word]] = []
    words: List[Word] = []
    at = 0
    while at < len(text):
        letter = text[at]
        if letter in "\n;":
            found, words, at = ([*found, words] if words else found), [], at + 1
        elif letter.isspace():
            at += 1
        elif text.startswith("\\\n", at):
            at += 2
        elif letter == "#" and not words:
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            word, at = _word(text, at)
            words.append(word)
    return [*found, words] if words else found


def elements(text: str) -> List[str]:
    """Return the elements of a Tcl list."""
    return [word.text for command in commands(text.replace("\n", " ")) for word in command]


def _word(text: str, at: int) -> Tuple[Word, int]:
    if text[at] == "{":
        end = _closing(text, at)
        return Word(text[at + 1 : end], BRACED), end + 1
    if text[at] == '"':
        return _quoted(text, at + 1)
    return _bare(text, at)


def _closing(text: str, at: int) -> int:
    """Return where the brace that opens at `at` closes."""
    depth, place = 0, at
    while place < len(text):
        if text[place] == "\\":
            place += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
        place += 1
    raise TclError(f"a brace is not closed: {text[at : at + 40]!r}")


def _quoted(text: str, at: int) -> Tuple[Word, int]:
    letters: List[str] = []
    while at < len(text):
        if text[at] == '"':
            return Word("".join(letters), QUOTED), at + 1
        letter, at = _letter(text, at)
        letters.append(letter)
    raise TclError("a quote is not closed")


def _bare(text: str, at: int) -> Tuple[Word, int]:
    letters: List[str] = []
    depth = 0
    while at < len(text) and (depth or not (text[at].isspace() or text[at] == ";")):
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        letter, at = _letter(text, at)
        letters.append(letter)
    if depth > 0:
        raise TclError("a bracket is not closed")
    return Word("".join(letters)), at


def _letter(text: str, at: int) -> Tuple[str, int]:
    if text[at] != "\\" or at + 1 >= len(text):
        return text[at], at + 1
    if text[at + 1] == "\n":
        return " ", at + 2
    return _ESCAPES.get(text[at + 1], text[at + 1]), at + 2
