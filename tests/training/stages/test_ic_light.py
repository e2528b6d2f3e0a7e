"""IC-Light in a tiny pipeline of the real classes, with the settings of its public demo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.stages.frame_harmonizers import harmonize_frames
from harmovid_training.stages.ic_light import Demo, IcLight
from safetensors.torch import save_file
from training.stages.tiny_ic_light import tiny_ic_light

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
"""diffusers' own scheduler, under numpy 2."""

QUICK = Demo(prompt="a", best="b", worst="b", steps=2, strength=0.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return the offset's file and the base's folder."""
    return tiny_ic_light(tmp_path_factory.mktemp("ic-light"))


def frames(count: int = 2, side: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return foreground, background and mask; the mask is the left half."""
    rng = np.random.default_rng(0)
    mask = np.zeros((count, side, side), np.float32)
    mask[:, :, : side // 2] = 1
    pictures = rng.uniform(0.05, 0.9, (2, count, side, side, 3)).astype(np.float32)
    return pictures[0], pictures[1], mask


def test_frames_do_not_depend_on_their_neighbours(weights):
    """Frames sampled together are those sampled alone; foreground and background both count; sides need not be
    multiples of 8."""
    light = IcLight.from_pretrained(*weights, QUICK)
    given = frames()
    made = light(*given)
    assert made.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(
        harmonize_frames(*given, light, batch=1), harmonize_frames(*given, light), atol=1e-4
    )
    foreground, background, mask = given
    assert not np.allclose(made, light(foreground, background * 0.2, mask), atol=1e-3)
    assert not np.allclose(made, light(foreground * 0.2, background, mask), atol=1e-3)
    odd = light(*(each[:1, :19, :30] for each in given))
    assert odd.shape == (1, 19, 30, 3)
    assert np.isfinite(odd).all()


def test_guidance_and_the_second_pass_count(weights):
    """The prompt stands against another text, so guidance changes the picture; so does the second, larger pass, whose
    result comes back at the frame's size."""
    foreground, background, mask = frames(1)
    plain = IcLight.from_pretrained(*weights, QUICK)(foreground, background, mask)
    steered = IcLight.from_pretrained(*weights, replace(QUICK, guidance=2.0))(foreground, background, mask)
    twice = IcLight.from_pretrained(*weights, replace(QUICK, strength=0.5))(foreground, background, mask)
    assert not np.allclose(plain, steered, atol=1e-4)
    assert twice.shape == plain.shape
    assert not np.allclose(plain, twice, atol=1e-3)


def test_the_demos_settings_are_the_defaults():
    """The defaults are the steps, guidance, second pass and prompts of gradio_demo_bg.py; the prompt is never empty."""
    demo = Demo()
    assert (demo.steps, demo.guidance, demo.larger, demo.strength) == (20, 7.0, 1.5, 0.5)
    assert demo.prompt
    assert demo.best == "best quality"
    assert demo.worst.startswith("lowres")


def test_other_weights_are_refused(weights, tmp_path):
    """An offset of another network, one cut in half, a missing one and a missing base each have their own error."""
    whole = weights[0].read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be loaded as IC-Light's offset"):
        IcLight.from_pretrained(tmp_path / "cut.safetensors", weights[1])
    save_file({"other": torch.zeros(1)}, tmp_path / "wrong.safetensors")
    with pytest.raises(InputError, match="iclight_sd15_fbc"):
        IcLight.from_pretrained(tmp_path / "wrong.safetensors", weights[1])
    with pytest.raises(InputError, match="there is no"):
        IcLight.from_pretrained(tmp_path / "none.safetensors", weights[1])
    with pytest.raises(InputError, match="cannot be loaded as Stable Diffusion"):
        IcLight.from_pretrained(weights[0], str(tmp_path / "nowhere"))
