"""The diffusion engine on a real exported bundle: training's latents, whole shots, windows, tiles, checkpoints."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, List

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fakes.toy_bundle import HEIGHT, OVERLAP, WIDTH, WINDOW, shot, toy_bundle
from harmovid.errors import BundleError, EngineFailed, OptionError
from harmovid.pixels.apply.fast import field_stops
from harmovid.pixels.colour.model_space import exposure_anchor
from harmovid_server.engines import bundles
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo
from harmovid_server.engines.diffusion import memory
from harmovid_server.engines.diffusion.description import STEP, Tile
from harmovid_server.engines.diffusion.session import DiffusionSession
from harmovid_server.engines.diffusion.windows import spans
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_server.worker import checkpoint
from harmovid_server.worker.checkpoint import Checkpoint
from harmovid_server.worker.host import IDLE_S, EngineHost
from harmovid_training.inference import shot as trained
from harmovid_training.models import space
from harmovid_training.models.checkpoint import load_checkpoint
from harmovid_training.stages import pairs
from harmovid_training.toy.codec import load_codec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FIRST = 1001
BOX = (0, 0, 640, 480)
VISIBLE = 1.2
"""A field may change across a window's border by this much more than elsewhere."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the run's HarmoVid toy."""
    return toy_bundle(tmp_path_factory, "harmovid")


@pytest.fixture(scope="module")
def engine(toy: Any) -> Any:
    """Return the toy's engine, loaded on the processor."""
    made = bundles.create(toy.bundle)
    made.activate(RuntimeSettings(device="cpu"))
    yield made
    made.close()


def frames(count: int, seed: int = 3) -> List[ProxyFrame]:
    """Return the proxies of a rendered shot; a long one plays a short one forwards and backwards."""
    made = shot(seed, 33)
    length = len(made.real)
    there = [number % (2 * length - 2) for number in range(count)]
    places = [place if place < length else 2 * length - 2 - place for place in there]
    return [
        ProxyFrame(
            FIRST + number,
            {"fg": made.real[place], "bg": made.background[place]},
            {"matte": made.mask[place], "coverage": np.ones((HEIGHT, WIDTH), np.float32)},
            BOX,
        )
        for number, place in enumerate(places)
    ]


def start(engine: Any, count: int, pictures: bool = False, **options: Any) -> DiffusionSession:
    """Return a session for `count` frames."""
    numbers = tuple(range(FIRST, FIRST + count))
    return engine.start(ShotInfo(numbers, engine.info.check_options(options), ("fg", "bg"), pictures))


def run(session: DiffusionSession, proxies: List[ProxyFrame]) -> List[Answer]:
    """Push all frames and finish."""
    for one in proxies:
        assert not list(session.push(one))
    return [answer for answer in session.finish() if answer is not None]


def stops(answers: List[Answer], proxies: List[ProxyFrame]) -> np.ndarray:
    """Return what each field does to its frame under the matte, `(frames, 3)` mean stops."""
    made = []
    for one, proxy in zip(answers, proxies):
        step = field_stops(proxy.images["fg"], replace_box(one.field), origin=(0, 0))
        made.append(step[proxy.mattes["matte"] > 0.5].mean(axis=0))
    return np.array(made)


def replace_box(field: Any) -> Any:
    """Return a field whose local parts lie on the proxy's own pixels."""
    parts = [
        replace(part, box=(0, 0, WIDTH, HEIGHT)) if hasattr(part, "box") else part for part in field.parts
    ]
    return replace(field, parts=tuple(parts))


@pytest.mark.parametrize(("sampler", "steps", "count"), [("ddim", 4, 20), ("one-step", 1, 9), ("ddim", 2, 5)])
def test_latents_are_those_of_training(toy: Any, engine: Any, sampler: str, steps: int, count: int) -> None:
    """Conditions agree with the torch pipeline up to the last bit, sampled latents within 1e-5."""
    session = start(engine, count, sampler=sampler, steps=steps, seed=7)
    answers = run(session, frames(count))
    assert [one.number for one in answers] == list(range(FIRST, FIRST + count))
    made = shot(3, 33)
    sample = pairs.real_to_synthetic(replace(made, steady=made.synthetic))
    anchor = exposure_anchor(pairs.composite(made.real[:8], made.background[:8], made.mask[:8])[:count])
    pictures = {
        "composite": space.encode(pairs.composite(made.real, made.background, made.mask)[:count], anchor),
        "background": space.encode(made.background[:count], anchor),
    }
    streams = trained.Streams(
        count,
        {name: [torch.from_numpy(clip.transpose(3, 0, 1, 2))[None]] for name, clip in pictures.items()},
        [torch.from_numpy(sample.mask[:count])[None, None]],
    )
    model = load_checkpoint(toy.checkpoint)
    conditions = trained.shot_conditions(model, load_codec(toy.vae), streams)
    np.testing.assert_allclose(session._conditions(), conditions.numpy(), atol=1e-5)
    settings = trained.Settings(sampler, steps, 7, WINDOW, OVERLAP)
    wanted = trained.sample(model, conditions, settings).numpy()
    assert np.linalg.norm(session._sampled - wanted) < 1e-5 * np.linalg.norm(wanted)


