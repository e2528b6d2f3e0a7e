"""The harmonizer's networks: a bundle of two, and the numbers they were trained with.

`encoder` turns a small picture of one frame into a vector, its trust and local features; `head` turns their means over
time into a curve, a grid of gains and a confidence. `harmovid_export.harmonizer` makes the bundle; the numbers that
training and serving must agree on are the manifest's `constants`. docs/harmonize.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import numpy.typing as npt
from harmovid import bundle
from harmovid.bundle import Manifest
from harmovid.errors import BundleError
from harmovid.pixels.colour.model_space import CONTRACT

from harmovid_server.engines import bundles
from harmovid_server.runtimes.base import ANY, Facts, RuntimeSettings

Float32 = npt.NDArray[np.float32]

FOLDER = Path(__file__).resolve().parent / "bundle"
"""The bundle that ships with the package."""

ROLES: Dict[str, Tuple[str, ...]] = {
    "encoder": ("codes", "matte", "coverage", "box"),
    "head": ("vector", "local"),
}
"""What the networks are given."""


@dataclass(frozen=True)
class Numbers:
    """What training and serving agree on; stops are log2 light over the shot's anchor.

    Attributes:
        pixels: area of the pictures that the network was trained on.
        unit_stops: what reads as 1 in the curve's terms. low, high: the curve's range.
        grid_low, grid_high: range of the grid's luma levels.
    """

    pixels: int
    unit_stops: float
    low: float
    high: float
    grid_low: float
    grid_high: float


def check(folder: Path, manifest: Manifest) -> Numbers:
    """Return the numbers of a bundle.

    Raises:
        BundleError: its networks, numbers or colour encoding are not those of this engine.
    """
    bundles.check_roles(folder, manifest, ROLES)
    bundles.check_colour(folder, manifest, CONTRACT)
    try:
        return Numbers(**manifest.constants)
    except TypeError as error:
        raise BundleError(
            f"{folder} has other constants than a harmonizer.", fix="Export the bundle again."
        ) from error


class Network:
    """Both networks, loaded. One thread: a frame takes a few milliseconds on a processor."""

    def __init__(self, folder: Path = FOLDER, settings: RuntimeSettings = ANY) -> None:
        manifest = bundle.read(folder)
        self.numbers = check(folder, manifest)
        self._networks = bundles.open_networks(folder, manifest, settings)
        self._encoder, self._head = self._networks["encoder"], self._networks["head"]

    @property
    def facts(self) -> Facts:
        """What really runs them."""
        return bundles.facts_of(self._networks)

    def encode(
        self, codes: Float32, matte: Float32, seen: Float32, box: Float32
    ) -> Tuple[Float32, float, Float32]:
        """Return vector, trust and local features of one frame.

        Args:
            codes: `(h, w, 3)` model-space codes of the composite. matte, seen: `(h, w)` 0..1.
            box: `(4,)` the subject's x0, y0, x1, y1 as shares of the frame.
        """
        found = self._encoder({
            "codes": np.ascontiguousarray(np.moveaxis(codes, -1, 0)[None]),
            "matte": matte[None, None],
            "coverage": seen[None, None],
            "box": box[None],
        })  # fmt: skip
        return found["vector"][0], float(found["trust"][0, 0]), found["local_features"][0]

    def answer(self, vector: Float32, local: Float32) -> Tuple[Float32, Float32, Float32, float]:
        """Return coeffs `(3, 10)`, grid `(3, levels, rows, columns)` in stops, confidence `(3,)` and need.

        Confidence is the share of them worth applying, 0 to 1.5; need is how many stops seem to be wrong, RMS.
        """
        found = self._head({"vector": vector[None], "local": local[None]})
        return found["coeffs"][0], found["grid"][0], found["gate"][0], float(found["need"][0, 0])

    def close(self) -> None:
        """Give memory and threads back."""
        for network in self._networks.values():
            network.close()
