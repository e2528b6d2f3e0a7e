"""Mask providers: user mattes, and the detector and video segmenter with tiny random networks of the real classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.masks.providers import PROMPT, Grounded, GroundingDino, Sam2, Sam2Package, UserMattes
from transformers import (
    BertConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Sam2VideoConfig,
    Sam2VideoModel,
    SwinConfig,
)
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)


def test_user_mattes_are_taken_as_they_are():
    """Soft values stay, what lies outside 0..1 is clipped, another size is refused."""
    mattes = np.linspace(-0.2, 1.2, 4 * 32 * 48, dtype=np.float32).reshape(4, 32, 48)
    made = UserMattes(mattes)(FRAMES)
    assert np.array_equal(made, np.clip(mattes, 0, 1))
    with pytest.raises(InputError, match="one matte per frame"):
        UserMattes(mattes[:2])(FRAMES)


def test_the_first_frame_with_a_find_starts_the_segmenter():
    """A detector that sees nothing before frame 2 starts the segmenter there; one that never does is an error."""

    def late(frame: np.ndarray) -> np.ndarray | None:
        return np.float32([1, 2, 30, 20]) if np.array_equal(frame, FRAMES[2]) else None

    def follow(frames: np.ndarray, index: int, box: np.ndarray) -> np.ndarray:
        return np.full(frames.shape[:3], index + box[0], np.float32)

    assert (Grounded(late, follow)(FRAMES) == 3).all()
    with pytest.raises(InputError, match="found nothing on 4 frames"):
        Grounded(lambda frame: None, follow)(FRAMES)


class Answer:
    """What GroundingDINO's forward returns: logits per query and token, and boxes as centre and size in 0..1."""

    logits = torch.tensor([[[-4.0, -5.0], [2.0, -1.0], [0.5, 0.0]]])
    pred_boxes = torch.tensor([[[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.5, 0.25], [0.9, 0.9, 0.1, 0.1]]])


class Detecting:
    """A GroundingDINO that always gives `Answer`."""

    device = torch.device("cpu")

    def __call__(self, **given: torch.Tensor) -> type[Answer]:
        """Return the answer."""
        return Answer


def test_grounding_dino_gives_its_best_box_in_pixels():
    """The prompt gets the form of the model's training, the best query is taken, weak ones give None."""
    asked = {}

    def processor(**given: object) -> dict[str, object]:
        asked.update(given)
        return {}

    box = GroundingDino(Detecting(), processor)(FRAMES[0])
    assert asked["text"] == "the main character (human)."
    assert PROMPT in str(asked["text"])
    assert box is not None
    assert box.tolist() == [12.0, 12.0, 36.0, 20.0]
    assert GroundingDino(Detecting(), processor, threshold=0.99)(FRAMES[0]) is None


def tiny_grounding_dino() -> GroundingDinoForObjectDetection:
    """Return a random GroundingDINO of the real class, 0.16 million parameters."""
    torch.manual_seed(0)
    swin = SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=10,
        max_text_len=16,
    )  # fmt: skip
    return GroundingDinoForObjectDetection(config).eval()


def plain_inputs(images: np.ndarray, text: str, return_tensors: str) -> dict[str, torch.Tensor]:
    """Return what the real processor makes of a picture and a prompt, without torchvision and a vocabulary."""
    pixels = torch.from_numpy(images).permute(2, 0, 1)[None].float() / 255
    words = torch.tensor([[2, *range(5, 5 + len(text.split())), 3]])
    return {
        "pixel_values": pixels, "pixel_mask": torch.ones(1, *images.shape[:2], dtype=torch.long),
        "input_ids": words, "attention_mask": torch.ones_like(words), "token_type_ids": torch.zeros_like(words),
    }  # fmt: skip


def test_a_grounding_dino_of_the_real_class_runs():
    """A random network gives the corners of one of its queries' boxes, in pixels."""
    model, frame = tiny_grounding_dino(), np.repeat(np.repeat(FRAMES[0], 2, 0), 2, 1)
    box = GroundingDino(model, plain_inputs, threshold=0.0)(frame)
    with torch.no_grad():
        found = model(**plain_inputs(frame, "the main character (human).", "pt")).pred_boxes[0].numpy()
    corners = np.concatenate([found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2], 1)
    height, width = frame.shape[:2]
    assert np.abs(corners * (width, height, width, height) - box).max(1).min() < 1e-3


class PlainProcessor:
    """The three calls of `Sam2VideoProcessor` that are needed, without torchvision: tensors in the model's size."""

    SIDE = 128

    def init_video_session(
        self, video: list[np.ndarray], inference_device: torch.device, dtype: torch.dtype
    ) -> Sam2VideoInferenceSession:
        """Return a session over the frames, scaled to the model's square."""
        stack = torch.from_numpy(np.stack(video)).permute(0, 3, 1, 2).float() / 255
        square = torch.nn.functional.interpolate(stack, (self.SIDE, self.SIDE))
        return Sam2VideoInferenceSession(
            video=square, video_height=video[0].shape[0], video_width=video[0].shape[1], dtype=dtype
        )

    def add_inputs_to_inference_session(
        self, inference_session: Sam2VideoInferenceSession, frame_idx: int, obj_ids: int, input_boxes: list
    ) -> None:
        """Put the box in as its two corners, in the model's pixels, as the real processor does."""
        scale = self.SIDE / torch.tensor([inference_session.video_width, inference_session.video_height])
        corners = torch.tensor(input_boxes).view(1, 1, 2, 2) * scale
        index = inference_session.obj_id_to_idx(obj_ids)
        inputs = {"point_coords": corners, "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32)}
        inference_session.add_point_inputs(index, frame_idx, inputs)
        inference_session.obj_with_new_inputs = [obj_ids]

    def post_process_masks(self, masks: list[torch.Tensor], size: list, binarize: bool) -> list[torch.Tensor]:
        """Return masks in the pictures' size."""
        whole = torch.nn.functional.interpolate(masks[0].float(), size[0])
        return [whole > 0 if binarize else whole]


def tiny_sam2() -> Sam2VideoModel:
    """Return a random SAM 2 video model of the real class, about a million parameters."""
    torch.manual_seed(0)
    config = Sam2VideoConfig(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model", "hidden_size": 16, "num_attention_heads": 1,
                "blocks_per_stage": [1, 2, 2, 1], "embed_dim_per_stage": [16, 32, 64, 128],
                "num_attention_heads_per_stage": [1, 2, 4, 8], "global_attention_blocks": [2],
                "window_size_per_stage": [8, 4, 4, 4], "image_size": [128, 128],
            },
            "backbone_channel_list": [128, 64, 32, 16], "fpn_hidden_size": 128,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": 128},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 64, "iou_head_hidden_dim": 32},
        image_size=128, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64, memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64, memory_fuser_embed_dim=128,
        mask_downsampler_embed_dim=128, memory_fuser_intermediate_dim=64,
    )  # fmt: skip
    return Sam2VideoModel(config).eval()


def test_sam2_follows_a_box_to_both_ends():
    """A real SAM 2 video network with random weights goes from frame 1 forwards and backwards: a mask for
    every frame."""
    masks = Sam2(tiny_sam2(), PlainProcessor())(FRAMES, 1, np.float32([4, 4, 40, 28]))
    assert masks.shape == (4, 32, 48)
    assert set(np.unique(masks)) <= {0.0, 1.0}


def test_the_sam2_package_is_optional():
    """Without the package its provider says what to install (skipped where it is installed)."""
    try:
        import sam2  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"No module named 'sam2'.*docs/training\.md"):
            Sam2Package.from_pretrained()
