"""Batches: seeded by step, truth exact, anchors as serving measures them, held-out scenes kept apart."""

from __future__ import annotations

import pytest
import torch
from harmovid.pixels.colour.model_space import exposure_anchor
from harmovid_training.data.batches import HEIGHT, WIDTH, Sampler, anchors, crop_window, subject_box
from harmovid_training.data.cache import CHOOSE, TEST, TRAIN
from training.data.world import scenes, subjects


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    """Step 3 drawn alone is that of a run from 0; another seed draws another."""

    def drawn(seed: int, steps: tuple[int, ...]) -> torch.Tensor:
        sampler = Sampler(scenes(), subjects(), seed)
        for step in steps:
            sampler.at(step)
            composite = sampler.mixed(4, 1, 0.5).composite
        return composite

    assert torch.equal(drawn(5, (0, 1, 2, 3)), drawn(5, (3,)))
    assert not torch.equal(drawn(5, (3,)), drawn(6, (3,)))


def test_a_crop_lies_around_the_subject_inside_the_frame() -> None:
    """The crop is twice the subject's box, in the frame's shape; at the border it is moved inside, not made smaller."""
    matte = torch.zeros(1, 1, 90, 120)
    matte[:, :, 30:60, 50:70] = 1
    box = subject_box(matte)[0].numpy().astype(float)
    window = crop_window(box, (90, 120))
    assert window[3] - window[1] == pytest.approx(2 * (box[3] - box[1]), rel=1e-6)
    assert window[2] - window[0] == pytest.approx(window[3] - window[1], rel=1e-6)
    assert (window[:2] < box[:2]).all()
    assert (window[2:] > box[2:]).all()

    corner = crop_window(box - box[[0, 1, 0, 1]], (90, 120))
    assert (corner >= 0).all()
    assert (corner <= 1).all()
    assert corner[2] - corner[0] == pytest.approx(window[2] - window[0], rel=1e-6)


def test_only_the_foreground_is_wrong() -> None:
    """Where nothing is covered the composite is the truth, bit by bit, in regions and renders."""
    sampler = Sampler(scenes(), subjects(), 2)
    for batch in (sampler.regions(6, 2), sampler.renders(6, 2), sampler.mixed(6, 2, 0.5)):
        away = (batch.covered == 0).expand_as(batch.truth)
        assert away.any()
        assert torch.equal(batch.composite[away], batch.truth[away])
        assert not torch.equal(batch.composite, batch.truth)
        assert torch.isfinite(batch.composite).all()
        assert batch.composite.shape[2:] == (HEIGHT, WIDTH)


def test_frames_of_a_clip_share_their_look() -> None:
    """A look of amount 0 changes no frame of a clip, so some clips need no correction."""
    batch = Sampler(scenes(), None, 3).regions(40, 2)
    right = (batch.composite == batch.truth).flatten(1).all(1).reshape(-1, 2)

    assert torch.equal(right[:, 0], right[:, 1])
    assert 2 <= int(right[:, 0].sum()) <= 20


def test_anchors_are_those_of_serving() -> None:
    """The anchor of a clip is `exposure_anchor` of its frames with the foreground black, on every second pixel."""
    batch = Sampler(scenes(), None, 4).regions(3, 2)
    found = anchors(batch.composite, batch.matte, batch.seen, 2)
    plates = torch.where((batch.matte < 0.05) & (batch.seen > 0.5), batch.composite, torch.zeros(()))[
        :, :, ::2, ::2
    ]
    linear = plates.permute(0, 2, 3, 1).numpy()

    for clip in range(3):
        wanted = [exposure_anchor([linear[2 * clip + frame]]) for frame in range(2)]
        # The median of two is their mean in numpy, the lower one in torch.
        assert min(wanted) * 0.97 <= float(found[2 * clip]) <= max(wanted) * 1.03


def test_scenes_are_for_one_use() -> None:
    """Samplers for training, choosing and figures draw from disjoint pictures, and from all of them together."""
    rows = [set(Sampler(scenes(), None, 9, use=use).rows) for use in (TRAIN, CHOOSE, TEST)]

    assert set.union(*rows) == set(range(16))
    assert sum(len(one) for one in rows) == 16
