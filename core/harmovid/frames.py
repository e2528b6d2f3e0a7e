"""Frame ranges and file patterns, as compositors write them.

    frames = FrameRange.parse("1001-1100x2,1150")      # 1001, 1003, ... 1099, 1150
    plate = FramePattern.parse("shots/plate.####.exr")
    plate.path(1001)                                   # "shots/plate.1001.exr"
    plate.existing()                                   # the FrameRange of the files that are there

Ranges: numbers, `first-last` and `first-lastxstep`, separated by commas; numbers may be negative (`-5--1`);
overlaps are merged. Patterns: `####` (one # per digit, as in Nuke), `%04d` or `%d`, `@@@` (one @ per
digit), `$F4` or `$F` (Houdini), once, in the file name. A name without any of these is a single file that
is used for every frame.
"""

from __future__ import annotations

import difflib
import os
import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Optional, Sequence

from harmovid.errors import PatternError
from harmovid.sequences import find, numbered

# 11.5 hours at 24 frames/s: a longer range is a typing error, not a shot.
MAX_FRAMES = 1_000_000
LISTED_NAMES = 20_000
_SEPARATORS = ("", ".", "_", "-", " ")
MIN_NUMBER, MAX_NUMBER = -(2**31), 2**31 - 1
_PART = re.compile(r"(-?[0-9]+)(?:-(-?[0-9]+)(?:x([0-9]+))?)?")


