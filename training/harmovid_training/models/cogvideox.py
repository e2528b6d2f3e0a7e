"""CogVideoX behind the backbone interface: 2b (sinusoidal positions), 5b (rotary), 1.5 (patches over two latents), I2V.

diffusers: `CogVideoXTransformer3DModel`, layout `(B, T, C, h, w)`, v-prediction. Source of the rules: diffusers 0.42
`pipelines/cogvideo/pipeline_cogvideox.py`, with which tests compare digit for digit.

Image-to-video checkpoints have 32 input channels: noisy latents and the latents of a first frame. There is no first
frame to give here, so the second half is dropped, which is the pretrained network with an empty image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from torch import Tensor, nn

from harmovid_training.models.backbone import Backbone, Geometry
from harmovid_training.models.schedule import ONE_STEP_TIME, VSchedule
from harmovid_training.models.widen import widened_conv, widened_linear

SCHEDULER = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "snr_shift_scale": 1.0,
    "timestep_spacing": "trailing", "set_alpha_to_one": True, "clip_sample": False, "steps_offset": 0,
}  # fmt: skip
"""The scheduler of CogVideoX-5b as published; 2b differs in `snr_shift_scale` 3.0. A loaded model brings its own."""

CHUNK_FRAMES = 8
"""Frames of one causal chunk of the VAE (diffusers' `num_sample_frames_batch_size`)."""

OFS = 2.0
"""What CogVideoX 1.5 image-to-video is told as `ofs` (diffusers' image-to-video pipeline)."""


class CogVideoX(Backbone):
    """See the module.

    Args:
        transformer: as loaded or made.
        scheduler: the scheduler's configuration.
        spatial: pixels per latent of the VAE it works with.
        one_step_time: where a one-step student starts, `schedule.ONE_STEP_TIME`.
    """

    transformer: CogVideoXTransformer3DModel

    def __init__(
        self,
        transformer: CogVideoXTransformer3DModel,
        scheduler: dict[str, Any] | None = None,
        spatial: int = 8,
        one_step_time: int = ONE_STEP_TIME,
    ) -> None:
        config = transformer.config
        geometry = Geometry(
            channels=config.out_channels,
            spatial=spatial,
            temporal=config.temporal_compression_ratio,
            chunk=CHUNK_FRAMES,
            patch=(config.patch_size_t or 1, config.patch_size, config.patch_size),
        )
        super().__init__(transformer, geometry, VSchedule(scheduler or SCHEDULER, one_step_time))

    @classmethod
    def from_pretrained(cls, source: str | Path, dtype: torch.dtype = torch.bfloat16) -> CogVideoX:
        """Load public weights by name or from a local folder in diffusers' layout.

        Errors:
            OSError: of diffusers, where the name or the folder holds no such model.
        """
        transformer = CogVideoXTransformer3DModel.from_pretrained(
            source, subfolder="transformer", torch_dtype=dtype
        )
        scheduler = CogVideoXDDIMScheduler.load_config(source, subfolder="scheduler")
        vae = AutoencoderKLCogVideoX.load_config(source, subfolder="vae")
        known = {key: value for key, value in scheduler.items() if not key.startswith("_")}
        return cls(transformer, known, spatial=2 ** (len(vae["block_out_channels"]) - 1))

    @property
    def text_shape(self) -> tuple[int, int]:
        """See `Backbone`."""
        return self.transformer.config.max_text_seq_length, self.transformer.config.text_embed_dim

    @property
    def patch_embedding(self) -> nn.Module:
        """See `Backbone`."""
        return cast("nn.Module", self.transformer.patch_embed.proj)

    @property
    def input_channels(self) -> int:
        """See `Backbone`."""
        return int(self.transformer.config.in_channels)

    def widen(self, channels: int) -> None:
        """See `Backbone`."""
        embed = self.transformer.patch_embed
        keep = self.geometry.channels
        if isinstance(embed.proj, nn.Linear):
            patch_values = self.geometry.patch[0] * self.geometry.patch[1] * self.geometry.patch[2]
            embed.proj = widened_linear(embed.proj, channels, keep, patch_values)
        else:
            embed.proj = widened_conv(embed.proj, channels, keep)
        self.transformer.register_to_config(in_channels=channels)

    def forward(self, latents: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        """See `Backbone`."""
        ofs = latents.new_full((1,), OFS) if self.transformer.config.ofs_embed_dim else None
        predicted: Tensor = self.transformer(
            hidden_states=latents.transpose(1, 2),
            encoder_hidden_states=text,
            timestep=timesteps,
            ofs=ofs,
            image_rotary_emb=self.positions(
                latents.shape[2], latents.shape[3], latents.shape[4], latents.device
            ),
            return_dict=False,
        )[0]
        return predicted.transpose(1, 2)

    def positions(
        self, latents: int, rows: int, columns: int, device: torch.device
    ) -> tuple[Tensor, Tensor] | None:
        """Return cosine and sine of the rotary positions, `(tokens, head size)` each; None for sinusoidal models.

        1.0 stretches the grid to the size it was trained at; 1.5 cuts it out of a larger one.
        """
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        patch = config.patch_size
        grid = (rows // patch, columns // patch)
        base = (config.sample_height // patch, config.sample_width // patch)
        if config.patch_size_t is None:
            crop = get_resize_crop_region_for_grid(grid, base[1], base[0])
            made = get_3d_rotary_pos_embed(
                config.attention_head_dim, crop, grid, temporal_size=latents, device=device
            )
        else:
            tokens = (latents + config.patch_size_t - 1) // config.patch_size_t
            made = get_3d_rotary_pos_embed(
                config.attention_head_dim, None, grid, temporal_size=tokens,
                grid_type="slice", max_size=base, device=device,
            )  # fmt: skip
        return cast("tuple[Tensor, Tensor]", made)
