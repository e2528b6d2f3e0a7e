"""How well a lighting field transfers an answer from the proxy to the full plate, compared with simpler methods.

    python bench/field_fit.py [--lines 480] [--height 1080]

A textured plate with values to 8.0 is relit in three ways. The answer, at --lines height, is exact, quantised to 8
bits, or degraded like a generative model's (blurred, shifted, noisy). Each method transfers it to the plate. Columns:
PSNR in view space, PSNR on silhouettes, share of the fine texture kept, seconds to fit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fakes import relit  # the scene is shared with the tests
from harmovid.pixels.apply.fast import apply_field
from harmovid.pixels.field import GainMap, LightingField
from harmovid.pixels.fitting.fit import fit_field


def log_gain(plate: np.ndarray, result: np.ndarray, box: tuple) -> LightingField:
    """The ratio of the proxies, upsampled bilinearly: a field without a model."""
    stops = np.log2(np.maximum(result, 1e-4)) - np.log2(np.maximum(plate, 1e-4))
    return LightingField((GainMap(stops, box),))


METHODS = {
    "log-gain, bilinear": log_gain,
    "field, trusted": lambda plate, result, box: fit_field(plate, result, box=box, trusted=True),
    "field, generated": lambda plate, result, box: fit_field(plate, result, box=box, trusted=False),
}


def main() -> None:
    """Print the table and one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=480, help="rows of the proxy (default 480)")
    parser.add_argument("--height", type=int, default=1080, help="rows of the plate, 16:9 (default 1080)")
    args = parser.parse_args()
    height, width = args.height, args.height * 16 // 9
    scene = relit.scene(height, width)
    small = relit.shrink(scene.plate, args.lines)
    rows = []
    print(
        f"{'light':8s} {'proxy':11s} {'method':20s} {'PSNR':>6s} {'edges':>6s} {'texture':>8s} {'fit s':>6s}"
    )
    for light in relit.LIGHTS:
        truth = relit.relight(scene.plate, light)
        for kind in relit.PROXIES:
            answer = relit.proxy(truth, args.lines, kind)
            for name in ("upsample the result", *METHODS):
                start = time.process_time()
                if name in METHODS:
                    field = METHODS[name](small, answer, (0, 0, width, height))
                    spent = time.process_time() - start
                    out, _ = apply_field(scene.plate, field, origin=(0, 0))
                else:
                    out, spent = relit.enlarge(answer, height, width), 0.0
                kept = relit.texture_kept(out, truth)
                row = [relit.psnr(out, truth), relit.psnr(out, truth, scene.edges), kept, spent]
                rows.append([light, kind, name, *(round(value, 3) for value in row)])
                numbers = f"{row[0]:6.2f} {row[1]:6.2f} {row[2]:8.2f} {row[3]:6.2f}"
                print(f"{light:8s} {kind:11s} {name:20s} {numbers}", flush=True)
    print(json.dumps({"bench": "field_fit", "height": height, "lines": args.lines, "rows": rows}))


if __name__ == "__main__":
    main()
