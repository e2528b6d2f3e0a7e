"""The adapters against diffusers' own pipelines with tiny random weights: bit-identical results."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXDPMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanPipeline,
)
from harmovid.errors import InputError, OptionError
from harmovid_training.models.cogvideox import OFS, SCHEDULER, CogVideoX
from harmovid_training.models.sizes import make
from harmovid_training.models.wan import Wan
from torch import Tensor

COG_SIZES = ["tiny-2b", "tiny-5b", "tiny-1.5"]
HEIGHT, WIDTH = 16, 24


def cog_vae() -> AutoencoderKLCogVideoX:
    """Return a VAE of CogVideoX's shape with 4 latent channels and 8 x 8 pixels per latent."""
    torch.manual_seed(1)
    return AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        sample_height=HEIGHT, sample_width=WIDTH,
    ).eval()  # fmt: skip


def predicted(backbone: CogVideoX | Wan, latents: Tensor, times: Tensor, text: Tensor) -> Tensor:
    """Return what the adapter predicts, with the positions of the latents' shape."""
    made: Tensor = backbone(latents, times, text, backbone.positions_for(latents))
    return made


def denoise(
    backbone: CogVideoX | Wan, sampler: str, steps: int, noise: Tensor, text: Tensor, seed: int = 0
) -> Tensor:
    """Return latents `(B, C, T, h, w)` after all steps of our sampler and adapter."""
    run = backbone.schedule.sampler(sampler, steps)
    if sampler == "dpm":
        run.generator = torch.Generator().manual_seed(seed)
    sample = run.start(noise, noise)
    with torch.no_grad():
        for index, time in enumerate(run.times):
            sample = run.step(index, predicted(backbone, sample, time.expand(len(sample)), text), sample)
    return sample


@pytest.mark.parametrize("size", COG_SIZES)
@pytest.mark.parametrize("sampler", ["ddim", "dpm"])
def test_cogvideox_samples_what_diffusers_samples(size, sampler):
    """Schedule, prediction type, positions and layout are those of CogVideoXPipeline: the same latents, bit for bit."""
    torch.manual_seed(0)
    backbone = make(size).eval()
    scheduler = (CogVideoXDDIMScheduler if sampler == "ddim" else CogVideoXDPMScheduler).from_config(
        SCHEDULER
    )
    pipeline = CogVideoXPipeline(None, None, cog_vae(), backbone.transformer, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    noise, text = torch.randn(1, 4, 4, HEIGHT // 8 * 2, WIDTH // 8 * 2), torch.randn(1, *backbone.text_shape)
    theirs = pipeline(
        prompt_embeds=text, height=2 * HEIGHT, width=2 * WIDTH, num_frames=13, num_inference_steps=4,
        guidance_scale=1.0, latents=noise.transpose(1, 2), output_type="latent",
        generator=torch.Generator().manual_seed(5),
    ).frames.transpose(1, 2)  # fmt: skip
    assert torch.equal(denoise(backbone, sampler, 4, noise, text, seed=5), theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 4, 4, 8, 8), (1, 4, 6, 4, 8)])
@pytest.mark.parametrize("size", [*COG_SIZES, "tiny-5b-i2v", "tiny-1.5-i2v"])
def test_the_forward_pass_is_diffusers_own_bit_for_bit(size, shape, dtype):
    """Positions as inputs and attention without in-place writes change no bit of the published class's answer."""
    torch.manual_seed(0)
    backbone = make(size).eval().to(dtype)
    published = CogVideoXTransformer3DModel(**backbone.transformer.config).eval().to(dtype)
    published.load_state_dict(backbone.transformer.state_dict())
    if size == "tiny-5b-i2v":
        shape = (*shape[:2], 3, 8, 8)  # learned positions are of one size and length
    latents = torch.randn(shape[0], backbone.input_channels, *shape[2:], dtype=dtype)
    text, times = torch.randn(shape[0], *backbone.text_shape, dtype=dtype), torch.full((shape[0],), 321)
    with torch.no_grad():
        theirs = published(
            hidden_states=latents.transpose(1, 2), encoder_hidden_states=text, timestep=times, return_dict=False,
            ofs=latents.new_full((1,), OFS) if published.config.ofs_embed_dim else None,
            image_rotary_emb=backbone.positions_for(latents)[:2] if "cosine" in backbone.position_names else None,
        )[0]  # fmt: skip
        assert torch.equal(predicted(backbone, latents, times, text), theirs.transpose(1, 2))


def test_positions_are_made_once_per_shape():
    """The same shape gets the same tensors again; learned positions of another size are refused with a message."""
    backbone = make("tiny-5b")
    latents = torch.zeros(1, 4, 3, 8, 8)
    assert backbone.positions_for(latents) is backbone.positions_for(latents.clone())
    assert backbone.positions_for(latents[:, :, :2])[0].shape == (2 * 4 * 4, 16)
    with pytest.raises(InputError, match="latents of 8x8, these are 9 frames and 12x8"):
        make("tiny-5b-i2v").positions_for(torch.zeros(1, 8, 3, 8, 12))
    with pytest.raises(InputError, match="for 9 frames"):
        make("tiny-5b-i2v").positions_for(torch.zeros(1, 8, 4, 8, 8))


