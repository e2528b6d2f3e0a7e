"""The harmonizer's networks: a bundle of three, and the constants that they were trained with.

`backbone` describes the content of a small picture; `encoder` turns that and the picture's light into a vector, its
weight and local features; `head` turns their means over time into a curve, a grid of gains and a confidence.
`harmovid_export.harmonizer` makes the bundle; the numbers that training and serving must agree on are the manifest's
`constants`. See docs/harmonize.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid import bundle
from harmovid.bundle import Manifest
from harmovid.errors import BundleError
from harmovid.pixels.colour.model_space import CONTRACT, to_model
from harmovid.pixels.colour.srgb import srgb_encode

from harmovid_server.engines import bundles
from harmovid_server.engines.harmonize.features import FrameFeatures, halved
from harmovid_server.runtimes.base import ANY, Facts, RuntimeSettings

Float32 = npt.NDArray[np.float32]

FOLDER = Path(__file__).resolve().parent / "bundle"
"""The bundle that ships with the package."""

ROLES: Dict[str, Tuple[str, ...]] = {
    "backbone": ("picture",),
    "encoder": ("codes", "matte", "coverage", "box", "anchor", "stride8", "stride16", "stride32"),
    "head": ("vector", "local"),
}
"""The networks' inputs."""

SHOULDER_START = 0.8
"""Linear light at which the soft shoulder of the display begins, as in training."""


@dataclass(frozen=True)
class Numbers:
    """Constants that training and serving must agree on; stops are log2 light over the shot's anchor.

    Attributes:
        rows, columns: size of the pictures.
        brightness: linear value of the anchor in the backbone's picture.
        unit_stops: stops that count as 1 in the curve's terms. low, high: the curve's range.
        grid_low, grid_high: range of the grid's luma levels.
        variants: names of the confidences that the head gives, in its order.
    """

    rows: int
    columns: int
    brightness: float
    unit_stops: float
    low: float
    high: float
    grid_low: float
    grid_high: float
    variants: List[str]


@dataclass(frozen=True)
class HeadOutputs:
    """The outputs of the head.

    Attributes:
        coeffs: `(3, 10)`. grid: `(3, levels, rows, columns)` in stops.
        gate: `(variants, 3)`: the confidence for brightness, colour and local part, 0 to 1.5; never less for a bolder
            variant.
        need: estimated mismatch in stops, RMS.
        error: estimated standard deviation of the exposure's error, in stops.
    """

    coeffs: Float32
    grid: Float32
    gate: Float32
    need: float
    error: float


def check(folder: Path, manifest: Manifest) -> Numbers:
    """Return the numbers of a bundle.

    Raises:
        BundleError: its networks, constants or colour encoding do not fit this engine.
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
    """All networks, loaded, with one thread: a frame takes a few milliseconds on a CPU."""

    def __init__(self, folder: Path = FOLDER, settings: RuntimeSettings = ANY) -> None:
        manifest = bundle.read(folder)
        self.numbers = check(folder, manifest)
        self._networks = bundles.open_networks(folder, manifest, settings)
        self._backbone, self._encoder, self._head = (self._networks[role] for role in ROLES)

    @property
    def facts(self) -> Facts:
        """What the networks really run on."""
        return bundles.facts_of(self._networks)

    def encode(self, seen: FrameFeatures, anchor: float) -> Tuple[Float32, float, Float32]:
        """Return vector, weight and local features of one frame.

        Args:
            anchor: the shot's exposure, linear.
        """
        shown = display(seen.picture * np.float32(self.numbers.brightness / anchor))
        places = self._backbone({"picture": _planes(shown)})
        found = self._encoder({
            "codes": _planes(to_model(halved(seen.picture), anchor)),
            "matte": halved(seen.matte)[None, None],
            "coverage": halved(seen.seen)[None, None],
            "box": seen.box[None],
            "anchor": np.array([anchor], np.float32),
            **places,
        })  # fmt: skip
        return found["vector"][0], float(found["trust"][0, 0]), found["local_features"][0]

    def describe(self, picture: Float32, anchor: float) -> List[Float32]:
        """Return descriptions of a picture's 9 x 12 regions by three stages of the backbone, `(108, channels)` each.

        Args:
            picture: `(rows, columns, 3)` linear. anchor: its exposure.
        """
        shown = display(picture * np.float32(self.numbers.brightness / anchor))
        stages = self._backbone({"picture": _planes(shown)})
        size = stages["stride16"].shape[:1:-1]
        named = (stages["stride8"], stages["stride16"], stages["stride32"])
        grids = (
            [cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in stage[0]] for stage in named
        )
        return [np.stack(grid).reshape(len(grid), -1).T for grid in grids]

    def answer(self, vector: Float32, local: Float32) -> HeadOutputs:
        """Return the head's outputs for the means of vectors and local features."""
        found = self._head({"vector": vector[None], "local": local[None]})
        cautious, expected, bold = found["gate"][0]
        # The variants were fitted separately, so they may cross on unusual inputs.
        gate = np.stack([np.minimum(cautious, expected), expected, np.maximum(bold, expected)])
        return HeadOutputs(
            found["coeffs"][0], found["grid"][0], gate, float(found["need"][0, 0]),
            float(np.exp(found["errors"][0, 1, 0])),
        )  # fmt: skip

    def close(self) -> None:
        """Free memory and threads."""
        for network in self._networks.values():
            network.close()


def display(linear: Float32) -> Float32:
    """Return display values 0..1 of linear light for the backbone, with a soft shoulder and the sRGB curve."""
    over = np.maximum(linear - SHOULDER_START, 0)
    room = 1 - SHOULDER_START
    soft = np.minimum(linear, SHOULDER_START) + room * over / (over + room)
    return np.asarray(srgb_encode(np.clip(soft, 0, 1)), np.float32)


def _planes(picture: Float32) -> Float32:
    """Return `(h, w, 3)` as `(1, 3, h, w)`."""
    return np.ascontiguousarray(np.moveaxis(picture, -1, 0)[None], np.float32)