def test_a_shot_shows_no_window(engine: Any) -> None:
    """Across the borders of windows the field changes at most 1.2 times as much as elsewhere.

    Both are measured against the same shot in one window, because its motion, and the step from one latent of the VAE
    to the next, change a field without any window. `bench/diffusion_windows.py` does so for 400 frames.
    """
    count, window, overlap = 65, 17, 4
    proxies = frames(count)
    changes = [
        np.abs(
            np.diff(stops(run(start(engine, count, detail="global", **options), proxies), proxies), axis=0)
        )
        for options in ({"window": window, "overlap": overlap}, {"window": count})
    ]
    # Latent k ends with frame 4k, so change[4k] is from latent k to latent k + 1.
    edges = {edge for span in spans(17, 5, 1) for edge in (span.start - 1, span.stop - 1)}
    borders = np.isin(np.arange(count - 1), [4 * edge for edge in edges])
    assert borders.sum() == 6
    shares = [changes[0][places].mean() / changes[1][places].mean() for places in (borders, ~borders)]
    assert shares[0] < VISIBLE * shares[1]
    # The windows are there: their answer is not that of one window.
    assert np.abs(changes[0] - changes[1]).max() > 1e-4


def test_what_is_kept_does_not_grow_with_pictures(engine: Any) -> None:
    """After encoding only latents and the packed matte of a frame are kept: a hundredth of its pictures' memory."""
    session = start(engine, 400)
    for one in frames(400):
        list(session.push(one))
    assert len(session._waiting) < WINDOW
    kept = sum(len(matte) for _, _, matte in session._kept)
    latents = sum(block.nbytes for blocks in session._latents.values() for block in blocks)
    shown = 400 * (2 * 3 + 1) * HEIGHT * WIDTH * 4
    assert kept < shown / 100
    # The toy's latents are 24 channels at a quarter of the side; the published VAE's are a sixteenth of that.
    assert latents < shown / 8


def test_a_shot_goes_on_from_a_checkpoint(engine: Any) -> None:
    """A session that is saved after any answer and restored gives the rest of the answers, byte for byte."""
    proxies = frames(21)
    whole = [one.field.to_bytes() for one in run(start(engine, 21), proxies)]
    session = start(engine, 21)
    for one in proxies:
        list(session.push(one))
    answers = (answer for answer in session.finish() if answer is not None)
    for _ in range(12):
        next(answers)
    state = session.state()
    again = start(engine, 21)
    again.restore(state)
    assert [one.field.to_bytes() for one in again.finish() if one] == whole[12:]
    fresh = start(engine, 21)
    with pytest.raises(EngineFailed, match="not sampled yet"):
        again.restore(fresh.state())


def test_steps_on_the_device_give_what_steps_on_the_host_give(engine: Any) -> None:
    """In one window latents stay on the device between steps; the answers are those of numpy's steps, to the bit."""
    options, proxies = {"sampler": "ddim", "steps": 3, "window": 9}, frames(9)
    there = start(engine, 9, **options)
    for one in proxies:
        list(there.push(one))
    work = there.finish()
    next(work)
    assert not isinstance(there._sampling._timeline, np.ndarray)
    answers = [one.field.to_bytes() for one in work if one]
    here = start(engine, 9, **options)
    here._networks = {role: network for role, network in here._networks.items() if role != STEP}
    assert [one.field.to_bytes() for one in run(here, proxies)] == answers


