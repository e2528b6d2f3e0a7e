"""Mask providers: one interface for the user's mattes and for a detector with video segmentation.

    provider = UserMattes(FramePattern.parse("matte.####.exr"))
    provider = Grounded(GroundingDino.from_pretrained(), Sam2.from_pretrained())
    mask = provider(frames)                                   # (T, H, W) float32 in 0..1

The paper takes Grounded-SAM-2 with the prompt "the main character (human)". A detector finds a box on the
first frame on which it finds one; the video segmenter follows it from there to both ends of the clip.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError

from harmovid_training.device import best_device
from harmovid_training.models.public import public_weights

Float32 = npt.NDArray[np.float32]
Image8 = npt.NDArray[np.uint8]
Box = npt.NDArray[np.float32]

PROMPT = "the main character (human)"
"""The paper's prompt, section 3.1."""

MASKS = (
    "Install what docs/training.md, section 1, names for masks, or give mattes; weights need a network once."
)


class MaskProvider(Protocol):
    """Returns the foreground mask of a clip."""

    def __call__(self, frames: Image8) -> Float32:
        """Return `(T, H, W)` float32 in 0..1 for display frames `(T, H, W, 3)` uint8."""


class Detector(Protocol):
    """Finds what a prompt names in one picture."""

    def __call__(self, frame: Image8) -> Box | None:
        """Return the best box `(x0, y0, x1, y1)` in pixels, or None."""


class Segmenter(Protocol):
    """Tracks the object in a box through a clip."""

    def __call__(self, frames: Image8, index: int, box: Box) -> Float32:
        """Return binary masks `(T, H, W)`, given the box on frame `index`."""


class UserMattes:
    """Mattes of the user: `(T, H, W)` in 0..1, not changed."""

    def __init__(self, mattes: Float32) -> None:
        self._mattes = mattes

    def __call__(self, frames: Image8) -> Float32:
        """See `MaskProvider`.

        Raises:
            InputError: the mattes have another number or size of frames than the clip.
        """
        if self._mattes.shape != frames.shape[:3]:
            raise InputError(
                f"mattes of {self._mattes.shape} do not fit frames of {frames.shape[:3]}.",
                fix="Give one matte per frame in the frames' size.",
            )
        return np.clip(self._mattes, 0, 1).astype(np.float32)


class Grounded:
    """A detector and a segmenter as one provider: Grounded-SAM-2, whatever the implementations of both."""

    def __init__(self, detector: Detector, segmenter: Segmenter) -> None:
        self._detector = detector
        self._segmenter = segmenter

    def __call__(self, frames: Image8) -> Float32:
        """See `MaskProvider`.

        Raises:
            InputError: nothing was found on any frame.
        """
        for index, frame in enumerate(frames):
            box = self._detector(frame)
            if box is not None:
                return self._segmenter(frames, index, box)
        raise InputError(
            f"the detector found nothing on {len(frames)} frames.", fix="Give mattes, or another prompt."
        )


class GroundingDino:
    """transformers' GroundingDINO as a detector.

    Args:
        model, processor: `GroundingDinoForObjectDetection` and its processor.
        prompt: what to look for; it is brought to lower case with a full stop, as the model was trained.
        threshold: lowest accepted score of a box; the default is the model's.
    """

    def __init__(self, model: Any, processor: Any, prompt: str = PROMPT, threshold: float = 0.25) -> None:
        self._model, self._processor = model, processor
        self._prompt = prompt.lower().rstrip(".") + "."
        self._threshold = threshold

    @classmethod
    def from_pretrained(
        cls, source: str = "IDEA-Research/grounding-dino-base", prompt: str = PROMPT
    ) -> GroundingDino:
        """Load public weights by name or folder; the processor needs torchvision.

        Raises:
            InputError: there is no such model, or torchvision is not installed.
        """
        from transformers import AutoProcessor, GroundingDinoForObjectDetection

        with public_weights(source, "GroundingDINO", MASKS):
            model = GroundingDinoForObjectDetection.from_pretrained(source).eval().to(best_device())
            return cls(model, AutoProcessor.from_pretrained(source), prompt)

    def __call__(self, frame: Image8) -> Box | None:
        """See `Detector`."""
        import torch

        given = self._processor(images=frame, text=self._prompt, return_tensors="pt")
        with torch.no_grad():
            found = self._model(**{name: value.to(self._model.device) for name, value in given.items()})
        scores = found.logits.sigmoid().amax(-1)[0]
        best = int(scores.argmax())
        if float(scores[best]) < self._threshold:
            return None
        x, y, w, h = (float(value) for value in found.pred_boxes[0, best])
        height, width = frame.shape[:2]
        corners = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) * (width, height, width, height)
        return corners.astype(np.float32)


