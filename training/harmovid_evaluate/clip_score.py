"""CLIP score: similarity of neighbouring frames in CLIP's embedding (Light-A-Video's measure of temporal consistency).

    score = ClipScore.load("openai/clip-vit-base-patch32")        # or a local folder
    score(shown)

It is the mean cosine of the image embeddings of consecutive frames. Pictures are prepared as by CLIP's own processor:
short side to the network's size (bicubic), centre crop, mean and deviation of its training pictures. The processor
itself is not used, because its fast version needs torchvision.
"""

from __future__ import annotations

from typing import Any, List

import numpy as np
from harmovid_training.device import best_device
from harmovid_training.metrics.degrade import Array
from harmovid_training.metrics.weights import MetricUnavailable

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training pictures (Radford et al. 2021, the published preprocessing)."""


class ClipScore:
    """The metric with one image encoder.

    Args:
        model: a `CLIPModel` of transformers.
        identity: its name, stored with results.
    """

    def __init__(self, model: Any, identity: str = "") -> None:
        self._device = best_device()
        self._model = model.eval().to(self._device)
        self._size = int(model.config.vision_config.image_size)
        self.identity = identity

    @classmethod
    def load(cls, source: str) -> ClipScore:
        """Return the metric with weights by name or from a local folder.

        Raises:
            MetricUnavailable: transformers cannot load them.
        """
        try:
            from transformers import CLIPModel

            return cls(CLIPModel.from_pretrained(source), source)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise MetricUnavailable(
                f"CLIP score: {source} cannot be loaded: {str(error).splitlines()[0][:160]}",
                fix="Name a CLIP model of the hub (with a network), or a local folder of one, with --clip.",
            ) from error

    def embedding(self, shown: Array) -> Any:
        """Return the unit embedding `(D,)` of one view `(H, W, 3)` in 0..1."""
        import torch

        with torch.no_grad():
            found = self._model.get_image_features(pixel_values=self.prepared(shown).to(self._device))
        vector = getattr(found, "pooler_output", found)[0]
        return vector / vector.norm()

    def prepared(self, shown: Array) -> Any:
        """Return a view as CLIP's input, `(1, 3, size, size)`."""
        import torch
        from torch.nn import functional as nnf

        picture = torch.from_numpy(np.ascontiguousarray(shown.transpose(2, 0, 1), np.float32))[None]
        height, width = picture.shape[-2:]
        scale = self._size / min(height, width)
        size = [max(self._size, int(side * scale)) for side in (height, width)]
        scaled = nnf.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((side - self._size) // 2 for side in size)
        crop = scaled[..., top : top + self._size, left : left + self._size]
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        return (crop - mean) / deviation

    def __call__(self, shown: Array) -> float:
        """Return the mean cosine of neighbouring frames of a view `(T, H, W, 3)`; 1 for a single frame."""
        vectors: List[Any] = [self.embedding(frame) for frame in shown]
        cosines = [float((a * b).sum()) for a, b in zip(vectors, vectors[1:])]
        return float(np.mean(cosines)) if cosines else 1.0
