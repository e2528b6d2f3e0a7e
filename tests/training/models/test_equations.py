"""The paper's equations, each with a test: the concatenated latents, the masks, and the region of the
loss."""

from __future__ import annotations

import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, FlowMatchEulerDiscreteScheduler
from harmovid.errors import InputError
from harmovid_training.models.cogvideox import SCHEDULER
from harmovid_training.models.conditioning import DEFLICKER, HARMOVID, latent_mask
from harmovid_training.models.model import ConditionedModel, diffusion_loss
from harmovid_training.models.schedule import FlowSchedule, VSchedule
from harmovid_training.models.sizes import make

SHAPE = (2, 4, 3, 8, 8)


def model(conditioning=HARMOVID, size: str = "tiny-5b") -> ConditionedModel:
    """Return a tiny conditioned model whose new weights are not zero any more."""
    torch.manual_seed(0)
    backbone = make(size)
    made = ConditionedModel(backbone, conditioning, torch.randn(1, *backbone.text_shape))
    torch.nn.init.normal_(made.backbone.patch_embedding.weight, std=0.1)
    return made


@pytest.mark.parametrize(("conditioning", "channels"), [(DEFLICKER, 33), (HARMOVID, 49)])
def test_input_channels_of_the_real_latents(conditioning, channels):
    """With 16 latent channels eq. 2 takes 33 and eq. 5 takes 49 input channels."""
    assert conditioning.channels(make("cogvideox-2b", device="meta").geometry) == channels


def test_eq_2_conditions_on_composite_and_mask():
    """The deflicker network sees [composite latents, mask] after the noisy latents, in that order, and no
    background."""
    latents = {"composite": torch.randn(SHAPE), "background": torch.randn(SHAPE)}
    mask = torch.rand(2, 1, 3, 8, 8)
    conditions = DEFLICKER.assemble(latents, mask)
    assert torch.equal(conditions, torch.cat([latents["composite"], mask], dim=1))


def test_eq_5_conditions_on_composite_background_and_mask():
    """HarmoVid sees [composite latents, background latents, mask] after the noisy latents, in that order."""
    latents = {"background": torch.randn(SHAPE), "composite": torch.randn(SHAPE)}
    mask = torch.rand(2, 1, 3, 8, 8)
    conditions = HARMOVID.assemble(latents, mask)
    assert torch.equal(conditions, torch.cat([latents["composite"], latents["background"], mask], dim=1))
    with pytest.raises(InputError, match="harmovid network needs background"):
        HARMOVID.assemble({"composite": latents["composite"]}, mask)


