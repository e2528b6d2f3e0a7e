"""Temporal MultiDiffusion: windows, averages, and no seam."""

from __future__ import annotations

import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.inference.windows import over_windows, spans, weights
from harmovid_training.models.cogvideox import SCHEDULER
from harmovid_training.models.schedule import VSchedule
from torch import Tensor, nn


class Still(nn.Module):
    """A translation-invariant model: the same small network for every latent, whatever its place in time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Sequential(nn.Conv3d(5, 8, 1), nn.Tanh(), nn.Conv3d(8, 4, 1))

    def forward(self, noisy: Tensor, conditions: Tensor, timesteps: Tensor) -> Tensor:
        """Return a prediction that also depends on the time."""
        return self.mix(torch.cat([noisy, conditions], 1)) * (1 + timesteps.view(-1, 1, 1, 1, 1) / 1000)


class Local(Still):
    """A model that looks one latent to each side and fills the ends of its window by repetition."""

    def forward(self, noisy: Tensor, conditions: Tensor, timesteps: Tensor) -> Tensor:
        """Return the mean over three latents in time."""
        made = super().forward(noisy, conditions, timesteps)
        wide = nn.functional.pad(made, (0, 0, 0, 0, 1, 1), mode="replicate")
        return (wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]) / 3


def run(model: nn.Module, sampler: str, windows: list[slice], total: int = 25) -> Tensor:
    """Return a timeline after eight steps."""
    torch.manual_seed(1)
    noise, conditions = torch.randn(1, 4, total, 2, 2), torch.randn(1, 1, total, 2, 2)
    steps = VSchedule(SCHEDULER).sampler(sampler, 8)
    if sampler == "dpm":
        steps.generator = torch.Generator().manual_seed(0)
    predict = over_windows(model, conditions, windows)
    timeline = steps.start(noise, noise)
    with torch.no_grad():
        for index, time in enumerate(steps.times):
            timeline = steps.step(index, predict(timeline, time), timeline)
    return timeline


def test_spans_cover_everything_once_and_overlap_enough():
    """Every latent is covered, neighbours share at least the overlap, and the last window ends with the timeline."""
    for total in range(1, 60):
        windows = spans(total, 11, 3)
        assert windows[0].start == 0
        assert windows[-1].stop == total
        assert all(one.stop - one.start == min(total, 11) for one in windows)
        assert all(before.stop - after.start >= 3 for before, after in zip(windows, windows[1:]))
    with pytest.raises(InputError, match="overlap by less"):
        spans(30, 11, 11)


@pytest.mark.parametrize("sampler", ["ddim", "dpm"])
def test_windows_equal_one_long_window(sampler):
    """With a translation-invariant model all frames equal a single window over everything, seams included."""
    whole = run(Still(), sampler, [slice(0, 25)])
    parts = run(Still(), sampler, spans(25, 9, 3))
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)


def test_interior_frames_are_those_of_one_long_window():
    """Where a model sees its neighbours, latents that no edge of a window has reached after eight steps (one latent a
    step) equal the long window's; what the edges do change is small against the picture."""
    total, size, steps = 105, 41, 8
    windows = spans(total, size, 9)
    whole, parts = (run(Local(), "ddim", each, total) for each in ([slice(0, total)], windows))
    edges = [edge for window in windows for edge in (window.start, window.stop) if edge not in (0, total)]
    away = torch.tensor([min(abs(edge - 0.5 - place) for edge in edges) for place in range(total)])
    interior = away > steps
    assert 40 < int(interior.sum()) < total
    torch.testing.assert_close(parts[:, :, interior], whole[:, :, interior], rtol=1e-5, atol=1e-5)
    assert (parts - whole).abs().max() < 0.1 * whole.std()


def test_overlap_takes_the_seam_away():
    """Where a model sees its neighbours, overlapping windows come closer to the long window than windows side
    by side."""
    whole = run(Local(), "ddim", [slice(0, 25)])
    apart = run(Local(), "ddim", [slice(0, 9), slice(9, 18), slice(18, 25)])
    blended = run(Local(), "ddim", spans(25, 9, 5))
    assert (blended - whole).abs().max() < 0.6 * (apart - whole).abs().max()


def test_averaging_predictions_is_averaging_moved_latents():
    """MultiDiffusion as it is written, averaging each window's latents after a step, gives the same timeline."""
    model, windows = Local(), spans(13, 7, 3)
    torch.manual_seed(2)
    noise, conditions = torch.randn(1, 4, 13, 2, 2), torch.randn(1, 1, 13, 2, 2)
    ours = VSchedule(SCHEDULER).sampler("ddim", 4)
    theirs = noise
    timeline = ours.start(noise, noise)
    predict = over_windows(model, conditions, windows)
    with torch.no_grad():
        for index, time in enumerate(ours.times):
            timeline = ours.step(index, predict(timeline, time), timeline)
            total, count = torch.zeros_like(theirs), torch.zeros(13)
            for window in windows:
                part = theirs[:, :, window]
                moved = ours.step(index, model(part, conditions[:, :, window], time.view(1)), part)
                total[:, :, window] += moved * weights(window).view(-1, 1, 1)
                count[window] += weights(window)
            theirs = total / count.view(1, 1, -1, 1, 1)
    torch.testing.assert_close(timeline, theirs, rtol=1e-4, atol=1e-4)
