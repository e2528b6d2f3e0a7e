"""The exported network: two ONNX graphs and the numbers they were trained with.

`encoder.onnx` turns a small picture of one frame into a vector, its trust and local features; `head.onnx` turns their
means over time into a curve, a grid of gains and a confidence. Made by `harmovid_export.harmonizer`; the numbers that
both sides must agree on travel in the files' metadata. docs/harmonize.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.errors import EngineFailed

Float32 = npt.NDArray[np.float32]

FOLDER = Path(__file__).resolve().parent
FACTS = "harmovid"
"""Key of the metadata that holds the numbers, as JSON."""


@dataclass(frozen=True)
class Numbers:
    """What training and serving agree on; stops are log2 light over the shot's anchor.

    Attributes:
        pixels: area of the pictures that the network was trained on.
        unit_stops: what reads as 1 in the curve's terms. low, high: the curve's range.
        grid_low, grid_high: range of the grid's luma levels.
        version: of the weights.
    """

    pixels: int
    unit_stops: float
    low: float
    high: float
    grid_low: float
    grid_high: float
    version: str


class Network:
    """Both graphs, loaded. Runs on the processor, one thread: a frame takes a few milliseconds."""

    def __init__(self, folder: Path = FOLDER) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineFailed(
                "the harmonize engine needs ONNX Runtime.", fix="Install it: pip install 'harmovid[server]'."
            ) from error
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        settings.inter_op_num_threads = 1
        self._encoder, self._head = (
            _session(onnxruntime, folder / name, settings) for name in ("encoder.onnx", "head.onnx")
        )
        held: Dict[str, Any] = json.loads(self._encoder.get_modelmeta().custom_metadata_map[FACTS])
        self.numbers = Numbers(**held)

    def encode(
        self, codes: Float32, matte: Float32, seen: Float32, box: Float32
    ) -> Tuple[Float32, float, Float32]:
        """Return vector, trust and local features of one frame.

        Args:
            codes: `(h, w, 3)` model-space codes of the composite. matte, seen: `(h, w)` 0..1.
            box: `(4,)` the subject's x0, y0, x1, y1 as shares of the frame.
        """
        inputs = {
            "codes": np.ascontiguousarray(np.moveaxis(codes, -1, 0)[None]),
            "matte": matte[None, None],
            "coverage": seen[None, None],
            "box": box[None],
        }
        vector, trust, local = self._encoder.run(None, inputs)
        return vector[0], float(trust[0, 0]), local[0]

    def answer(self, vector: Float32, local: Float32) -> Tuple[Float32, Float32, Float32, float]:
        """Return coeffs `(3, 10)`, grid `(3, levels, rows, columns)` in stops, confidence `(3,)` and need.

        Confidence is the share of them worth applying, 0 to 1.5; need is how many stops seem to be wrong, RMS.
        """
        coeffs, grid, gate, need = self._head.run(None, {"vector": vector[None], "local": local[None]})
        return coeffs[0], grid[0], gate[0], float(need[0, 0])


def _session(runtime: Any, path: Path, settings: Any) -> Any:
    if not path.is_file():
        raise EngineFailed(f"the weights {path} are not there.", fix="Install the package again.")
    return runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
