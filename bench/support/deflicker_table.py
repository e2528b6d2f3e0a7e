"""The table of `bench/deflicker.py`: a line per clip and test, means over clips, and the other measures."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np

from support.deflicker_compare import FFMPEG_PREFIX, ORACLE, OURS, Row

SHORT = {"ffmpeg deflicker": "deflicker", "ffmpeg tmidequalizer": "tmidequal"}
DETAILS = ("psnr", "ssim", "rmse", "stops", "warped", "rough", "rough_local", "detail")


def print_head(methods: Sequence[str]) -> None:
    """Print the names of the columns."""
    names = [SHORT.get(name, name) for name in (*methods, ORACLE, OURS)]
    print("psnr_g, dB; the last columns are the margins over the better ffmpeg filter and over the best peer")
    print(f"  {'clip':20s}{'test':11s}" + "".join(f"{name:>11s}" for name in names) + "   ffmpeg     peer")


def print_row(row: Row) -> None:
    """Print one clip and test."""
    numbers = "".join(f"{each['psnr_g']:11.2f}" for each in row.scores.values())
    mode = row.said.get("mode") or row.said.get("decision") or ""
    margins = _signed(row.margin) + _signed(row.margin_over_peers)
    print(
        f"  {row.clip[-19:]:20s}{row.test + f' {row.seed}':11s}{numbers}{margins}  {mode}"[:240], flush=True
    )


def print_means(rows: Sequence[Row], tuned_on: Sequence[str]) -> None:
    """Print the means over all clips, over those tuned on, and over the others, and the worst margin of each."""
    if len({row.clip for row in rows}) < 2:
        return
    tuned = [row for row in rows if any(name in row.clip for name in tuned_on)]
    held_out = [row for row in rows if row not in tuned]
    for kind, among in (("all clips", rows), ("tuned on", tuned), ("held out", held_out)):
        for test in dict.fromkeys(row.test for row in among):
            _print_mean(kind, [row for row in among if row.test == test])


def _print_mean(kind: str, rows: Sequence[Row]) -> None:
    numbers = [np.mean([row.scores[name]["psnr_g"] for row in rows]) for name in rows[0].scores]
    margins = [row.margin for row in rows if row.margin is not None]
    margin = float(np.mean(margins)) if margins else None
    over_noop = min(row.scores[OURS]["psnr_g"] - row.scores["no-op"]["psnr_g"] for row in rows)
    worst = f"  worst {min(margins):+.2f}, over no-op {over_noop:+.2f}" if margins else ""
    text = "".join(f"{number:11.2f}" for number in numbers)
    print(f"  {f'{kind} ({len(rows)})':20s}{rows[0].test:11s}{text}{_signed(margin)}{worst}")


def print_details(rows: Sequence[Row]) -> None:
    """Print the other measures, means over clips: no-op, the better ffmpeg filter, ours."""
    if not rows:
        return
    print("other measures, means over clips: no-op / better ffmpeg filter / " + OURS)
    for test in dict.fromkeys(row.test for row in rows):
        among = [row for row in rows if row.test == test]
        cells = [f"{name} {_three(among, name)}" for name in DETAILS]
        print(f"  {test:11s}" + "  ".join(cells))


def _three(rows: Sequence[Row], number: str) -> str:
    values: Dict[str, List[Any]] = {"no-op": [], FFMPEG_PREFIX: [], OURS: []}
    for row in rows:
        values["no-op"].append(row.scores["no-op"][number])
        values[OURS].append(row.scores[OURS][number])
        theirs = [each for name, each in row.scores.items() if name.startswith(FFMPEG_PREFIX)]
        if theirs:
            values[FFMPEG_PREFIX].append(max(theirs, key=lambda each: float(each["psnr_g"]))[number])
    digits = ".2f" if number == "psnr" else ".4f"
    return " / ".join(format(float(np.mean(each)), digits) if each else "-" for each in values.values())


def _signed(margin: float | None) -> str:
    return f"{'-':>9s}" if margin is None else f"{margin:+9.2f}"
