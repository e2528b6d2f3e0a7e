"""The demo shot's documented properties, read back with OpenImageIO as an independent reader."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO
import pytest
from harmovid_demo.flicker import flicker_at
from harmovid_demo.shot import (
    FLICKER_SEED,
    MANIFEST,
    OVERSCAN,
    REC709,
    SEQUENCES,
    Shot,
    ShotFiles,
    generate,
)

FIRST = Shot.first


def read(path: Path) -> tuple[OpenImageIO.ImageSpec, dict[str, np.ndarray]]:
    """Return a file's spec and its channels in their own types."""
    picture = OpenImageIO.ImageInput.open(str(path))
    assert picture is not None, OpenImageIO.geterror()
    spec = picture.spec()
    formats = spec.channelformats or [spec.format] * spec.nchannels
    planes = {
        name: picture.read_image(0, 0, k, k + 1, str(kind))[..., 0]
        for k, (name, kind) in enumerate(zip(spec.channelnames, formats))
    }
    picture.close()
    return spec, planes


def rgb(planes: dict[str, np.ndarray]) -> np.ndarray:
    """Return the colour channels as (h, w, 3) float32."""
    return np.stack([planes[name] for name in "RGB"], axis=-1).astype(np.float32)


def digest(files: ShotFiles) -> str:
    """Return one digest of every file of a shot."""
    whole = hashlib.sha256()
    for sequence in SEQUENCES:
        for frame in files.shot.frames:
            whole.update(files.path(sequence, frame).read_bytes())
    return whole.hexdigest()


def test_the_same_seed_makes_the_same_bytes(tmp_path):
    """Rendering twice gives identical files; another seed gives others."""
    shot = Shot(width=96, height=54, count=2)
    first, again = (digest(generate(tmp_path / name, shot)) for name in ("a", "b"))
    other = digest(generate(tmp_path / "c", Shot(width=96, height=54, count=2, seed=8)))
    assert first == again
    assert first != other


def test_a_finished_shot_is_found_again(tmp_path):
    """A second call renders nothing; after a change of shot or generator, or a lost file, it renders again."""
    shot = Shot(width=96, height=54, count=1)
    rendered: list[int] = []

    def generate_once(wanted: Shot) -> int:
        rendered.clear()
        generate(tmp_path, wanted, lambda done, total: rendered.append(done))
        return len(rendered)

    assert generate_once(shot) == 1
    assert generate_once(shot) == 0
    assert generate_once(Shot(width=96, height=54, count=2)) == 2
    ShotFiles(tmp_path, shot).path("fg", FIRST + 1).unlink()
    assert generate_once(Shot(width=96, height=54, count=2)) == 2
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "generator": "older"}))
    assert generate_once(Shot(width=96, height=54, count=2)) == 2


def test_both_lights_share_matte_and_aovs(tiny):
    """The figure under light A and under light B has the same window, alpha, depth, normals and ids, bit for bit."""
    for frame in tiny.shot.frames:
        (spec_a, stage), (spec_b, relit) = (read(tiny.path(name, frame)) for name in ("fg", "truth_fg"))
        assert (spec_a.x, spec_a.y, spec_a.width, spec_a.height) == (
            spec_b.x, spec_b.y, spec_b.width, spec_b.height,
        )  # fmt: skip
        for name in ("A", "Z", "N.x", "N.y", "N.z", "id"):
            np.testing.assert_array_equal(stage[name], relit[name])


def test_the_two_lights_differ_clearly(tiny):
    """Light A is warm and brighter from the left, light B cooler and brighter from the right."""
    _, stage = read(tiny.path("fg", FIRST))
    _, relit = read(tiny.path("truth_fg", FIRST))
    solid = stage["A"].astype(np.float32) > 0.99
    warmth = [np.log2(rgb(p)[solid].mean(axis=0)[0] / rgb(p)[solid].mean(axis=0)[2]) for p in (stage, relit)]
    assert warmth[0] > warmth[1] + 1.0
    left = stage["N.x"].astype(np.float32) < -0.5
    right = stage["N.x"].astype(np.float32) > 0.5
    towards = [rgb(p)[solid & right].mean() / rgb(p)[solid & left].mean() for p in (stage, relit)]
    assert towards[1] > 1.3 * towards[0]