class Sam2:
    """transformers' SAM 2 video model as a segmenter.

    Args:
        model, processor: `Sam2VideoModel` and its processor, or anything with the same calls.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor

    @classmethod
    def from_pretrained(cls, source: str = "facebook/sam2.1-hiera-large") -> Sam2:
        """Load public weights by name or folder; the processor needs torchvision.

        Raises:
            InputError: there is no such model, or torchvision is not installed.
        """
        from transformers import Sam2VideoModel, Sam2VideoProcessor

        with public_weights(source, "SAM 2", MASKS):
            model = Sam2VideoModel.from_pretrained(source).eval().to(best_device())
            return cls(model, Sam2VideoProcessor.from_pretrained(source))

    def __call__(self, frames: Image8, index: int, box: Box) -> Float32:
        """See `Segmenter`."""
        import torch

        session = self._processor.init_video_session(
            video=list(frames), inference_device=self._model.device, dtype=torch.float32
        )
        self._processor.add_inputs_to_inference_session(
            inference_session=session,
            frame_idx=index,
            obj_ids=1,
            input_boxes=[[[float(side) for side in box]]],
        )
        masks = np.zeros(frames.shape[:3], np.float32)
        size = [[session.video_height, session.video_width]]
        with torch.no_grad():
            for backwards in (False, True):
                for found in self._model.propagate_in_video_iterator(
                    session, start_frame_idx=index, reverse=backwards
                ):
                    whole = self._processor.post_process_masks([found.pred_masks], size, binarize=True)[0]
                    masks[found.frame_idx] = np.asarray(
                        whole.reshape(-1, *frames.shape[1:3])[0].float().cpu()
                    )
        return masks


class Sam2Package:
    """The `sam2` package as a segmenter, where it is installed. It reads frames from a folder of JPEGs, which is
    written for it."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor

    @classmethod
    def from_pretrained(cls, source: str = "facebook/sam2.1-hiera-large") -> Sam2Package:
        """Load public weights.

        Raises:
            InputError: there is no such model, or the package is not installed.
        """
        with public_weights(source, "SAM 2 of the sam2 package", MASKS):
            from sam2.sam2_video_predictor import SAM2VideoPredictor

            return cls(SAM2VideoPredictor.from_pretrained(source, device=best_device()))

    def __call__(self, frames: Image8, index: int, box: Box) -> Float32:
        """See `Segmenter`."""
        import tempfile
        from pathlib import Path

        import cv2

        masks = np.zeros(frames.shape[:3], np.float32)
        with tempfile.TemporaryDirectory() as folder:
            for number, frame in enumerate(frames):
                cv2.imwrite(
                    str(Path(folder) / f"{number:05d}.jpg"), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98]
                )
            state = self._predictor.init_state(video_path=folder)
            self._predictor.add_new_points_or_box(inference_state=state, frame_idx=index, obj_id=1, box=box)
            for backwards in (False, True):
                walk = self._predictor.propagate_in_video(state, start_frame_idx=index, reverse=backwards)
                for number, _, logits in walk:
                    masks[number] = np.asarray((logits[0, 0] > 0).float().cpu())
        return masks
