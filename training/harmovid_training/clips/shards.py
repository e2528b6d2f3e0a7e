"""A set of clips shared by several processes that do not communicate.

Each process takes its share of the index and writes a part; the one that finds all parts written joins them.

    shard = Shard.parse("3/8")                            # or from the launcher's RANK and WORLD_SIZE
    shard.finish(out / "clips.jsonl", order, clips, rejected)

A clip that cannot be used does not end the run: it is listed in `rejected.jsonl` with the reason.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Sequence, TypeVar

from harmovid.errors import HarmoVidError, OptionError
from tqdm import tqdm

from harmovid_training.clips.index import Clip, read_index, write_index
from harmovid_training.files import save_text

T = TypeVar("T")
REJECTED = "rejected.jsonl"


@dataclass(frozen=True)
class Rejected:
    """A clip that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Shard:
    """Share `number`, counted from 0, of `count`."""

    number: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the share that `3/8` names, counted from 1, or all; a launcher's processes divide it among themselves.

        Raises:
            OptionError: no such share.
        """
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if not text:
            return cls(rank, world)
        first, _, second = text.partition("/")
        if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
            raise OptionError(f"there is no share {text!r}.", fix="Write it as 1/8 to 8/8.")
        return cls((int(first) - 1) * world + rank, int(second) * world)

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return this share of the items."""
        return items[self.number :: self.count]

    def part(self, path: Path) -> Path:
        """Return the file of this share: `clips.3-of-8.jsonl` for `clips.jsonl`; `path` itself for a single share."""
        return _part(path, self.number, self.count)

    def finish(
        self, path: Path, order: Sequence[str], clips: Iterable[Clip], rejected: Iterable[Rejected]
    ) -> bool:
        """Write this share's index and rejected clips; return whether all shares were there and have been joined.

        Args:
            path: of the joined index.
            order: the ids of all shares in the order of the joined index.
        """
        write_index(self.part(path), clips)
        save_text(self.part(path.with_name(REJECTED)), "".join(_json_line(one) for one in rejected))
        parts = [_part(path, number, self.count) for number in range(self.count)]
        if not all(part.is_file() for part in parts):
            return False
        if self.count > 1:
            known = {clip.id: clip for part in parts for clip in read_index(part).clips}
            write_index(path, [known[name] for name in order if name in known])
            left = [_part(path.with_name(REJECTED), number, self.count) for number in range(self.count)]
            save_text(path.with_name(REJECTED), "".join(one.read_text(encoding="utf-8") for one in left))
        return True


def each_or_rejected(
    items: Sequence[T], name: Callable[[T], str], make: Callable[[T], Clip], task: str = "", workers: int = 1
) -> tuple[list[Clip], list[Rejected]]:
    """Return the results of `make` over the items in their order, and the items for which it failed, which are told.

    Args:
        task: for the progress bar; there is none without it.
        workers: threads that make clips side by side.
    """

    def attempt(item: T) -> Clip | Rejected:
        try:
            return make(item)
        except (HarmoVidError, OSError) as error:
            return Rejected(name(item), str(error))

    clips, rejected = [], []
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        # One worker is this thread: another one has the first GPU as its own, not this process's.
        results = pool.map(attempt, items) if workers > 1 else map(attempt, items)
        for made in tqdm(results, desc=task, total=len(items), disable=not task):
            if isinstance(made, Rejected):
                sys.stderr.write(f"{made.id} was left out: {made.reason}\n")
                rejected.append(made)
            else:
                clips.append(made)
    return clips, rejected


def _part(path: Path, number: int, count: int) -> Path:
    return path if count == 1 else path.with_name(f"{path.stem}.{number + 1}-of-{count}{path.suffix}")


def _json_line(one: Rejected) -> str:
    return json.dumps({"id": one.id, "reason": one.reason}) + "\n"