def test_channels_keep_their_types(tiny):
    """Colour, alpha and normals are half, depth is float, ids are unsigned integers."""
    _, planes = read(tiny.path("fg", FIRST))
    assert {name: plane.dtype for name, plane in planes.items()} == {
        **dict.fromkeys(("R", "G", "B", "A", "N.x", "N.y", "N.z"), np.dtype(np.float16)),
        "Z": np.dtype(np.float32),
        "id": np.dtype(np.uint32),
    }


def test_aovs_mean_what_they_say(tiny):
    """Depth is near the camera's distance, normals have length one and face the camera, ids distinguish parts."""
    _, planes = read(tiny.path("fg", FIRST))
    solid = planes["A"].astype(np.float32) > 0.99
    assert 3.0 < planes["Z"][solid].min() < planes["Z"][solid].max() < 6.0
    assert planes["Z"][planes["A"] == 0].max() == 0
    normals = np.stack([planes[f"N.{axis}"] for axis in "xyz"], axis=-1).astype(np.float32)[solid]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=2e-3)
    assert normals[:, 2].mean() > 0.3
    assert len(np.unique(planes["id"][solid])) >= 5


def test_windows(tiny):
    """The plate reaches beyond the format, the figure's window is inside it and follows the figure."""
    shot, boxes = tiny.shot, set()
    for frame in shot.frames:
        spec, _ = read(tiny.path("plate", frame))
        assert (spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (
            0,
            0,
            shot.width,
            shot.height,
        )
        assert (spec.x, spec.y) == (-(shot.width // OVERSCAN), -(shot.height // OVERSCAN))
        assert (spec.width, spec.height) == (shot.width - 2 * spec.x, shot.height - 2 * spec.y)
        spec, _ = read(tiny.path("fg", frame))
        assert (spec.full_width, spec.full_height) == (shot.width, shot.height)
        assert 0 <= spec.x < spec.x + spec.width <= shot.width
        boxes.add((spec.x, spec.y, spec.width, spec.height))
    assert len(boxes) > 1


def test_attributes(tiny):
    """Every file states Rec.709 primaries, 24 frames a second, its timecode, and what it holds."""
    for sequence in SEQUENCES:
        spec, _ = read(tiny.path(sequence, 1003))
        np.testing.assert_allclose(spec.getattribute("chromaticities"), REC709, atol=1e-6)
        # Frame 1003 at 24 a second is 00:00:41:19, binary coded decimal.
        assert tuple(spec.getattribute("smpte:TimeCode")) == (0x00004119, 0)
        assert tuple(spec.getattribute("framesPerSecond")) == (24, 1)
        assert spec.getattribute("harmovid/demo")


def test_light_goes_above_one(tiny):
    """The figure has highlights above 1.0 under both lights, and the plate's lamps shine far above."""
    assert max(rgb(read(tiny.path("fg", f))[1]).max() for f in tiny.shot.frames) > 1.5
    assert max(rgb(read(tiny.path("truth_fg", f))[1]).max() for f in tiny.shot.frames) > 1.1
    assert rgb(read(tiny.path("plate", FIRST))[1]).max() > 5.0


def test_black_goes_below_zero(tiny):
    """Grain takes the darkest parts below zero, as real scans have it, but only a little."""
    lowest = min(rgb(read(tiny.path("truth_comp", f))[1]).min() for f in tiny.shot.frames)
    assert -0.03 < lowest < 0


def test_the_matte_is_soft(tiny):
    """Alpha takes many values between 0 and 1, all of the range is used, and hair makes a wide edge."""
    _, planes = read(tiny.path("fg", FIRST))
    alpha = planes["A"].astype(np.float32)
    assert alpha.min() == 0.0
    assert alpha.max() == 1.0
    partial = alpha[(alpha > 0.02) & (alpha < 0.98)]
    assert len(np.unique(partial)) > 200
    assert len(partial) > 0.15 * (alpha > 0.5).sum()
    filled, _ = np.histogram(partial, bins=8, range=(0.02, 0.98))
    assert filled.min() > 0.04 * len(partial)


def test_colour_is_premultiplied(tiny):
    """Where alpha is 0 there is no colour."""
    _, planes = read(tiny.path("fg", FIRST))
    assert np.abs(rgb(planes)[planes["A"] == 0]).max() == 0


def over(tiny: ShotFiles, foreground: str, frame: int) -> np.ndarray:
    """Return the foreground over the plate, composed here and not by the generator."""
    back, plate = read(tiny.path("plate", frame))
    front, planes = read(tiny.path(foreground, frame))
    comp = rgb(plate)
    y, x = front.y - back.y, front.x - back.x
    part = comp[y : y + front.height, x : x + front.width]
    part *= 1 - planes["A"].astype(np.float32)[..., None]
    part += rgb(planes)
    return comp


@pytest.mark.parametrize(("foreground", "comp"), [("fg", "comp"), ("truth_fg", "truth_comp")])
def test_comps_are_the_figure_over_the_plate(tiny, foreground, comp):
    """Composing the files as read gives the comp files, to the rounding of half."""
    _, planes = read(tiny.path(comp, FIRST))
    np.testing.assert_allclose(rgb(planes), over(tiny, foreground, FIRST), rtol=1e-3, atol=1e-6)


def test_flicker_is_the_clean_frame_times_a_smooth_field(tiny):
    """Flickering over clean, without the tone curve's share, is a gain smooth in place, and known exactly."""
    shot = tiny.shot
    for frame in shot.frames:
        spec, clean = read(tiny.path("truth_comp", frame))
        _, flickering = read(tiny.path("flicker", frame))
        truth, shown = rgb(clean), rgb(flickering)
        lit = truth > 0.02  # darker, the rounding of half is no longer small
        gain = np.log2(np.where(lit, shown, 1) / np.where(lit, truth, 1))
        made = flicker_at(frame - shot.first, shot.seed + FLICKER_SEED)
        local = gain - made.tone(truth)
        known = made.local(truth.shape[:2], (shot.width, shot.height), (spec.x, spec.y))
        np.testing.assert_allclose(local[lit], np.broadcast_to(known[..., None], lit.shape)[lit], atol=3e-3)
        # Smooth: no step between neighbours larger than a few hundredths of a stop at this size.
        assert max(np.abs(np.diff(known, axis=axis)).max() for axis in (0, 1)) < 0.03
        blurred = cv2.GaussianBlur(known, (0, 0), 2.0)
        assert np.abs(known - blurred)[8:-8, 8:-8].max() < 0.02


def test_the_clip_really_flickers():
    """Exposures of neighbouring frames differ by a few tenths of a stop, channels and places a little."""
    clip = [flicker_at(k, 11) for k in range(32)]
    exposure = np.array([one.exposure for one in clip])
    assert 0.15 < np.diff(exposure.mean(axis=1)).std() < 0.8
    assert 0.02 < exposure.std(axis=1).mean() < 0.1
    assert 0.1 < np.std([one.spots[:, 3] for one in clip]) < 0.5


def test_values_survive_the_flicker(tiny):
    """Flicker is a gain: what is above one stays above, what is below zero stays below."""
    _, clean = read(tiny.path("truth_comp", FIRST))
    _, flickering = read(tiny.path("flicker", FIRST))
    assert np.array_equal(np.sign(rgb(clean)), np.sign(rgb(flickering)))
    assert rgb(flickering).max() > 2.0