class FrameRange(Sequence[int]):
    """Frame numbers in ascending order, each once. Equal if the numbers are equal; `str` gives the text form."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        """Take any numbers in any order.

        Raises:
            PatternError: more than `MAX_FRAMES`, or a number beyond 32 bits.
        """
        self._numbers = tuple(sorted(set(numbers)))
        if len(self._numbers) > MAX_FRAMES:
            raise _too_many(len(self._numbers))
        if self._numbers and not MIN_NUMBER <= self._numbers[0] <= self._numbers[-1] <= MAX_NUMBER:
            raise PatternError("a frame number is beyond 32 bits.", fix="Use numbers up to 2147483647.")

    @classmethod
    def parse(cls, text: str) -> FrameRange:
        """Read the text form.

        Raises:
            PatternError: the text is empty, malformed, reversed or too long; the message names the part.
        """
        numbers: List[int] = []
        for part in text.split(","):
            segment = _segment(part.strip(), text)
            if len(numbers) + len(segment) > 2 * MAX_FRAMES:  # limits the memory before overlaps are merged
                raise _too_many(len(numbers) + len(segment))
            numbers.extend(segment)
        return cls(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 (int or slice, as a tuple)
        return self._numbers[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.nearest(number) == number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameRange) and self._numbers == other._numbers

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        return f"FrameRange({str(self)!r})"

    def __str__(self) -> str:
        return ",".join(_compact(self._numbers))

    def nearest(self, number: int) -> Optional[int]:
        """Return the frame nearest to `number` (the lower of two equally near), or None when empty."""
        index = bisect_left(self._numbers, number)
        around = self._numbers[max(index - 1, 0) : index + 1]
        return min(around, key=lambda one: (abs(one - number), one)) if around else None


def _too_many(count: int) -> PatternError:
    return PatternError(f"{count} frames are asked for.", fix=f"At most {MAX_FRAMES} make a range.")


def _segment(part: str, text: str) -> range:
    match = _PART.fullmatch(part)
    if not match:
        raise PatternError(
            f"frame range {_shorten(text)!r} cannot be read at {_shorten(part)!r}.",
            fix="Write frames like 1001-1100, 1001-1100x2 or 1001,1005.",
        )
    # Python refuses to convert thousands of digits.
    if any(len(digits) > 12 for digits in match.groups() if digits):
        raise PatternError(
            f"frame range has the number {_shorten(part)!r}.", fix="Use numbers up to 2147483647."
        )
    first = int(match.group(1))
    last = int(match.group(2)) if match.group(2) else first
    step = int(match.group(3)) if match.group(3) else 1
    if last < first:
        raise PatternError(f"frame range {part!r} runs backwards.", fix=f"Write {last}-{first}.")
    if step < 1:
        raise PatternError(f"frame range {part!r} has the step 0.", fix="The step is 1 or more.")
    return range(first, last + 1, step)


def _compact(numbers: Sequence[int]) -> Iterator[str]:
    index = 0
    while index < len(numbers):
        end = index + 1
        step = numbers[end] - numbers[index] if end < len(numbers) else 1
        while end < len(numbers) and numbers[end] - numbers[end - 1] == step:
            end += 1
        run = f"{numbers[index]}-{numbers[end - 1]}" + (f"x{step}" if step > 1 else "")
        # -10,1,12 is shorter than -10-12x11; from four numbers on the range form is never longer.
        if end - index <= 3 and len(run) > len(",".join(map(str, numbers[index:end]))):
            yield str(numbers[index])
            index += 1
        else:
            yield run
            index = end


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


# The placeholders in order of priority: with `####` in a name, an `@` in it is an ordinary letter.
_PLACEHOLDERS = (
    re.compile(r"#+"),
    re.compile(r"%(?P<digits>0[0-9]+)?d"),
    re.compile(r"\$F(?P<digits>[0-9]*)"),
    re.compile(r"@+"),
)


@dataclass(frozen=True)
class FramePattern:
    """The paths of one layer's frames: `folder` + separator, `prefix`, the number, `suffix`.

    `width` is the number's padding (1: none), or None for one file that is used for every frame.
    """

    text: str
    folder: str
    prefix: str
    suffix: str
    width: Optional[int]

    @classmethod
    def parse(cls, text: str) -> FramePattern:
        """Parse a pattern without looking at the disk.

        Raises:
            PatternError: no file name, more than one placeholder, or an unsupported form (`*`, `[1-10]`).
        """
        cut = max(text.rfind("/"), text.rfind("\\")) + 1  # both separators: hosts on Windows mix them
        folder, name = text[:cut], text[cut:]
        if not name or "\0" in text:
            raise PatternError(f"{_shorten(text)!r} has no file name.", fix="Write it like plate.####.exr.")
        for placeholder in _PLACEHOLDERS:
            found = list(placeholder.finditer(name))
            if len(found) > 1:
                raise PatternError(
                    f"{name!r} has more than one place for the frame number.",
                    fix="Leave one, like plate.####.exr.",
                )
            if found:
                return cls(text, folder, name[: found[0].start()], name[found[0].end() :], _width(found[0]))
        _refuse_other_forms(name)
        return cls(text, folder, name, "", None)

    @classmethod
    def single(cls, path: str) -> FramePattern:
        """Return one file that stands for every frame, whatever its name looks like."""
        cut = max(path.rfind("/"), path.rfind("\\")) + 1
        return cls(path, path[:cut], path[cut:], "", None)

    @property
    def is_single(self) -> bool:
        """Whether this is one file that stands for every frame."""
        return self.width is None

    def name(self, frame: int) -> str:
        """Return the file name of `frame`; numbers wider than the padding are written in full."""
        if self.width is None:
            return self.prefix
        return f"{self.prefix}{frame:0{self.width}d}{self.suffix}"

    def path(self, frame: int) -> str:
        """Return the path of `frame`'s file, with the folder as it was given."""
        return self.folder + self.name(frame)

    def existing(self) -> FrameRange:
        """Return the frames that have a file now. A single file counts as the number in its name, or as 1.

        Raises:
            PatternError: the folder cannot be read.
        """
        if self.width is None:
            return FrameRange([self._own_number()] if os.path.isfile(self.path(0)) else [])
        return FrameRange(n for n in map(self.number_in, _names(self.folder)) if n is not None)

    def number_in(self, name: str) -> Optional[int]:
        """Return the frame number in a file name, or None when this pattern would not write that name."""
        end = len(name) - len(self.suffix)
        if self.width is None or not name.startswith(self.prefix) or not name.endswith(self.suffix):
            return None
        digits = name[len(self.prefix) : end]
        if not re.fullmatch(r"-?[0-9]{1,10}", digits) or self.name(int(digits)) != name:
            return None
        return int(digits) if MIN_NUMBER <= int(digits) <= MAX_NUMBER else None

    def files(self) -> Dict[int, str]:
        """Return the file name of each frame that is there.

        If a frame has no file of the exact name, a file with another padding or sign is taken (`p.-0001.exr`, `p.2.exr`
        for `p.####.exr`), as other programs write them.

        Raises:
            PatternError: the folder cannot be read.
        """
        if self.width is None:
            return dict.fromkeys(self.existing(), self.prefix)
        names = sorted(_names(self.folder))
        found = {number: name for name in names for number in [self.number_in(name)] if number is not None}
        for name in names:
            number = self._spelt_otherwise(name)
            if number is not None:
                found.setdefault(number, name)
        return found

    def found(self) -> FrameRange:
        """Return the frames of the sequence: files of the exact name, and files with another padding that join them.

        A file with another padding or sign belongs to the sequence if its number lies within it or continues it at
        either end; otherwise it is another sequence. If no file has the exact name, all of `files` are returned.
        """
        files, proper = self.files(), self.existing()
        if self.width is None or not proper:
            return FrameRange(files)
        first, last = proper[0], proper[-1]
        while first - 1 in files:
            first -= 1
        while last + 1 in files:
            last += 1
        return FrameRange(number for number in files if first <= number <= last)

    def near_misses(self) -> List[str]:
        """Return the names in the folder that differ from this pattern's only in padding, sign or case, by number.

        Fractional frames are included (`p.0001.5.exr`).

        Raises:
            PatternError: the folder cannot be read.
        """
        if self.width is None:
            return []
        numbers = {name: self._nearly(name) for name in _names(self.folder)}
        found = {name: number for name, number in numbers.items() if number is not None}
        return sorted(found, key=lambda name: (found[name], name))

    def _spelt_otherwise(self, name: str) -> Optional[int]:
        """Return the number in a name that differs from this pattern's in padding or sign alone."""
        if not name.startswith(self.prefix) or not name.endswith(self.suffix):
            return None
        digits = name[len(self.prefix) : len(name) - len(self.suffix)]
        return int(digits) if re.fullmatch(r"[+-]?[0-9]{1,10}", digits) else None

    def _nearly(self, name: str) -> Optional[int]:
        """Return the number, rounded down, in a name that is almost one of this pattern's."""
        prefix, suffix, plain = self.prefix.casefold(), self.suffix.casefold(), name.casefold()
        if not plain.startswith(prefix) or not plain.endswith(suffix) or self.number_in(name) is not None:
            return None
        digits = plain[len(prefix) : len(plain) - len(suffix)]
        # "p.0001.5.exr" is a fractional frame, but "p2.0001.exr" is another sequence than p####.exr.
        form = r"([+-]?[0-9]{1,10})(?:[.][0-9]+)?" if prefix[-1:] in _SEPARATORS else r"([+-]?[0-9]{1,10})"
        match = re.fullmatch(form, digits)
        return int(match.group(1)) if match else None

    def expand(self, wanted: Optional[FrameRange] = None) -> FrameRange:
        """Return `wanted` unchanged, or all existing frames if it is None.

        Raises:
            PatternError: no frame exists; the message names similar files.
        """
        found = self.existing()
        if not found:
            raise PatternError(f"no file fits {self.text}.", fix=self.hint())
        return found if wanted is None else wanted

    def hint(self) -> str:
        """Return a sentence that names the sequences in the folder that are most similar to this pattern."""
        folder = self.folder or "."
        if not os.path.isdir(folder):
            return f"There is no folder {folder}."
        if os.path.isdir(self.path(0)):
            return f"{self.text} is a folder; add the file name, like {self.text}/plate.####.exr."
        sequences = sequences_in(folder)
        if not sequences:
            return f"The folder {folder} holds no numbered files."
        alike = difflib.get_close_matches(self.prefix + self.suffix, sequences, n=3, cutoff=0.0)
        return "Did you mean " + " or ".join(f"{name} (frames {sequences[name]})" for name in alike) + "?"

    def _own_number(self) -> int:
        match = numbered(self.prefix)
        return int(match.group("number")) if match else 1


def _width(placeholder: re.Match[str]) -> int:
    if placeholder.re.pattern[0] in "#@":
        return len(placeholder.group())
    width = int(placeholder.group("digits") or 1)
    if not 1 <= width <= 20:
        raise PatternError(f"{placeholder.group()!r} asks for {width} digits.", fix="Write #### or %04d.")
    return width


def _refuse_other_forms(name: str) -> None:
    if re.search(r"[*?]|\[-?\d+-+\d+\]|%\d*d|\{.*\}", name):
        raise PatternError(
            f"{name!r} is not a frame pattern that is read here.",
            fix="Write #### or %04d for the number, and the frames apart, like 1001-1100.",
        )


def _names(folder: str) -> List[str]:
    try:
        return os.listdir(folder or ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PatternError(f"the folder {folder or '.'} cannot be read: {error.strerror}.") from error


def sequences_in(folder: str) -> Dict[str, FrameRange]:
    """Return a folder's sequences as a dict from pattern (without folder) to frames; reads at most 20,000 names."""
    return {pattern: FrameRange(numbers) for pattern, numbers in find(_names(folder)[:LISTED_NAMES]).items()}
