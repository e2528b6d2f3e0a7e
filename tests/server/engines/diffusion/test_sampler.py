"""The server's sampler against training's: times, steps, noise, windows and positions, without torch on one side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler
from harmovid.errors import OptionError
from harmovid_export.bundle import Request, positions_of, presets_of, scheduler_of
from harmovid_server.engines.diffusion import windows
from harmovid_server.engines.diffusion.multistep import trailing_times
from harmovid_server.engines.diffusion.noise import normal, seeded_noise
from harmovid_server.engines.diffusion.positions import positions
from harmovid_server.engines.diffusion.schedule import make_sampler
from harmovid_training.inference import shot
from harmovid_training.inference import windows as trained
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.schedule import FlowSchedule
from harmovid_training.models.sizes import make
from training.inference.tiny import tiny_model

SHAPE = (1, 4, 3, 4, 4)

WAN_UNIPC = {
    "num_train_timesteps": 1000, "prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0,
    "solver_order": 2, "solver_type": "bh2", "predict_x0": True, "lower_order_final": True,
    "final_sigmas_type": "zero", "timestep_spacing": "linspace",
}  # fmt: skip
"""As in the published Wan 2.1 models (scheduler_config.json), with the shift for 480 lines."""


def model_with(sampler: str) -> ConditionedModel:
    """Return a tiny model with the schedule that has this sampler; "unipc" is the one that comes with Wan."""
    if sampler in ("ddim", "dpm"):
        return tiny_model("tiny-2b")
    model = tiny_model("tiny-wan")
    if sampler == "unipc":
        model.backbone.schedule = FlowSchedule(WAN_UNIPC, UniPCMultistepScheduler)
    return model


def theirs_of(model: ConditionedModel, sampler: str, steps: int) -> Any:
    """Return training's sampler, its noise seeded as for a shot of seed 5."""
    made: Any = model.schedule.sampler("flow" if sampler == "unipc" else sampler, steps)
    if sampler == "dpm":
        made.generator = torch.Generator().manual_seed(5)
    return made


@pytest.mark.parametrize("steps", [1, 2, 4, 7, 30, 61])
@pytest.mark.parametrize("sampler", ["ddim", "dpm", "euler", "unipc"])
def test_steps_are_those_of_training(sampler: str, steps: int) -> None:
    """Times agree within rounding, and the result of each step for any prediction within a relative 1e-5."""
    model = model_with(sampler)
    theirs = theirs_of(model, sampler, steps)
    ours = make_sampler(scheduler_of(model, Request("")), sampler, steps, seed=5)
    assert len(ours.times) == len(theirs.times) == steps
    np.testing.assert_allclose(ours.times, theirs.times.numpy(), rtol=1e-6)
    generator = torch.Generator().manual_seed(steps)
    noise = torch.randn(SHAPE, generator=generator)
    wanted, found = theirs.start(noise, noise), ours.start(noise.numpy(), noise.numpy())
    for index in range(steps):
        prediction = torch.randn(SHAPE, generator=generator)
        wanted = theirs.step(index, prediction, wanted)
        found = ours.step(index, prediction.numpy(), found)
        assert np.linalg.norm(found - wanted.numpy()) < 1e-5 * np.linalg.norm(wanted.numpy())


def test_every_number_of_steps_has_as_many_times() -> None:
    """Times fall from 999 and none is below 0, whatever rounding does: that would be the noisiest one again."""
    for steps in range(1, 1001):
        times = np.array(trailing_times(steps))
        assert len(times) == steps
        assert times[0] == 999
        assert times[-1] >= 0
        assert (np.diff(times) < 0).all()


@pytest.mark.parametrize("order", [1, 3])
def test_a_solver_of_another_order_is_diffusers(order: int) -> None:
    """UniPC of order 1 and 3 agrees as well, within 1e-4, as diffusers solves its small systems in float32."""
    model = model_with("unipc")
    model.backbone.schedule = FlowSchedule({**WAN_UNIPC, "solver_order": order}, UniPCMultistepScheduler)
    theirs = theirs_of(model, "unipc", 9)
    ours = make_sampler(scheduler_of(model, Request("")), "unipc", 9)
    generator = torch.Generator().manual_seed(1)
    wanted = torch.randn(SHAPE, generator=generator)
    found = wanted.numpy()
    for index in range(9):
        prediction = torch.randn(SHAPE, generator=generator)
        wanted = theirs.step(index, prediction, wanted)
        found = ours.step(index, prediction.numpy(), found)
        assert np.linalg.norm(found - wanted.numpy()) < 1e-4 * np.linalg.norm(wanted.numpy())


@pytest.mark.parametrize("sampler", ["ddim", "dpm", "euler", "unipc"])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_sampler_goes_on_from_its_state(sampler: str, stop: int) -> None:
    """After any step, a new sampler with the first one's state takes the same further steps, to the bit."""
    scheduler = scheduler_of(model_with(sampler), Request(""))
    draws = np.random.default_rng(stop)
    timeline = start = draws.normal(size=SHAPE).astype(np.float32)
    predictions = draws.normal(size=(4, *SHAPE)).astype(np.float32)
    whole = make_sampler(scheduler, sampler, 4, seed=7)
    for index in range(4):
        timeline = whole.step(index, predictions[index], timeline)
    first, second = (make_sampler(scheduler, sampler, 4, seed=7) for _ in range(2))
    again = start
    for index in range(4):
        if index == stop:
            second.restore(first.state())
        again = (second if index >= stop else first).step(index, predictions[index], again)
    np.testing.assert_array_equal(again, timeline)