@pytest.mark.parametrize("scheduler", ["euler", "unipc"])
@pytest.mark.parametrize("size", ["tiny-wan", "tiny-wan-2.2"])
def test_wan_samples_what_diffusers_samples(size, scheduler):
    """The same for WanPipeline, with its flow-match Euler and its UniPC scheduler, one time per clip or per token."""
    torch.manual_seed(0)
    source = make(size)
    if scheduler == "euler":
        chosen = FlowMatchEulerDiscreteScheduler(shift=3.0)
    else:
        chosen = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=1000
        )
    backbone = Wan(
        source.transformer, dict(chosen.config), type(chosen), spatial=8, per_token_time=source.per_token_time
    ).eval()
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    pipeline = WanPipeline(
        None, None, vae, chosen, backbone.transformer, expand_timesteps=source.per_token_time
    )
    pipeline.set_progress_bar_config(disable=True)
    noise, text = torch.randn(1, 4, 3, 4, 6), torch.randn(1, 8, 8)
    theirs = pipeline(
        prompt_embeds=text, height=32, width=48, num_frames=9, num_inference_steps=4, guidance_scale=1.0,
        latents=noise, output_type="latent",
    ).frames  # fmt: skip
    assert torch.equal(denoise(backbone, "flow", 4, noise, text), theirs)


@pytest.mark.parametrize(
    "size", ["tiny-2b", "tiny-5b", "tiny-5b-i2v", "tiny-1.5", "tiny-1.5-i2v", "tiny-wan"]
)
def test_widening_leaves_the_pretrained_function_unchanged(size):
    """At step 0 a widened model predicts, for any conditioning, exactly what the pretrained one predicts without."""
    torch.manual_seed(0)
    backbone = make(size).eval()
    count = 3 if size == "tiny-5b-i2v" else 4
    noisy, text, time = torch.randn(2, 4, count, 8, 8), torch.randn(2, 8, 8), torch.tensor([7, 800])
    pretrained = backbone.input_channels
    with torch.no_grad():
        bare = predicted(
            backbone, torch.cat([noisy, torch.zeros(2, pretrained - 4, count, 8, 8)], 1), time, text
        )
        backbone.widen(13)
        wide = predicted(backbone, torch.cat([noisy, torch.randn(2, 9, count, 8, 8) * 100], 1), time, text)
    assert backbone.input_channels == 13
    torch.testing.assert_close(wide, bare, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", ["tiny-2b", "tiny-1.5", "tiny-wan"])
def test_new_channels_learn_from_the_first_step(size):
    """The zero weights get a gradient at once, so that conditioning can be learned."""
    torch.manual_seed(0)
    backbone = make(size)
    backbone.widen(13)
    out = predicted(backbone, torch.randn(1, 13, 2, 8, 8), torch.tensor([500]), torch.randn(1, 8, 8))
    out.square().mean().backward()
    weight = backbone.patch_embedding.weight
    flat = weight.grad.flatten(1).view(weight.shape[0], 13, -1)
    assert flat[:, 4:].abs().amax((0, 2)).min() > 0


def test_a_widened_model_is_not_narrowed():
    """Widening to fewer channels than the latents have is refused with a message."""
    with pytest.raises(InputError, match="cannot become one of 2"):
        make("tiny-2b").widen(2)


@pytest.mark.parametrize("kind", ["cogvideox", "wan"])
def test_from_pretrained_reads_a_local_folder_in_diffusers_layout(tmp_path, kind):
    """Weights and scheduler come back as they were saved, by the same call that takes a public name."""
    torch.manual_seed(0)
    if kind == "cogvideox":
        source = make("tiny-5b")
        scheduler = CogVideoXDDIMScheduler.from_config({**SCHEDULER, "snr_shift_scale": 2.0})
        CogVideoXPipeline(None, None, cog_vae(), source.transformer, scheduler).save_pretrained(tmp_path)
        loaded = CogVideoX.from_pretrained(tmp_path, torch.float32)
        assert torch.equal(loaded.schedule.scheduler.alphas_cumprod, scheduler.alphas_cumprod)
    else:
        source = make("tiny-wan-2.2")
        vae = AutoencoderKLWan(
            base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, scale_factor_spatial=16
        )
        WanPipeline(
            None,
            None,
            vae,
            FlowMatchEulerDiscreteScheduler(shift=5.0),
            source.transformer,
            expand_timesteps=True,
        ).save_pretrained(tmp_path)
        loaded = Wan.from_pretrained(tmp_path, torch.float32)
        assert (loaded.schedule.shift, loaded.geometry.spatial, loaded.per_token_time) == (5.0, 16, True)
    noisy, text, time = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 8, 8), torch.tensor([300])
    with torch.no_grad():
        assert torch.equal(
            predicted(loaded.eval(), noisy, time, text), predicted(source.eval(), noisy, time, text)
        )


def test_unknown_names_are_refused():
    """A size or sampler that does not exist is named together with those that do."""
    with pytest.raises(OptionError, match="cogvideox-5b"):
        make("huge")
    with pytest.raises(OptionError, match="ddim, dpm, one-step"):
        make("tiny-2b").schedule.sampler("euler", 4)
