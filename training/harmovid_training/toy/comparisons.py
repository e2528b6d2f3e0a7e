"""Which rows of the toy's tables are compared, by their names, and the bars that its networks should reach.

Rows are compared clip by clip, so that an interval is that of the difference (`intervals.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Collection, Iterator, Mapping, Sequence

import numpy as np

from harmovid_training.toy.classical import COLUMNS
from harmovid_training.toy.intervals import interval

Rows = Mapping[str, Sequence[Sequence[float]]]
"""Of one table: for each method a row of `COLUMNS` per clip."""

LUTS = "Table 2 in small: per-frame LUT"
STAGE_ONE = "Table 2 in small: per-frame harmonization"
STAGES = "Table 3 in small: what each stage gives"
STRONG, MILD = "One look of at least a stop", "One look that is mild"
STEPS = "Steps"
TITLES = (LUTS, STAGE_ONE, STAGES, STRONG, MILD, STEPS)
"""Of all tables of rendered clips; a run writes them in this order."""

FULL, NO_TWO, NO_THREE = "full", "without stage 2", "without stage 3: stage 1 + deflicker network"
ONCE, PAPERS = "one step", "paper's loss"
NO_OP, GIVEN = "no-op", "composite as it is"
CLASSICAL = "classical (mean and deviation)"
ENGINE = "our deflicker engine"
NETWORK = "deflicker network"

HIGHER = ("PSNR", "PSNR-g", "SSIM")
"""Columns in which more is better; in the others less is."""


def compared(names: Collection[str]) -> list[tuple[str, str]]:
    """Return the pairs of rows whose differences a table shows: deflicker networks and no change, classical methods and
    the one-step deflicker network; the full recipe, and its ablations and its input, for each loss."""
    found = [(name, NO_OP) for name in names if NO_OP in names and name.endswith(", field")]
    network = f"{NETWORK}, {ONCE}, field"
    found += [(name, network) for name in (CLASSICAL, ENGINE) if {name, network} <= set(names)]
    for loss, kind in product((ONCE, PAPERS), ("field", "confident")):
        full = f"{FULL}, {loss}, {kind}"
        others = [f"{name}, {loss}, {kind}" for name in (NO_THREE, NO_TWO)]
        found += [(full, other) for other in [*others, GIVEN] if {full, other} <= set(names)]
    return found


@dataclass(frozen=True)
class Bar:
    """A difference of two rows that should be reached.

    Attributes:
        text: for people.
        title: of the table.
        row, other: whose difference counts.
        column: of `COLUMNS`.
        least: the smallest gain, in the column's unit, positive being better.
        beyond: whether the whole interval has to lie above it; otherwise the mean, as printed, has to be no lower.
    """

    text: str
    title: str
    row: str
    other: str
    column: str
    least: float = 0.0
    beyond: bool = True

    def gains(self, tables: Mapping[str, Rows]) -> np.ndarray:
        """Return the gain of each clip."""
        place, rows = COLUMNS.index(self.column), tables[self.title]
        change = np.array(rows[self.row])[:, place] - np.array(rows[self.other])[:, place]
        return change if self.column in HIGHER else -change


def bars(loss: str = ONCE) -> Iterator[Bar]:
    """Yield the bars, for the one-step networks or those of the paper's loss.

    The stages are compared by the networks' fields, a change for each frame, and by their answers, one change for the
    clip (`confidence.py`). Answers flicker no more than their input whatever the network does, and the confidence,
    fitted for each network, may differ by more than the networks do.
    """
    network = f"{NETWORK}, {loss}, field"
    for title, told in ((LUTS, "LUTs"), (STAGE_ONE, "stage 1's clips")):
        for column in ("PSNR", "flicker"):
            yield Bar(f"deflicker network ahead of no change, {told}", title, network, NO_OP, column)
    for kind in ("field", "confident"):
        full = f"{FULL}, {loss}, {kind}"
        for name, told in ((NO_THREE, "without stage 3"), (NO_TWO, "without stage 2")):
            for column in ("flicker", "PSNR", "stops"):
                yield Bar(f"{kind}: full ahead of {told}", STAGES, full, f"{name}, {loss}, {kind}", column)
        yield Bar(f"{kind}: full not below its input", STAGES, full, GIVEN, "PSNR-g", beyond=False)
        if loss == ONCE:
            yield Bar(f"{kind}: one look of a stop, full ahead of its input", STRONG, full, GIVEN, "PSNR")
            yield Bar(
                f"{kind}: one mild look, harm of at most 0.5 dB", MILD, full, GIVEN, "PSNR", -0.5, False
            )


def bars_table(seeds: Sequence[Mapping[str, Rows]]) -> str:
    """Return the bars as Markdown: the mean gain over clips with its interval, that of each seed, and whether it is
    reached. A clip's gain is its mean over the seeds."""
    lines = ["| bar | column | loss | gain | of each seed | reached |", "|---" * 6 + "|"]
    for loss in (ONCE, PAPERS):
        for bar in bars(loss):
            every = np.stack([bar.gains(tables) for tables in seeds])
            mean, low, high = interval(every.mean(0))
            digits = 2 if bar.column.startswith("PSNR") else 3
            reached = low > bar.least if bar.beyond else round(mean, digits) >= bar.least
            each = ", ".join(f"{value:.{digits}f}" for value in every.mean(1))
            lines.append(
                f"| {bar.text} | {bar.column} | {loss} | {mean:.{digits}f} ({low:.{digits}f}, {high:.{digits}f}) "
                f"| {each} | {'yes' if reached else '**no**'} |"
            )
    return "\n".join(lines) + "\n"