def test_noisy_latents_come_first_in_the_transformer():
    """The first channels that reach the patch embedding are z_t with eq. 2's noise, the conditions follow."""
    one = model()
    seen = []
    one.backbone.patch_embedding.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    clean, noise, times = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([100, 900])
    conditions = torch.randn(2, 5 + 4, 3, 8, 8)
    with torch.no_grad():
        diffusion_loss(one, clean, conditions, noise, times)
    given = seen[0].view(2, 3, 13, 8, 8).transpose(1, 2)
    theirs = CogVideoXDDIMScheduler.from_config(SCHEDULER).add_noise(clean, noise, times)
    assert torch.equal(given[:, 4:], conditions)
    torch.testing.assert_close(given[:, :4], theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("conditioning", [DEFLICKER, HARMOVID])
def test_the_loss_sees_the_whole_picture(conditioning):
    """Eq. 2 and 5 have no mask in the loss: an error of v in a single latent, wherever it is, weighs the same."""
    one = model(conditioning)
    extra = conditioning.channels(one.geometry) - 4
    conditions = torch.zeros(2, extra, 3, 8, 8)
    conditions[:, -1, :, :4] = 1.0  # the mask covers the upper half only
    noise, times = torch.randn(SHAPE), torch.tensor([100, 900])
    clean = torch.randn(SHAPE)
    with torch.no_grad():
        noisy = one.schedule.noisy(clean, noise, times)
        predicted = one(noisy, conditions, times)
        error = (predicted - one.schedule.target(clean, noise, times)).square()
        loss = diffusion_loss(one, clean, conditions, noise, times)
    assert loss == pytest.approx(float(error.mean()), rel=1e-6)
    assert float(error[..., :4, :].sum() + error[..., 4:, :].sum()) / error.numel() == pytest.approx(
        float(loss), rel=1e-5
    )


def test_v_target_and_noise_are_diffusers_own():
    """Noise and velocity are those of diffusers' scheduler, and the estimate undoes the target at every time."""
    schedule = VSchedule(SCHEDULER)
    theirs = CogVideoXDDIMScheduler.from_config(SCHEDULER)
    clean, noise = torch.randn(3, 4, 3, 8, 8), torch.randn(3, 4, 3, 8, 8)
    times = torch.tensor([0, 500, 999])
    noisy = schedule.noisy(clean, noise, times)
    velocity = schedule.target(clean, noise, times)
    torch.testing.assert_close(noisy, theirs.add_noise(clean, noise, times), rtol=0, atol=0)
    torch.testing.assert_close(velocity, theirs.get_velocity(clean, noise, times), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(schedule.estimate(velocity, noisy, times), clean, rtol=1e-4, atol=1e-4)
    assert torch.equal(noisy[2], noise[2])  # zero terminal SNR: nothing of the picture is left


def test_the_plain_loss_on_v_is_diffusers_weighted_loss_on_the_picture():
    """MSE on v equals MSE on the clean latents weighted by 1 / (1 - a), as diffusers' CogVideoX training
    scripts write it."""
    schedule = VSchedule(SCHEDULER)
    clean, noise, predicted = (torch.randn(4, 4, 3, 8, 8) for _ in range(3))
    times = torch.tensor([20, 300, 700, 999])
    noisy = schedule.noisy(clean, noise, times)
    weight = 1 / (1 - schedule.scheduler.alphas_cumprod[times]).view(-1, 1, 1, 1, 1)
    theirs = (weight * (schedule.estimate(predicted, noisy, times) - clean) ** 2).mean()
    ours = (predicted - schedule.target(clean, noise, times)).square().mean()
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)


def test_flow_noise_is_diffusers_own():
    """Wan's noisy latents are those of the flow-match scheduler, and the estimate undoes the velocity."""
    schedule = FlowSchedule({"shift": 3.0})
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    times = theirs.timesteps[[10, 500, 900]]
    clean, noise = torch.randn(3, 4, 3, 8, 8), torch.randn(3, 4, 3, 8, 8)
    noisy = schedule.noisy(clean, noise, times)
    torch.testing.assert_close(noisy, theirs.scale_noise(clean, times, noise), rtol=1e-5, atol=1e-5)
    estimate = schedule.estimate(schedule.target(clean, noise, times), noisy, times)
    torch.testing.assert_close(estimate, clean, rtol=1e-4, atol=1e-4)


def test_training_times_cover_the_schedule_and_repeat_with_the_seed():
    """Both schedules draw times within 0..1000, the same for the same seed; Wan's shift moves them towards noise."""
    for schedule in (VSchedule(SCHEDULER), FlowSchedule({"shift": 3.0})):
        draws = [schedule.sample_times(4000, torch.Generator().manual_seed(3)) for _ in range(2)]
        assert torch.equal(*draws)
        assert 0 <= draws[0].min() < 10
        assert 990 < draws[0].max() <= 1000
    assert draws[0].mean() > 600


def test_mask_at_latent_resolution_is_coverage():
    """A latent's mask is the mean over its own 8 x 8 pixels and its own 1 or 4 frames: hard edges, soft
    mattes and motion."""
    geometry = make("cogvideox-2b", device="meta").geometry
    mask = torch.zeros(1, 1, 9, 16, 16)
    mask[:, :, 0, :, :4] = 1.0  # half of the left latents, in the first frame only
    mask[:, :, 5, 8:, 8:] = 0.8  # one soft frame of the third latent's four, lower right
    small = latent_mask(mask, geometry)
    assert small.shape == (1, 1, 3, 2, 2)
    torch.testing.assert_close(small[0, 0, 0], torch.tensor([[0.5, 0.0], [0.5, 0.0]]))
    assert float(small[0, 0, 1].sum()) == 0
    torch.testing.assert_close(small[0, 0, 2], torch.tensor([[0.0, 0.0], [0.0, 0.2]]))


def test_mask_of_a_stream_equals_the_mask_at_once():
    """A long mask in chunks, the first with the lone first frame, gives the same latents as the whole."""
    geometry = make("tiny-2b").geometry
    mask = torch.rand(1, 1, 17, 8, 8)
    parts = [latent_mask(mask[:, :, :9], geometry), latent_mask(mask[:, :, 9:], geometry, first=False)]
    assert torch.equal(torch.cat(parts, dim=2), latent_mask(mask, geometry))
    with pytest.raises(InputError, match="8 frames does not fit"):
        latent_mask(mask[:, :, :8], geometry)
