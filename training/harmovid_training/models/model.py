"""A conditioned video diffusion model: a backbone, one of the paper's two conditionings, and the empty prompt.

model = ConditionedModel(CogVideoX.from_pretrained(name), HARMOVID, empty_text)
prediction = model(noisy, conditions, timesteps)
"""

from __future__ import annotations

import torch
from harmovid.errors import InputError
from torch import Tensor, nn

from harmovid_training.models.backbone import Backbone, Geometry
from harmovid_training.models.conditioning import Conditioning
from harmovid_training.models.schedule import Schedule
from harmovid_training.models.space import ACESCCT


class ConditionedModel(nn.Module):
    """See the module. Widens the backbone unless it has the channels already (a checkpoint of ours).

    Args:
        text: `(1, length, width)` embedding of the empty prompt, `text.empty_prompt`.

    Attributes:
        space: of the pictures it was trained on, see `models.space`.
    """

    text: Tensor

    def __init__(self, backbone: Backbone, conditioning: Conditioning, text: Tensor) -> None:
        super().__init__()
        if tuple(text.shape) != (1, *backbone.text_shape):
            raise InputError(
                f"the empty prompt's embedding is {tuple(text.shape)}, the backbone takes {(1, *backbone.text_shape)}.",
                fix="Encode it with the text encoder that belongs to the backbone.",
            )
        channels = conditioning.channels(backbone.geometry)
        if backbone.input_channels != channels:
            backbone.widen(channels)
        self.backbone = backbone
        self.space = ACESCCT
        # Accelerate reads this to shard the weights block by block.
        self._no_split_modules = backbone.block_names
        self.conditioning = conditioning
        self.register_buffer("text", text, persistent=False)

    @property
    def geometry(self) -> Geometry:
        """The backbone's."""
        return self.backbone.geometry

    @property
    def schedule(self) -> Schedule:
        """The backbone's."""
        return self.backbone.schedule

    def forward(self, noisy: Tensor, conditions: Tensor, timesteps: Tensor) -> Tensor:
        """Predict in the schedule's prediction type.

        Args:
            noisy: `(B, C, T, h, w)`.
            conditions: `(B, channels - C, T, h, w)` from `conditioning.assemble`.
            timesteps: `(B,)`.

        Returns:
            `(B, C, T, h, w)` in the type of `noisy`.
        """
        together = torch.cat([noisy, conditions.to(noisy)], dim=1).to(self.backbone.dtype)
        text = self.text.to(together).expand(len(together), -1, -1)
        positions = self.backbone.positions_for(together)
        predicted: Tensor = self.backbone(together, timesteps.to(together.device), text, positions)
        return predicted.to(noisy.dtype)


def diffusion_loss(
    model: ConditionedModel, clean: Tensor, conditions: Tensor, noise: Tensor, times: Tensor
) -> Tensor:
    """Return the paper's loss, eq. 2 and 5: the mean square error over the **whole** picture, foreground and
    background alike.

    Args:
        clean: `(B, C, T, h, w)` latents of the target.
        conditions: `(B, channels - C, T, h, w)`.
        noise: unit Gaussian like `clean`.
        times: `(B,)` training times.
    """
    schedule = model.schedule
    predicted = model(schedule.noisy(clean, noise, times), conditions, times)
    return (predicted.float() - schedule.target(clean, noise, times).float()).square().mean()