def test_a_long_shots_latents_are_on_the_host_and_windows_of_them_on_the_device(engine: Any) -> None:
    """In several windows the whole timeline is an array after every step; the transformer never gets more than a
    window."""
    sizes = []

    class Watched(Short):
        def __call__(self, inputs: Any, keep: Any = ()) -> Any:
            sizes.append(inputs["latents"].shape[2])
            return self._network(inputs, keep)

    session = start(engine, 65, sampler="ddim", steps=2, window=17, overlap=4)
    with TemporaryDirectory() as folder:
        watched = Watched(engine._networks["transformer"], 0, Path(folder))
    session._networks = {**session._networks, "transformer": watched}
    for one in frames(65):
        list(session.push(one))
    work = session.finish()
    for _ in range(2):
        assert next(work) is None
        assert isinstance(session._sampling._timeline, np.ndarray)
        assert session._sampling._timeline.shape[2] == 17
    assert sizes == [5] * len(spans(17, 5, 1)) * 2
    assert len([one for one in work if one]) == 65


@pytest.mark.parametrize("sampler", ["ddim", "dpm"])
def test_a_sampling_goes_on_from_any_step(engine: Any, sampler: str) -> None:
    """A session saved after any step, or before the first, samples the rest in another process's session to the bit."""
    # ddim in one window, so that its latents are on the device; dpm in several.
    options = {"sampler": sampler, "steps": 3, "seed": 4, "window": 17 if sampler == "ddim" else 9}
    proxies = frames(12)
    whole = [one.field.to_bytes() for one in run(start(engine, 12, **options), proxies)]
    for steps in (1, 2, 3):
        session = start(engine, 12, **options)
        for one in proxies:
            list(session.push(one))
        work = session.finish()
        assert [next(work) for _ in range(steps)] == [None] * steps
        with TemporaryDirectory() as folder:
            # Through the worker's own file, as a worker that was killed leaves it.
            path = Path(folder) / "state.npz"
            checkpoint.save(path, Checkpoint("toy 1", FIRST + 11, BOX, session.state()))
            found = checkpoint.load(path, "toy 1")
        again = start(engine, 12, **options)
        again.restore(found.state)
        assert [one.field.to_bytes() for one in again.finish() if one] == whole


def test_tiles_give_what_the_whole_gives(engine: Any) -> None:
    """A VAE of independent patches gives the same latents and pictures in overlapping tiles."""
    proxies = frames(12)
    whole = start(engine, 12)
    wanted = run(whole, proxies)
    tiled = start(engine, 12)
    tiled._description = replace(tiled._description, tile=Tile((32, 32), (0.25, 0.25)))
    found = run(tiled, proxies)
    np.testing.assert_allclose(tiled._conditions(), whole._conditions(), atol=1e-5)
    np.testing.assert_allclose(stops(found, proxies), stops(wanted, proxies), atol=1e-4)


def test_first_frames_do_not_depend_on_what_follows_their_window(engine: Any) -> None:
    """In one step, a frame whose latents only windows of a shorter range touch is answered alike in a longer one."""
    proxies = frames(33)
    short, long = run(start(engine, 17), proxies[:17]), run(start(engine, 33), proxies)
    near = stops(short, proxies)[:5] - stops(long, proxies)[:5]
    assert np.abs(near).max() < 1e-4


def test_one_frame_is_answered_as_a_clip_of_that_frame(engine: Any) -> None:
    """A shot of one frame is nine times that frame, and nothing else."""
    (proxy, *_) = frames(1)
    (alone,) = run(start(engine, 1), [proxy])
    still = run(start(engine, 9), [replace(proxy, number=FIRST + n) for n in range(9)])
    assert alone.field.to_bytes() == still[0].field.to_bytes()


def test_the_networks_own_picture_comes_when_it_is_wanted(toy: Any, engine: Any) -> None:
    """It is what the torch pipeline decodes, as light, to 1e-4; the fields are the same with and without it."""
    proxies = frames(9)
    session = start(engine, 9, pictures=True, seed=7)
    answers = run(session, proxies)
    model, codec = load_checkpoint(toy.checkpoint), load_codec(toy.vae)
    sampled = trained.sample(
        model, torch.from_numpy(session._conditions()), trained.Settings("one-step", 1, 7, WINDOW, OVERLAP)
    )
    decoded = torch.cat(list(codec.decode([sampled])), dim=2)[0].detach().permute(1, 2, 3, 0).numpy()
    for answer, picture in zip(answers, decoded):
        light = space.decode(np.clip(picture, -1, 1), session._anchor)
        np.testing.assert_allclose(answer.picture, light[:HEIGHT, :WIDTH], rtol=1e-3, atol=1e-4)
    without = run(start(engine, 9, seed=7), proxies)
    assert all(one.picture is None for one in without)
    assert [one.field.to_bytes() for one in without] == [one.field.to_bytes() for one in answers]
    assert engine.info.picture_lines == HEIGHT
    assert engine.info.output_modes == ("fg", "comp", "proxy")


