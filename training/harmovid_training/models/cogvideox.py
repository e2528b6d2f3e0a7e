"""CogVideoX behind the backbone interface: 2b (sinusoidal positions), 5b (rotary), 1.5 (patches over two latents), I2V.

diffusers: `CogVideoXTransformer3DModel`, layout `(B, T, C, h, w)`, v-prediction. Source of the rules: diffusers 0.42
`pipelines/cogvideo/pipeline_cogvideox.py`; tests compare the results with that pipeline's.

Image-to-video checkpoints have 32 input channels: noisy latents and the latents of a first frame. There is no first
frame here, so the second half is dropped; this equals the pretrained network with an empty image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from harmovid.errors import InputError
from torch import Tensor, nn

from harmovid_training.models.attention import JointAttention
from harmovid_training.models.backbone import Backbone, Geometry, loaded
from harmovid_training.models.public import public_weights
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
"""The value of `ofs` for CogVideoX 1.5 image-to-video (diffusers' image-to-video pipeline)."""


class CogVideoX(Backbone):
    """See the module.

    Args:
        transformer: the diffusers model.
        scheduler: the scheduler's configuration.
        spatial: pixels per latent of its VAE.
        one_step_time: noise time at which a one-step student starts, `schedule.ONE_STEP_TIME`.
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
        transformer.set_attn_processor(JointAttention())

    @classmethod
    def from_pretrained(
        cls, source: str | Path, dtype: torch.dtype = torch.bfloat16, empty: bool = False
    ) -> CogVideoX:
        """Load public weights by name or from a local folder in diffusers' layout.

        Args:
            empty: without the weights, see `backbone.loaded`.

        Raises:
            InputError: the name or the folder holds no such model.
        """
        with public_weights(source, "a model of CogVideoX"):
            transformer = loaded(CogVideoXTransformer3DModel, source, dtype, empty)
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

    def forward(self, latents: Tensor, times: Tensor, text: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """See `Backbone`. diffusers' own forward pass, except that it takes the positions instead of making them."""
        transformer = self.transformer
        time = self._time(times, latents)
        pictures, prompt = self._patches(latents), transformer.patch_embed.text_proj(text)
        rotary = positions[:2] if transformer.config.use_rotary_positional_embeddings else None
        if "embedding" in self.position_names:
            pictures = pictures + positions[-1].to(pictures.dtype)
        for block in transformer.transformer_blocks:
            if torch.is_grad_enabled() and transformer.gradient_checkpointing:
                pictures, prompt = transformer._gradient_checkpointing_func(
                    block, pictures, prompt, time, rotary, None
                )
            else:
                pictures, prompt = block(pictures, prompt, time, rotary)
        out = transformer.norm_out(transformer.norm_final(pictures), temb=time)
        return self._whole(transformer.proj_out(out), latents)

    def _time(self, times: Tensor, latents: Tensor) -> Tensor:
        """Return the embedding of the times, `(B, width)`, plus that of `ofs` for image-to-video of version 1.5."""
        transformer = self.transformer
        time = transformer.time_embedding(transformer.time_proj(times).to(latents.dtype))
        if transformer.ofs_embedding is not None:
            ofs = transformer.ofs_proj(latents.new_full((1,), OFS)).to(latents.dtype)
            time = time + transformer.ofs_embedding(ofs)
        return cast("Tensor", time)

    def _patches(self, latents: Tensor) -> Tensor:
        """Return the tokens `(B, tokens, width)` of latents `(B, C, T, h, w)`."""
        proj = self.transformer.patch_embed.proj
        batch, channels, count, rows, columns = latents.shape
        if self.transformer.config.patch_size_t is None:
            made = proj(latents.transpose(1, 2).reshape(-1, channels, rows, columns))
            return cast("Tensor", made.unflatten(0, (batch, count)).flatten(3).transpose(2, 3).flatten(1, 2))
        deep, tall, wide = self.geometry.patch
        cells = latents.permute(0, 2, 3, 4, 1).reshape(
            batch, count // deep, deep, rows // tall, tall, columns // wide, wide, channels
        )
        return cast("Tensor", proj(cells.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(4, 7).flatten(1, 3)))

    def _whole(self, tokens: Tensor, latents: Tensor) -> Tensor:
        """Return predicted tokens as `(B, channels, T, h, w)`, in the shape of `latents`."""
        batch, _, count, rows, columns = latents.shape
        deep, tall, wide = self.geometry.patch
        channels = self.geometry.channels
        cells = tokens.reshape(
            batch, count // deep, rows // tall, columns // wide, channels, deep, tall, wide
        )
        return cells.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(batch, channels, count, rows, columns)

    @property
    def position_names(self) -> tuple[str, ...]:
        """See `Backbone`."""
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return ("embedding",)
        return ("cosine", "sine", *(("embedding",) if config.use_learned_positional_embeddings else ()))

    def positions(self, latents: int, rows: int, columns: int, device: torch.device) -> tuple[Tensor, ...]:
        """See `Backbone`: cosine and sine `(tokens, head size)` of rotary models, the embedding `(1, tokens, width)`
        of sinusoidal ones; image-to-video of version 1.0 has both, with a learned embedding.

        Rotary positions of 1.0 scale the grid to the size of training; those of 1.5 are a slice of a larger grid.

        Raises:
            InputError: learned positions at another size or length than in training.
        """
        made = self._rotary(latents, rows, columns, device)
        if "embedding" not in self.position_names:
            return made
        embed = self.transformer.patch_embed
        frames = (latents - 1) * embed.temporal_compression_ratio + 1
        if (rows, columns, frames) == (embed.sample_height, embed.sample_width, embed.sample_frames):
            joint = embed.pos_embedding.to(device)
        elif embed.use_learned_positional_embeddings:
            raise InputError(
                f"this model has learned positions for {embed.sample_frames} frames and latents of "
                f"{embed.sample_width}x{embed.sample_height}, these are {frames} frames and {columns}x{rows}.",
                fix="Use the size and length it was trained at, or a model without learned positions.",
            )
        else:
            joint = embed._get_positional_embeddings(rows, columns, frames, device=device)
        return (*made, joint[:, embed.max_text_seq_length :])

    def _rotary(self, latents: int, rows: int, columns: int, device: torch.device) -> tuple[Tensor, ...]:
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return ()
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
