"""Whole shots through a tiny model: length, repetition, padding, and memory that does not grow with pictures."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from harmovid.errors import InputError, OptionError
from harmovid_training.inference.shot import (
    Settings,
    Streams,
    run_clip,
    run_shot,
    sample,
    seeded_noise,
    shot_conditions,
)
from harmovid_training.models.conditioning import DEFLICKER, HARMOVID
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import make
from training.inference.tiny import tiny_codec, tiny_model

QUICK = Settings("ddim", 2, seed=3, window_frames=9, overlap_frames=4)


def clip(count: int, channels: int = 3, size: int = 16) -> np.ndarray:
    """Return `(count, size, size, channels)` in -1..1."""
    return np.random.default_rng(count).uniform(-1, 1, (count, size, size, channels)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 9, 13, 30])
def test_any_length_comes_back_at_that_length(count):
    """1, 9, 13 and 30 frames come back as many, whatever the chunk rule and the windows are."""
    made = run_clip(
        tiny_model(),
        tiny_codec(),
        {"composite": clip(count), "background": clip(count)},
        clip(count, 1)[..., 0],
        QUICK,
    )
    assert made.shape == (count, 16, 16, 3)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("size", ["tiny-1.5", "tiny-wan"])
def test_other_backbones_run_the_same_way(size):
    """Models with patches over two latents, and Wan's chunks, run through the same function."""
    sampler = "flow" if size == "tiny-wan" else "dpm"
    settings = Settings(sampler, 2, window_frames=9, overlap_frames=4)
    pictures = {"composite": clip(17), "background": clip(17)}
    made = run_clip(tiny_model(size), tiny_codec(size), pictures, clip(17, 1)[..., 0], settings)
    assert made.shape == (17, 16, 16, 3)


def test_the_same_seed_gives_the_same_picture():
    """A seed repeats bit for bit, another seed does not; DPM's own noise is seeded as well."""
    given = {"composite": clip(9), "background": clip(9)}
    for sampler in ("ddim", "dpm"):
        runs = [
            run_clip(tiny_model(), tiny_codec(), given, clip(9, 1)[..., 0], Settings(sampler, 2, seed, 9))
            for seed in (3, 3, 4)
        ]
        assert np.array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0], runs[2])


def test_noise_of_a_latent_does_not_depend_on_the_length():
    """The first latents of a long shot have the noise of a short one."""
    assert torch.equal(seeded_noise((4, 2, 2), 9, 5)[:, :, :3], seeded_noise((4, 2, 2), 3, 5))


def test_a_shot_inside_one_window_is_the_plain_sampler():
    """With a single window the result equals that of sampler and model alone."""
    model, codec = tiny_model(), tiny_codec()
    pictures = {
        name: [torch.from_numpy(clip(9).transpose(3, 0, 1, 2))[None]] for name in ("composite", "background")
    }
    conditions = shot_conditions(model, codec, Streams(9, pictures, [torch.rand(1, 1, 9, 16, 16)]))
    sampler = model.schedule.sampler("ddim", 2)
    plain = sampler.start(seeded_noise((4, 4, 4), 3, 3), conditions[:, :4])
    with torch.no_grad():
        for index, time in enumerate(sampler.times):
            plain = sampler.step(index, model(plain, conditions, time.view(1)), plain)
    assert torch.equal(sample(model, conditions, QUICK), plain)


def test_a_one_step_student_starts_from_the_composite():
    """Its result is the estimate of one prediction at the encoded composite, and no noise enters."""
    model = tiny_model()
    conditions = torch.randn(1, 9, 3, 4, 4)
    made = sample(model, conditions, Settings("one-step", 1, seed=1, window_frames=9))
    assert torch.equal(made, sample(model, conditions, Settings("one-step", 1, seed=2, window_frames=9)))
    with torch.no_grad():
        predicted = model(conditions[:, :4], conditions, torch.tensor([399]))
        expected = model.schedule.estimate(predicted, conditions[:, :4], torch.tensor([399]))
    assert torch.equal(made, expected)
    with pytest.raises(OptionError, match="Set steps to 1"):
        sample(model, conditions, Settings("one-step", 4))


def test_streams_that_do_not_fit_are_refused():
    """A missing background, a short stream and a window of 85 frames each raise an error with a message."""
    model, codec = tiny_model(), tiny_codec()
    with pytest.raises(InputError, match="needs background"):
        run_clip(model, codec, {"composite": clip(9)}, clip(9, 1)[..., 0], QUICK)
    with pytest.raises(InputError, match="has 8 frames, 9 are announced"):
        run_clip(model, codec, {"composite": clip(8), "background": clip(9)}, clip(9, 1)[..., 0], QUICK)
    with pytest.raises(InputError, match="Use 89 or 81"):
        sample(model, torch.randn(1, 9, 3, 4, 4), Settings(window_frames=85))


def test_deflicker_needs_no_background():
    """The deflicker network runs on composite and mask alone."""
    backbone = make("tiny-2b")
    model = ConditionedModel(backbone, DEFLICKER, torch.zeros(1, *backbone.text_shape))
    made = run_clip(model, tiny_codec(), {"composite": clip(9)}, clip(9, 1)[..., 0], QUICK)
    assert made.shape == (9, 16, 16, 3)
    assert HARMOVID.channels(backbone.geometry) == 13


class Mallinfo2(ctypes.Structure):
    """What the C library's `mallinfo2` returns: what has been allocated and not been freed, in bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


C_LIBRARY = ctypes.CDLL(None)


def allocated() -> int:
    """Return the bytes that this process has allocated now: tensors and arrays, whatever the system keeps resident."""
    C_LIBRARY.mallinfo2.restype = Mallinfo2
    found = C_LIBRARY.mallinfo2()
    return int(found.uordblks + found.hblkhd)


@pytest.mark.skipif(not hasattr(C_LIBRARY, "mallinfo2"), reason="the C library is not glibc 2.33 or later")
def test_a_thousand_frames_in_bounded_memory():
    """1,000 frames take less memory beyond 40 frames than half the pixels of one of their four streams."""
    model, codec, side = tiny_model(), tiny_codec(), 16

    def peak(count: int) -> int:
        """Run a shot; return the most memory that was allocated whenever it took or gave frames."""
        seen = [0]

        def blocks(channels: int) -> Iterator[torch.Tensor]:
            for start in range(0, count, 8):
                seen.append(allocated())
                yield torch.rand(1, channels, min(8, count - start), side, side)

        streams = Streams(count, {"composite": blocks(3), "background": blocks(3)}, blocks(1))
        frames = 0
        for block in run_shot(
            model, codec, streams, Settings("one-step", 1, window_frames=33, overlap_frames=8)
        ):
            seen.append(allocated())
            frames += block.shape[2]
        assert frames == count
        return max(seen)

    peak(40)  # what the libraries keep of their first use is not the shot's
    gc.collect()  # nor is what earlier tests have left
    assert peak(1000) - peak(40) < 1000 * side * side * 3 * 4 / 2


def test_run_shot_streams():
    """The first pictures come out before the mask's and pictures' generators could have been asked again."""
    asked: list[int] = []

    def blocks(channels: int):
        for start in range(0, 17, 8):
            asked.append(start)
            yield torch.zeros(1, channels, min(8, 17 - start), 16, 16)

    streams = Streams(17, {"composite": blocks(3), "background": blocks(3)}, blocks(1))
    sizes = [block.shape[2] for block in run_shot(tiny_model(), tiny_codec(), streams, QUICK)]
    assert sizes == [9, 8]
    assert len(asked) == 9