def test_detail_sets_how_fine_a_field_is(engine: Any) -> None:
    """One curve, a grid, a map: each adds a part."""
    proxies = frames(9)
    parts = {
        detail: [type(part).__name__ for part in run(start(engine, 9, detail=detail), proxies)[4].field.parts]
        for detail in ("global", "local", "sharp")
    }
    assert parts["global"] == ["Curve"]
    assert parts["local"] == ["Curve", "Grid"]
    assert parts["sharp"][-1] == "GainMap"


def test_options_that_do_not_fit_are_refused(engine: Any) -> None:
    """A window that breaks the chunk rule, an overlap as long as it, a student in several steps: each has an error."""
    for options, match in (
        ({"window": 10}, r"8N\+1"),
        ({"overlap": 9}, "cannot overlap by 9"),
        ({"steps": 3}, "cannot take 3 steps"),
    ):
        with pytest.raises(OptionError, match=match):
            start(engine, 9, **options)


def test_a_foreground_without_matte_is_refused(engine: Any) -> None:
    """Without a matte or alpha there is nothing to relight, and the engine refuses."""
    (proxy, *_) = frames(1)
    with pytest.raises(EngineFailed, match="needs a matte"):
        start(engine, 1).push(replace(proxy, mattes={"coverage": proxy.mattes["coverage"]}))


def test_a_manifest_that_lacks_a_number_is_refused(toy: Any, tmp_path: Path) -> None:
    """A bundle without its chunk rule, or for other pictures, is refused by name before anything is loaded."""
    for key, value in (("chunk", None), ("conditions", ["composite"])):
        folder = tmp_path / key
        shutil.copytree(toy.bundle, folder)
        held = json.loads((folder / "manifest.json").read_text())
        held["constants"][key] = value
        (folder / "manifest.json").write_text(json.dumps(held))
        with pytest.raises(BundleError, match=str(folder)):
            bundles.create(folder)


def test_a_new_version_is_taken_and_a_damaged_one_is_not(toy: Any, tmp_path: Path) -> None:
    """The next shot after the files have changed runs the new version; if that is damaged the old one stays in use."""
    folder = tmp_path / "models"
    shutil.copytree(toy.bundle, folder)
    engine = bundles.create(folder)
    engine.activate(RuntimeSettings(device="cpu"))
    session = start(engine, 9)
    held = json.loads((folder / "manifest.json").read_text())
    held["version"] = "2"
    (folder / "manifest.json").write_text(json.dumps(held))
    run(start(engine, 9), frames(9))
    assert engine.info.version == "2"
    (folder / "manifest.json").write_text(json.dumps({**held, "version": "3"}))
    (folder / "transformer.onnx").write_bytes(b"half a file")
    run(start(engine, 9), frames(9))
    assert engine.info.version == "2"
    assert len(run(session, frames(9))) == 9
    engine.close()


def test_a_version_that_came_before_the_engine_was_loaded_is_the_one_that_is_described(
    toy: Any, tmp_path: Path
) -> None:
    """Networks and description are of one version, also if the files change between the server's start and a job."""
    folder = tmp_path / "models"
    shutil.copytree(toy.bundle, folder)
    engine = bundles.create(folder)
    held = json.loads((folder / "manifest.json").read_text())
    window = engine.info.handle_frames + 8
    constants = {**held["constants"], "window": window}
    (folder / "manifest.json").write_text(json.dumps({**held, "version": "2", "constants": constants}))
    engine.activate(RuntimeSettings(device="cpu"))
    assert engine.info.version == "2"
    assert engine.info.handle_frames == window
    engine.close()


def test_an_idle_engine_is_unloaded_and_loaded_again(toy: Any) -> None:
    """Ten minutes after its last shot the host frees its networks; the next shot loads them and is answered alike."""
    now_s = [0.0]
    host = EngineHost([bundles.create(toy.bundle)], RuntimeSettings(device="cpu"), clock=lambda: now_s[0])
    told = []
    host.on_activated = told.append
    name, proxies, made = "toy-harmovid", frames(9), []
    for _ in range(2):
        engine = host.engine(name)
        numbers = tuple(one.number for one in proxies)
        session = host.start(engine, ShotInfo(numbers, engine.info.check_options({}), ("fg", "bg")))
        loaded = dict(engine._networks)
        made.append([one.field.to_bytes() for one in run(session, proxies)])
        now_s[0] += IDLE_S + 1
        assert host.close_idle() is None
        host.end(name, session)
        now_s[0] += IDLE_S - 1
        assert host.close_idle() is None
        now_s[0] += 2
        host.close_idle().join()
        assert engine._networks == {}
        assert engine.runtime == {}
        with pytest.raises(RuntimeError, match="closed"):
            loaded["prompt"]({})
    assert made[0] == made[1]
    assert [info.runtime["provider"] for info in told] == ["cpu"]