@pytest.mark.parametrize("sampler", ["ddim", "dpm", "euler", "unipc"])
def test_presets_name_sampler_and_steps(sampler: str) -> None:
    """`draft` and `final` are the exported sampler with a quarter of its steps and with all; a student has none."""
    model, request = model_with(sampler), Request("", sampler=sampler, steps=20)
    presets = presets_of(model, request)
    assert presets == {
        "draft": {"sampler": sampler, "steps": 5},
        "final": {"sampler": sampler, "steps": 20},
    }
    for values in presets.values():
        made = make_sampler(scheduler_of(model, request), values["sampler"], values["steps"])
        assert len(made.times) == values["steps"]
    assert presets_of(model, Request("", sampler="one-step")) == {}


def test_a_solver_that_is_not_served_is_left_out() -> None:
    """A UniPC configuration that the server does not compute is not offered; plain Euler still is."""
    model = model_with("unipc")
    assert scheduler_of(model, Request(""))["samplers"] == ["unipc", "euler", "one-step"]
    model.backbone.schedule = FlowSchedule({**WAN_UNIPC, "use_karras_sigmas": True}, UniPCMultistepScheduler)
    assert scheduler_of(model, Request(""))["samplers"] == ["euler", "one-step"]


@pytest.mark.parametrize("size", ["tiny-2b", "tiny-wan"])
def test_a_students_only_step_is_that_of_training(size: str) -> None:
    """It starts from the composite and takes one step; more are refused."""
    model = tiny_model(size)
    theirs, told = model.schedule.sampler("one-step", 1), scheduler_of(model, Request(""))
    ours = make_sampler(told, "one-step", 1)
    composite, prediction = torch.randn(SHAPE), torch.randn(SHAPE)
    found = ours.step(0, prediction.numpy(), ours.start(np.zeros(SHAPE, np.float32), composite.numpy()))
    np.testing.assert_allclose(found, theirs.step(0, prediction, composite).numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(OptionError, match="cannot take 3 steps"):
        make_sampler(told, "one-step", 3)
    with pytest.raises(OptionError, match="no sampler 'heun'"):
        make_sampler(told, "heun", 3)


@pytest.mark.parametrize("size", [16, 24, 31, 48, 1000, 3072])
@pytest.mark.parametrize("seed", [0, 5, 2**31 * 1_000_003 + 7])
def test_noise_is_torchs(size: int, seed: int) -> None:
    """The same seed draws the same numbers as torch's generator, to a rounding of its logarithm and cosine."""
    wanted = torch.randn(size, generator=torch.Generator().manual_seed(seed)).numpy()
    np.testing.assert_allclose(normal(size, seed), wanted, atol=2e-6)


def test_a_shots_noise_is_trainings() -> None:
    """Each latent's noise depends on the seed and its number, and is what training would draw for it."""
    np.testing.assert_allclose(
        seeded_noise((4, 6, 8), 5, 3), shot.seeded_noise((4, 6, 8), 5, 3).numpy(), atol=2e-6
    )


@pytest.mark.parametrize("size", ["tiny-5b", "tiny-1.5", "tiny-2b", "tiny-wan"])
@pytest.mark.parametrize("shape", [(4, 8, 8), (2, 4, 6), (6, 6, 8)])
def test_positions_are_those_of_the_adapter(size: str, shape: tuple[int, int, int]) -> None:
    """The bundle's rule of positions gives the adapter's own positions, by name, within rounding."""
    model = tiny_model(size)
    backbone = model.backbone
    wanted = dict(zip(backbone.position_names, backbone.positions(*shape, torch.device("cpu"))))
    found = positions(positions_of(model), *shape)
    assert set(found) == set(wanted)
    for name, value in found.items():
        np.testing.assert_allclose(value, wanted[name].float().numpy(), atol=1e-6)


def test_learned_positions_are_refused() -> None:
    """A model whose positions are of one size says so instead of being exported."""
    from harmovid.errors import InputError
    from harmovid_training.models.conditioning import HARMOVID
    from harmovid_training.models.model import ConditionedModel

    backbone = make("tiny-5b-i2v")
    model = ConditionedModel(backbone, HARMOVID, torch.zeros(1, *backbone.text_shape))
    with pytest.raises(InputError, match="one picture size only"):
        positions_of(model)


@pytest.mark.parametrize(("total", "size", "overlap"), [(3, 5, 2), (21, 5, 2), (100, 7, 6), (12, 4, 0)])
def test_windows_are_those_of_training(total: int, size: int, overlap: int) -> None:
    """Spans, weights and the average over windows agree to a rounding."""
    found = windows.spans(total, size, overlap)
    assert found == trained.spans(total, size, overlap)
    conditions, timeline = torch.randn(1, 3, total, 2, 2), torch.randn(1, 4, total, 2, 2)

    def network(noisy: torch.Tensor, given: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Mean over the window and the place in it: what differs from window to window."""
        place = torch.arange(noisy.shape[2]).view(1, 1, -1, 1, 1)
        return noisy + given[:, :1] * place - noisy.mean(2, keepdim=True) * times

    def ours(latents: np.ndarray, time: float) -> np.ndarray:
        seen = torch.from_numpy(latents)
        return network(seen[:, :4], seen[:, 4:], torch.tensor(time)).numpy()

    wanted = trained.over_windows(network, conditions, found)(timeline, torch.tensor([0.5]))
    averaged = windows.over_windows(ours, conditions.numpy(), found)(timeline.numpy(), 0.5)
    np.testing.assert_allclose(averaged, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_windows_that_do_not_advance_are_refused() -> None:
    """An overlap as long as the window is an error with a fix."""
    with pytest.raises(OptionError, match="cannot overlap by 4"):
        windows.spans(20, 4, 4)
