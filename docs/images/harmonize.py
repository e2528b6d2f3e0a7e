"""Make the picture of docs/harmonize.md from a finished demo: nothing in it was ever photographed.

    python -m harmovid_demo --out out/demo
    python docs/images/harmonize.py [--demo out/demo] [--frame 1004]

Writes beside itself the figure over its plate, cropped: as composited, the network's answer, the answer from known
light, and the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from harmovid_demo.compare import read_shown
from harmovid_demo.view import to_bytes

IMAGES = Path(__file__).resolve().parent
VERSIONS = {
    "as composited": "shot/fg",
    "harmonize": "harmonize/fg",
    "with both panoramas and normals": "harmonize-light/fg",
    "truth": "shot/truth_fg",
}
WIDTH, HEIGHT, GAP, LABEL = 400, 440, 6, 26  # pixels
INK, PAPER = (226, 226, 222), (24, 25, 28)


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=Path("out/demo"), help="folder of a finished demo")
    parser.add_argument("--frame", type=int, default=1004)
    given = parser.parse_args()
    plate = read_shown(str(given.demo / f"shot/plate.{given.frame}.exr")).colour
    tiles = [
        _tile(label, given.demo / f"{place}.{given.frame}.exr", plate) for label, place in VERSIONS.items()
    ]
    gap = np.full((HEIGHT + LABEL, GAP, 3), PAPER, np.uint8)
    sheet = np.concatenate([part for tile in tiles for part in (tile, gap)][:-1], axis=1)
    cv2.imwrite(
        str(IMAGES / "harmonize-demo.jpg"),
        cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, 88],
    )


def _tile(label: str, path: Path, plate: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return one version over the plate, around the figure, with its label above."""
    shown = read_shown(str(path))
    alpha = np.zeros(plate.shape[:2], np.float32) if shown.alpha is None else shown.alpha
    rows, columns = np.nonzero(alpha > 0.5)
    y = int(np.clip((rows.min() + rows.max() - HEIGHT) // 2, 0, plate.shape[0] - HEIGHT))
    x = int(np.clip((columns.min() + columns.max() - WIDTH) // 2, 0, plate.shape[1] - WIDTH))
    comp = to_bytes(shown.colour + plate * (1 - alpha[..., None]))[y : y + HEIGHT, x : x + WIDTH]
    tile = np.full((HEIGHT + LABEL, WIDTH, 3), PAPER, np.uint8)
    tile[LABEL:] = comp
    cv2.putText(tile, label, (4, LABEL - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    main()
