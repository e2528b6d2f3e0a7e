"""The streaming VAE against diffusers' own encode and decode, tiles included, and the chunk rule."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan
from harmovid.errors import InputError
from harmovid.pixels.colour.acescct import acescct_encode
from harmovid_training.models import space
from harmovid_training.models.backbone import Geometry
from harmovid_training.models.causal import CausalConv3d
from harmovid_training.models.codec import CogVideoXCodec, WanCodec, rechunked
from harmovid_training.models.sizes import make
from harmovid_training.models.tiles import Tiling
from torch import Tensor


def cog_vae() -> AutoencoderKLCogVideoX:
    """Return a tiny random VAE of CogVideoX's shape, 4 x 4 pixels per latent."""
    torch.manual_seed(0)
    return AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 3, up_block_types=("CogVideoXUpBlock3D",) * 3,
        block_out_channels=(4, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        sample_height=32, sample_width=32,
    ).eval()  # fmt: skip


def wan_vae(**changes: object) -> AutoencoderKLWan:
    """Return a tiny random VAE of Wan's shape."""
    torch.manual_seed(0)
    return AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[1.5, 0.5, 2.0, 1.0], **changes,
    ).eval()  # fmt: skip


def joined(blocks) -> Tensor:
    """Return all chunks of a stream as one tensor."""
    return torch.cat(list(blocks), dim=2)


@pytest.mark.parametrize("frames", [9, 17, 25])
def test_cogvideox_stream_equals_diffusers(frames):
    """Blocks of any size give the latents and pictures of diffusers' own chunked VAE, to the last bit."""
    vae, video = cog_vae(), torch.randn(1, 3, frames, 16, 16)
    codec = CogVideoXCodec(copy.deepcopy(vae))
    with torch.no_grad():
        latents = vae.encode(video).latent_dist.mode() * vae.config.scaling_factor
        pictures = vae.decode(latents / vae.config.scaling_factor).sample
    ours = joined(codec.encode(video.split(5, dim=2)))
    assert torch.equal(ours, latents)
    assert torch.equal(joined(codec.decode(ours.split(1, dim=2))), pictures)
    assert pictures.shape[2] == frames


def test_only_what_the_next_chunk_reads_is_kept():
    """Between chunks a streaming VAE holds two frames per causal convolution, and nothing for those of one frame."""
    codec = CogVideoXCodec(cog_vae())
    with torch.no_grad():
        latents, encoded = codec.encode_chunk(torch.randn(1, 3, 9, 16, 16), None)
        _, decoded = codec.decode_chunk(latents, None)
    for cache, part in ((encoded, codec.vae.encoder), (decoded, codec.vae.decoder)):
        held = leaves(cache)
        convolutions = [one for one in part.modules() if isinstance(one, CausalConv3d)]
        assert sum(one is None for one in held) == sum(not one.reach for one in convolutions)
        assert {one.shape[2] for one in held if one is not None} == {2}


def leaves(cache: object) -> list[Tensor | None]:
    """Return what a nested cache holds."""
    if isinstance(cache, dict):
        return [leaf for value in cache.values() for leaf in leaves(value)]
    return [cache]


