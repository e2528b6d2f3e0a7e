"""Whether the windows of a diffusion model show: the field's change across their borders, against elsewhere.

    python bench/diffusion_windows.py --bundle out/toy-bundles/toy-harmovid [--frames 400] [--window 33] [--overlap 8]

The shot is sampled twice, in windows and in one window, and both answers are compared at the same places: a shot's own
motion and the VAE's step from one latent to the next make a field change whether there are windows or not. The
ratio is that of change in windows to change in one window at the borders, over the same ratio elsewhere;
at most 1.2. `python -m harmovid_export.toy` makes the bundle.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Dict, Set

import numpy as np
from support.diffusion import Array, answers_of, border_changes, mean_stops, open_engine, shot_proxies

TARGET = 1.2


def means(change: Array, borders: Set[int], temporal: int) -> Dict[str, float]:
    """Return the mean change at the borders, at other steps between latents, and inside latents."""
    places = np.arange(len(change))
    border = np.isin(places, sorted(borders))
    step = (places % temporal == 0) & ~border
    return {
        "borders": float(change[border].mean()), "other steps between latents": float(change[step].mean()),
        "inside latents": float(change[~border & ~step].mean()), "elsewhere": float(change[~border].mean()),
    }  # fmt: skip


def main() -> None:
    """Print both answers' changes in stops and the ratio; one JSON line last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=Path("out/toy-bundles/toy-harmovid"))
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--window", type=int, default=33)
    parser.add_argument("--overlap", type=int, default=8)
    given = parser.parse_args()
    if not given.bundle.is_dir():
        print(f"{given.bundle} is not there: python -m harmovid_export.toy makes the toy's bundles")
        return
    engine = open_engine(given.bundle)
    proxies = shot_proxies(engine, given.frames)
    borders = border_changes(engine, given.frames, given.window, given.overlap)
    whole = engine._description.legal_frames(given.frames)
    found = {}
    for name, options in (
        ("windows", {"window": given.window, "overlap": given.overlap}), ("one window", {"window": whole}),
    ):  # fmt: skip
        stops = mean_stops(answers_of(engine, proxies, **options), proxies)
        change = np.abs(np.diff(stops, axis=0)).mean(axis=1)
        found[name] = means(change, borders, engine._description.temporal)
        print(f"{name:<11} " + ", ".join(f"{what} {value:.5f}" for what, value in found[name].items()))
    shares = {place: found["windows"][place] / found["one window"][place] for place in found["windows"]}
    ratio = shares["borders"] / shares["elsewhere"]
    print(
        f"{engine.info.name}, {given.frames} frames, windows of {given.window} that share {given.overlap}, "
        f"{len(borders)} borders: ratio {ratio:.3f} of at most {TARGET}; without the comparison with one window "
        f"{found['windows']['borders'] / found['windows']['elsewhere']:.2f}"
    )
    print(json.dumps({
        "bench": "diffusion_windows", "engine": engine.info.name, "frames": given.frames, "window": given.window,
        "overlap": given.overlap, "borders": len(borders), "stops": found, "ratio": ratio, "target": TARGET,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
