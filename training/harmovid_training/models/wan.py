"""Wan 2.x behind the backbone interface: flow matching, one latent per causal chunk of four frames, rotary positions
made inside the transformer.

diffusers: `WanTransformer3DModel`, layout `(B, C, T, h, w)`. Supported are the 2.1 models (1.3B, 14B) and 2.2's 5B.
Wan 2.2's 14B model is a pair of transformers for high and low noise, and an adapter holds one transformer only. The 5B
model takes one time per token; here all tokens have the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanTransformer3DModel
from harmovid.errors import InputError
from torch import Tensor, nn

from harmovid_training.models.backbone import Backbone, Geometry, loaded
from harmovid_training.models.public import public_weights
from harmovid_training.models.schedule import FlowSchedule
from harmovid_training.models.widen import widened_conv

SCHEDULER = {"num_train_timesteps": 1000, "shift": 3.0}
"""A plain flow-match Euler schedule with the shift that Wan uses at 480 lines; a loaded model brings its own."""

TEMPORAL = 4
"""Frames per latent, and per causal chunk of the VAE."""

TEXT_TOKENS = 512
"""Length of Wan's prompt embedding."""


class Wan(Backbone):
    """See the module.

    Args:
        transformer: the diffusers model.
        scheduler: the scheduler's configuration.
        scheduler_class: the diffusers class for it.
        spatial: pixels per latent of its VAE: 8, or 16 for Wan 2.2 5B.
        per_token_time: whether the model takes one time per token (Wan 2.2 5B).
    """

    transformer: WanTransformer3DModel

    def __init__(
        self,
        transformer: WanTransformer3DModel,
        scheduler: dict[str, Any] | None = None,
        scheduler_class: Any = FlowMatchEulerDiscreteScheduler,
        spatial: int = 8,
        per_token_time: bool = False,
    ) -> None:
        geometry = Geometry(
            channels=transformer.config.out_channels,
            spatial=spatial,
            temporal=TEMPORAL,
            chunk=TEMPORAL,
            patch=cast("tuple[int, int, int]", tuple(transformer.config.patch_size)),
        )
        super().__init__(transformer, geometry, FlowSchedule(scheduler or SCHEDULER, scheduler_class))
        self.per_token_time = per_token_time

    @classmethod
    def from_pretrained(
        cls, source: str | Path, dtype: torch.dtype = torch.bfloat16, empty: bool = False
    ) -> Wan:
        """Load public weights by name or from a local folder in diffusers' layout.

        Args:
            empty: without the weights, see `backbone.loaded`.

        Raises:
            InputError: Wan 2.2 14B, which has two transformers, or no such model there.
        """
        with public_weights(source, "a model of Wan"):
            index = diffusers.WanPipeline.load_config(source)
        if index.get("boundary_ratio") is not None:
            raise InputError(
                f"{source} is a pair of transformers for high and low noise.",
                fix="Use Wan 2.1 (1.3B, 14B) or Wan 2.2 TI2V 5B.",
            )
        with public_weights(source, "a model of Wan"):
            transformer = loaded(WanTransformer3DModel, source, dtype, empty)
            config = FlowMatchEulerDiscreteScheduler.load_config(source, subfolder="scheduler")
            scheduler = getattr(diffusers, config["_class_name"])
            vae = diffusers.AutoencoderKLWan.load_config(source, subfolder="vae")
        return cls(
            transformer,
            {key: value for key, value in config.items() if not key.startswith("_")},
            scheduler,
            spatial=int(vae.get("scale_factor_spatial", 8)),
            per_token_time=bool(index.get("expand_timesteps", False)),
        )

    @property
    def text_shape(self) -> tuple[int, int]:
        """See `Backbone`."""
        return TEXT_TOKENS, self.transformer.config.text_dim

    @property
    def patch_embedding(self) -> nn.Module:
        """See `Backbone`."""
        return cast("nn.Module", self.transformer.patch_embedding)

    @property
    def input_channels(self) -> int:
        """See `Backbone`."""
        return int(self.transformer.config.in_channels)

    def widen(self, channels: int) -> None:
        """See `Backbone`."""
        self.transformer.patch_embedding = widened_conv(
            self.transformer.patch_embedding, channels, self.geometry.channels
        )
        self.transformer.register_to_config(in_channels=channels)

    @property
    def position_names(self) -> tuple[str, ...]:
        """See `Backbone`: empty, as Wan's transformer has its own table of rotary positions."""
        return ()

    def positions(self, latents: int, rows: int, columns: int, device: torch.device) -> tuple[Tensor, ...]:
        """See `Backbone`: empty."""
        return ()

    def forward(self, latents: Tensor, times: Tensor, text: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """See `Backbone`."""
        if self.per_token_time:
            _, patch_rows, patch_columns = self.geometry.patch
            tokens = latents.shape[2] * (latents.shape[3] // patch_rows) * (latents.shape[4] // patch_columns)
            times = times[:, None].expand(-1, tokens)
        predicted: Tensor = self.transformer(
            hidden_states=latents, timestep=times, encoder_hidden_states=text, return_dict=False
        )[0]
        return predicted
