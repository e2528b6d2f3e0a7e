"""Motion preservation: how far a result's optical flow is from that of the reference video, in pixels.

    preserved = FlowDistance(dis_flow, reference_shown)
    preserved(shown, mask)

The paper takes RAFT (Teed and Deng 2020); its weights come from a local file and its network from torchvision,
where that is installed. The same measure with OpenCV's DIS flow always runs and is a column of its own. What is
reported is the mean length of the difference of the two flows from each frame to the next; lower is better.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, List, Optional

import cv2
import numpy as np

from harmovid_training.device import best_device
from harmovid_training.metrics.degrade import LUMA, Array
from harmovid_training.metrics.weights import MetricUnavailable, fingerprint, read_tensors

Flow = Callable[[Array, Array], Array]
"""From two views `(H, W, 3)` to `(H, W, 2)`: where each pixel of the first goes to, in pixels (x, y)."""

RAFT_STEP_PX = 8
RAFT_LEAST_PX = 128
"""RAFT wants sides that are multiples of 8, and not smaller than its correlation pyramid reaches."""


class FlowDistance:
    """The reference's flow, computed once, against that of results."""

    def __init__(self, flow: Flow, reference: Array) -> None:
        self._flow = flow
        self._reference: List[Array] = self._of(reference)

    def _of(self, shown: Array) -> List[Array]:
        return [self._flow(now, then) for now, then in zip(shown, shown[1:])]

    def __call__(self, shown: Array, mask: Optional[Array] = None) -> float:
        """Return the mean endpoint distance in pixels over a view `(T, H, W, 3)`, inside `mask` `(T, H, W)`."""
        total = weight = 0.0
        for index, (ours, theirs) in enumerate(zip(self._of(shown), self._reference)):
            length = np.hypot(*np.moveaxis(ours - theirs, -1, 0))
            share = np.ones_like(length) if mask is None else mask[index]
            total += float((length * share).sum(dtype=np.float64))
            weight += float(share.sum(dtype=np.float64))
        return total / max(weight, 1e-9)


def dis_flow(now: Array, then: Array) -> Array:
    """Return DIS optical flow (Kroeger et al. 2016, OpenCV's medium preset); see `Flow`."""
    grey = [np.clip(frame @ LUMA * 255 + 0.5, 0, 255).astype(np.uint8) for frame in (now, then)]
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(dis.calc(grey[0], grey[1], None), np.float32)


class Raft:
    """RAFT's flow; see `Flow`.

    Args:
        network: takes two batches in -1..1 and returns a list of flows, the last one being the best.
        identity: of the weights.
    """

    def __init__(self, network: Any, identity: str = "") -> None:
        self._device = best_device()
        self._network = network.eval().to(self._device)
        self.identity = identity

    @classmethod
    def from_file(cls, path: Path) -> Raft:
        """Return torchvision's RAFT (large, or small by its weights) with weights from a local file.

        Raises:
            MetricUnavailable: torchvision is not installed or broken, or the weights do not fit.
        """
        weights = read_tensors((path,))
        try:
            # A torchvision that was built for another torch fails at import with a RuntimeError.
            from torchvision.models.optical_flow import raft_large, raft_small
        except (ImportError, RuntimeError, OSError) as error:
            raise MetricUnavailable(
                f"RAFT: torchvision cannot be imported: {str(error).splitlines()[0][:120]}",
                fix="Install the torchvision that belongs to this torch; --raft then takes its weights.",
            ) from error
        for make in (raft_large, raft_small):
            network = make(weights=None, progress=False)
            if set(network.state_dict()) == set(weights):
                network.load_state_dict(weights)
                return cls(network, f"{make.__name__} {fingerprint((path,))}")
        raise MetricUnavailable(
            f"RAFT: {path} does not fit torchvision's raft_large or raft_small.",
            fix="Give a file such as raft_large_C_T_SKHT_V2-ff5fadd5.pth.",
        )

    def __call__(self, now: Array, then: Array) -> Array:
        """Return the flow of two views; they are padded by repeated edges to a size that the network takes."""
        import torch

        height, width = now.shape[:2]
        pads = [
            max(RAFT_LEAST_PX, -(-side // RAFT_STEP_PX) * RAFT_STEP_PX) - side for side in (height, width)
        ]
        both = []
        for frame in (now, then):
            wide = np.pad(frame, ((0, pads[0]), (0, pads[1]), (0, 0)), mode="edge")
            both.append(torch.from_numpy(np.ascontiguousarray(wide.transpose(2, 0, 1)))[None] * 2 - 1)
        with torch.no_grad():
            flow = self._network(*(each.to(self._device) for each in both))[-1][0]
        return np.asarray(flow.permute(1, 2, 0).cpu().numpy()[:height, :width], np.float32)
