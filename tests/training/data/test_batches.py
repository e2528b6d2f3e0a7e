"""Batches: seeded by step, truth exact, anchors as serving measures them, held-out scenes kept apart."""

from __future__ import annotations

import torch
from harmovid.pixels.colour.model_space import exposure_anchor
from harmovid_training.data.batches import HEIGHT, WIDTH, Mix, Sampler, anchors, draws
from training.data.world import scenes, subjects


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    """Steps 3 and 4 drawn alone are those of a run from 0; another seed draws others."""
    mix = Mix(4, 0.5, 0.3)
    whole = list(draws(Sampler(scenes(), subjects(), 5), mix, 0, 5, 0))
    tail = list(draws(Sampler(scenes(), subjects(), 5), mix, 3, 5, 0))
    other = list(draws(Sampler(scenes(), subjects(), 6), mix, 3, 5, 0))

    for (a, frames), (b, again) in zip(whole[3:], tail):
        assert frames == again
        assert torch.equal(a.composite, b.composite)
        assert torch.equal(a.anchor, b.anchor)
    assert not torch.equal(other[0][0].composite, tail[0][0].composite)


def test_a_loading_process_draws_the_same() -> None:
    """A batch loaded by another process is the one drawn in this one, but for the last bits: that process has another
    number of threads, and sums are taken in another order."""
    mix = Mix(2, 0.5, 0.0)
    (here, _), (there, _) = (
        next(draws(Sampler(scenes(4), subjects(), 5), mix, 3, 4, workers)) for workers in (0, 1)
    )

    torch.testing.assert_close(here.composite, there.composite, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(here.covered, there.covered, rtol=1e-4, atol=1e-6)


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
    """A look that does nothing does nothing in both frames of a clip: some clips are wholly right."""
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


def test_held_out_scenes_are_kept_apart() -> None:
    """Training and held-out samplers draw from disjoint pictures."""
    held, trained = Sampler(scenes(), None, 9, held=True), Sampler(scenes(), None, 9)

    assert set(held.rows) | set(trained.rows) == set(range(16))
    assert not set(held.rows) & set(trained.rows)