@pytest.mark.parametrize("changes", [{}, {"patch_size": 2, "in_channels": 12, "out_channels": 12}])
def test_wan_stream_equals_diffusers(changes):
    """The same for Wan, with and without patches before the VAE."""
    vae, video = wan_vae(**changes), torch.rand(1, 3, 13, 16, 16) * 2 - 1
    codec = WanCodec(vae)
    with torch.no_grad():
        plain = vae.encode(video).latent_dist.mode()
        pictures = vae.decode(plain).sample
    latents = joined(codec.encode(video.split(6, dim=2)))
    torch.testing.assert_close(codec.unscaled(latents), plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(joined(codec.decode([codec.scaled(plain)])), pictures, rtol=1e-4, atol=1e-4)


def test_tiles_equal_diffusers_tiles():
    """Pictures beyond a tile are cut, cached per tile and blended exactly as diffusers' tiled VAE does it."""
    vae, video = cog_vae(), torch.randn(1, 3, 17, 28, 40)
    vae.enable_tiling(tile_overlap_factor_height=0.25, tile_overlap_factor_width=0.25)
    codec = CogVideoXCodec(copy.deepcopy(vae), Tiling((16, 16), (0.25, 0.25), 4))
    with torch.no_grad():
        latents = vae.encode(video).latent_dist.mode() * vae.config.scaling_factor
        pictures = vae.decode(latents / vae.config.scaling_factor).sample
    ours = joined(codec.encode(video.split(4, dim=2)))
    torch.testing.assert_close(ours, latents, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(joined(codec.decode([ours])), pictures, rtol=1e-4, atol=1e-4)


def test_from_pretrained_reads_a_local_folder(tmp_path):
    """A saved VAE comes back with its scale and with diffusers' tile sizes."""
    cog_vae().save_pretrained(tmp_path / "vae")
    codec = CogVideoXCodec.from_pretrained(tmp_path, torch.float32)
    assert (codec.spatial, codec.channels) == (4, 4)
    assert codec.tiling is not None
    assert codec.tiling.size == (16, 16)
    wan_vae().save_pretrained(tmp_path / "wan" / "vae")
    assert WanCodec.from_pretrained(tmp_path / "wan").spatial == 8


def test_chunk_rule():
    """8N+1 for CogVideoX, 4N+1 for Wan; the paper's 85 frames round up to 89 and are refused as they are."""
    cog, wan = (make(name, device="meta").geometry for name in ("cogvideox-2b", "wan-2.1-1.3b"))
    assert [cog.legal_frames(count) for count in (1, 2, 9, 81, 85)] == [1, 9, 9, 81, 89]
    assert [wan.legal_frames(count) for count in (1, 2, 5, 81)] == [1, 5, 5, 81]
    assert (cog.latents(81), cog.frames(21), wan.latents(81)) == (21, 81, 21)
    with pytest.raises(InputError, match="Use 89 or 81 frames"):
        cog.latents(85)


def test_85_frames_do_not_come_back_as_85():
    """The reason for the chunk rule: diffusers' VAE encodes 85 frames to 22 latents and decodes those to 88 frames."""
    vae = cog_vae()
    with torch.no_grad():
        latents = vae.encode(torch.zeros(1, 3, 85, 8, 8)).latent_dist.mode()
        assert latents.shape[2] == 22
        assert vae.decode(latents).sample.shape[2] == 88


def test_sizes_and_padding():
    """Latent sizes, tokens and the padding in front of patches over two latents; odd sizes are refused with
    the fix."""
    geometry = Geometry(16, 8, 4, 8, (2, 2, 2))
    assert geometry.latent_size(480, 720) == (60, 90)
    assert [geometry.front_padding(count) for count in (21, 22)] == [1, 0]
    assert geometry.tokens(21, 480, 720) == 11 * 30 * 45
    with pytest.raises(InputError, match="multiples of 16 wide"):
        geometry.latent_size(480, 721)


def test_rechunking_keeps_order_and_ends():
    """Any cut of a sequence is re-cut to the first size and the following size, the rest at the end."""
    whole = torch.arange(14).view(1, 1, 14, 1, 1)
    sizes = [part.shape[2] for part in rechunked(whole.split(5, dim=2), 3, 4)]
    assert sizes == [3, 4, 4, 3]
    assert torch.equal(torch.cat(list(rechunked(whole.split(1, dim=2), 3, 4)), dim=2), whole)


def test_vae_range():
    """Linear 0 is -1, five stops above the anchor is +1, and what lies between comes back."""
    stops = np.float32([0.0, 0.18 * 2**-6, 0.18, 0.18 * 2**5])
    pictures = space.to_vae(np.asarray(acescct_encode(stops), np.float32))
    assert pictures[0] == pytest.approx(-1, abs=1e-6)
    assert pictures[3] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(space.from_vae(pictures), acescct_encode(stops), atol=1e-6)
    assert space.to_vae(np.float32([2.0]))[0] == 1.0