class Short:
    """A transformer that computes windows of at most `most` latents and then has ONNX Runtime's own error.

    The error is real: a session on the CPU is asked for more memory than any machine has.
    """

    def __init__(self, network: Any, most: int, folder: Path) -> None:
        self._network, self._most, self.asked = network, most, []
        self.inputs, self.outputs, self.facts = network.inputs, network.outputs, network.facts
        self._greedy = onnxruntime.InferenceSession(
            str(greedy_graph(folder)), providers=["CPUExecutionProvider"]
        )

    def __call__(self, inputs: Any, keep: Any = ()) -> Any:
        """Compute, or run out of memory."""
        self.asked.append(next(iter(inputs.values())).shape[2])
        if self.asked[-1] > self._most:
            self._greedy.run(None, {"shape": np.array([1 << 50], np.int64)})
        return self._network(inputs, keep)

    def close(self) -> None:
        """Nothing of its own."""


def greedy_graph(folder: Path) -> Path:
    """Write a graph whose output is as large as its input says."""
    shape = onnx.helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [1])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n"])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ConstantOfShape", ["shape"], ["out"])], "greedy", [shape], [out]
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(made, str(folder / "greedy.onnx"))
    return folder / "greedy.onnx"


def test_too_little_memory_is_tried_once_more_with_less(engine: Any, tmp_path: Path) -> None:
    """When memory runs out, half the window is sampled, and gives what that window gives; then an error says more."""
    options = {"window": 33, "overlap": 8, "sampler": "ddim", "steps": 2}
    proxies = frames(33)
    smaller = run(start(engine, 33, **{**options, "window": 17}), proxies)
    session = start(engine, 33, **options)
    session._networks = {
        **session._networks,
        "transformer": Short(engine._networks["transformer"], 5, tmp_path),
    }
    found = run(session, proxies)
    assert [one.field.to_bytes() for one in found] == [one.field.to_bytes() for one in smaller]
    assert session._networks["transformer"].asked[0] == 9
    session = start(engine, 33, **options)
    session._networks = {
        **session._networks,
        "transformer": Short(engine._networks["transformer"], 4, tmp_path),
    }
    with pytest.raises(EngineFailed, match="even with windows of 17 frames") as failed:
        run(session, proxies)
    assert "Set window to less than 17" in failed.value.fix
    assert session._networks["transformer"].asked == [9, 5]


def test_too_little_memory_for_the_vae_says_so(engine: Any, tmp_path: Path) -> None:
    """Its chunks cannot shrink, so the error names the pictures and what to change."""
    session = start(engine, 9)
    session._networks = {
        **session._networks,
        "encode_first": Short(engine._networks["transformer"], 0, tmp_path),
    }
    session._networks["encode_first"].inputs = {}
    *first, last = frames(9)
    for one in first:
        list(session.push(one))
    with pytest.raises(EngineFailed, match="encoding 9 frames of 64x48 needs more memory"):
        session.push(last)


@pytest.mark.parametrize(
    ("text", "is_memory"),
    [
        ("bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 1073741824", True),
        ("Available memory of 104857600 is smaller than requested bytes of 536870912", True),
        ("CUDA failure 2: out of memory ; GPU=0", True),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED", True),
        ("std::bad_alloc", True),
        ("Got invalid dimensions for input: latents", False),
        ("the allocation table of the graph is damaged", False),
    ],
)
def test_texts_that_mean_memory(text: str, is_memory: bool) -> None:
    """Out-of-memory messages of ONNX Runtime, CUDA and cuBLAS are recognised; other errors are raised unchanged."""
    error = RuntimeError(text)
    assert memory.is_out_of_memory(error) == is_memory
    if is_memory:
        with pytest.raises(EngineFailed, match="needs more memory than there is"), memory.explained("it"):
            raise error
    else:
        with pytest.raises(RuntimeError), memory.explained("it"):
            raise error
