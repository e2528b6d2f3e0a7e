"""From checkpoints to EXRs: exported, packed, unpacked for a server, run through the demo, compared with torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
import torch
from fakes.toy_bundle import HEIGHT, OVERLAP, WINDOW, Toy, toy_bundle
from harmovid import bundle
from harmovid.job import JobSpec
from harmovid.pixels import exr
from harmovid.pixels.fitting.fit import fit_field
from harmovid_demo.__main__ import main
from harmovid_demo.shot import Shot, ShotFiles
from harmovid_export.pack import pack, unpack
from harmovid_server.codec.finish import finish
from harmovid_server.codec.picture import load
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.proxy import measure
from harmovid_server.engines import bundles as server_bundles
from harmovid_training.inference.shot import Settings, Streams, sample, shot_conditions
from harmovid_training.models import space
from harmovid_training.models.checkpoint import load_checkpoint
from harmovid_training.stages import pairs
from harmovid_training.toy.codec import load_codec

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(1500),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux"),
]  # fmt: skip

WIDTH, COUNT = 192, 11
CLIPPED = 0.98
TOLERANCE = 2e-3
"""Of light, relative: results are half floats (1e-3), the two samplers differ by 1e-6 of the latents."""

JOBS = {
    "deflicker": ("deflicker", {"plate": "flicker"}),
    "harmonize": ("harmovid", {"fg": "fg", "bg": "plate"}),
}
"""Task to the toy's conditioning, and layer to sequence of the demo's shot."""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Toy]:
    """Return both toys by task."""
    return {task: toy_bundle(tmp_path_factory, conditioning) for task, (conditioning, _) in JOBS.items()}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, toys: Dict[str, Toy]) -> Path:
    """Pack both bundles, unpack them into a server's folder, run the demo with it, and return the demo's folder."""
    folder, models = tmp_path_factory.mktemp("chain"), tmp_path_factory.mktemp("models")
    for toy in toys.values():
        unpack(pack(toy.bundle, folder), models)
    out = folder / "demo"
    words = ["--out", str(out), "--width", str(WIDTH), "--frames", str(COUNT), "--bundles", str(models)]
    assert main(words) == 0
    return out


def files_of(served: Path) -> ShotFiles:
    """Return the shot that the demo rendered."""
    return ShotFiles(served / "shot", Shot(width=WIDTH, height=WIDTH * 9 // 16, count=COUNT))


def torch_pipeline(
    toy: Toy, pictures: Dict[str, List[np.ndarray]], masks: List[np.ndarray]
) -> Tuple[np.ndarray, ...]:
    """Return the clip as the VAE gives it back, as the network relights it, both `(T, h, w, 3)`, and the anchor."""
    clips = {name: np.stack(frames) for name, frames in pictures.items()}
    anchor = space.anchor_of(clips["composite"])
    rows, columns = masks[0].shape
    given = {name: pairs.padded(space.encode(clip, anchor), 8) for name, clip in clips.items()}
    mask = pairs.padded(np.stack(masks)[..., None], 8)
    streams = Streams(
        len(masks),
        {name: [torch.from_numpy(clip.transpose(3, 0, 1, 2).copy())[None]] for name, clip in given.items()},
        [torch.from_numpy(mask.transpose(3, 0, 1, 2).copy())[None]],
    )
    model, codec = load_checkpoint(toy.checkpoint), load_codec(toy.vae)
    with torch.no_grad():
        conditions = shot_conditions(model, codec, streams)
        found = sample(model, conditions, Settings("one-step", 1, 0, WINDOW, OVERLAP))
        shown = [
            torch.cat(list(codec.decode([latents])), dim=2)[0].permute(1, 2, 3, 0).numpy()
            for latents in (conditions[:, : model.geometry.channels], found)
        ]
    shape = (slice(len(masks)), slice(rows), slice(columns))
    return (*(np.clip(clip[shape], -1, 1) for clip in shown), np.float64(anchor))


def expected(task: str, toy: Toy, served: Path, folder: Path) -> Dict[int, Path]:
    """Return the results that the torch pipeline gives, finished by the product's own code, by frame."""
    files, layers = files_of(served), JOBS[task][1]
    engine = server_bundles.create(toy.bundle)
    spec = JobSpec("0" * 32, engine.info.name, f"1001-{1000 + COUNT}", tuple(layers))
    plan = Plan.of(spec, engine.info, HEIGHT)
    loaded, proxies = {}, []
    for frame in files.shot.frames:
        loaded[frame] = load({name: files.path(sequence, frame) for name, sequence in layers.items()}, plan)
        proxies.append(measure(loaded[frame], plan))
    masks = [one.mattes["matte"] if task == "harmonize" else one.mattes["coverage"] for one in proxies]
    if task == "harmonize":
        pictures = {
            "composite": [pairs.composite(one.images["fg"][None], one.images["bg"][None], one.mattes["matte"][None])[0]
                          for one in proxies],
            "background": [one.images["bg"] for one in proxies],
        }  # fmt: skip
    else:
        pictures = {"composite": [one.images["plate"] for one in proxies]}
    before, after, anchor = torch_pipeline(toy, pictures, masks)
    made = {}
    for index, frame in enumerate(files.shot.frames):
        pair = before[index], after[index]
        weights = np.rint(masks[index] * 255).astype(np.float32) / np.float32(255)
        weights[np.maximum(pair[0].max(axis=2), pair[1].max(axis=2)) > CLIPPED] = 0
        light = [space.decode(picture, float(anchor)) for picture in pair]
        box = tuple(proxies[index].facts["display"])
        field = fit_field(light[0], light[1], box=box, weights=weights, trusted=False)
        made[frame] = folder / f"{frame}.exr"
        finish(loaded[frame], plan, field, made[frame])
    return made


@pytest.mark.parametrize("task", list(JOBS))
def test_the_servers_frames_are_those_of_the_torch_pipeline(
    task: str, toys: Any, served: Path, tmp_path: Path
) -> None:
    """Every frame of the demo's shot is the torch pipeline's up to half-float rounding, and not a copy of its input."""
    files, sequence = files_of(served), next(iter(JOBS[task][1].values()))
    for frame, path in expected(task, toys[task], served, tmp_path).items():
        sent = exr.read(files.path(sequence, frame))
        wanted, found = exr.read(path), exr.read(served / task / f"{sequence}.{frame}.exr")
        changed = 0
        for name in "RGB":
            light = wanted.channels[name].astype(np.float32)
            np.testing.assert_allclose(
                found.channels[name].astype(np.float32), light, rtol=TOLERANCE, atol=TOLERANCE * 0.01
            )
            changed += int((found.channels[name] != sent.channels[name]).sum())
        assert changed > 0


def test_what_is_no_foreground_comes_back_to_the_bit(served: Path) -> None:
    """Outside the matte every pixel, and every other channel, is the sent one."""
    files = files_of(served)
    for frame in files.shot.frames:
        sent, found = exr.read(files.path("fg", frame)), exr.read(served / "harmonize" / f"fg.{frame}.exr")
        outside = sent.channels["A"] == 0
        for name in "RGB":
            np.testing.assert_array_equal(found.channels[name][outside], sent.channels[name][outside])
        for name in ("A", "Z", "id"):
            np.testing.assert_array_equal(found.channels[name], sent.channels[name])


def test_bundles_of_the_demo_verify(toys: Dict[str, Toy]) -> None:
    """The files of both bundles have the hashes of their manifests, which state the right task."""
    for task, toy in toys.items():
        assert bundle.verify(toy.bundle).task == task
