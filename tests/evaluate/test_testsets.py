"""The test sets: what changes, what stays bit for bit, and that draws depend on seed and clip alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from harmovid.pixels.colour.srgb import srgb_encode
from harmovid_evaluate.cases import load_case, save_case
from harmovid_evaluate.clips import synthetic_clip
from harmovid_evaluate.cubes import Cube
from harmovid_evaluate.footage import Material
from harmovid_evaluate.testsets import Made, Makers, NotThisClip, make
from harmovid_training.metrics.degrade import to_stops
from harmovid_training.metrics.traces import roughness_stops


def material(name: str = "disc", count: int = 9) -> Material:
    """Return the made clip under a name."""
    return Material(replace(synthetic_clip(count, 48), name=name))


def made(name: str, seed: int = 0, clip: str = "disc", **more) -> Made:
    """Return a set's input from the made clip."""
    return make(name, material(clip), [material("other")], Makers(seed, **more))


@pytest.mark.parametrize("name", ["lut", "lut-flicker"])
def test_only_the_foreground_changes_and_the_truth_is_the_clip(name: str) -> None:
    """Where the mask is 0 the input is the clip bit for bit; inside it differs; truth and reference are the clip."""
    found, clip = made(name), synthetic_clip(9, 48)
    outside = found.mask == 0
    assert np.array_equal(found.composite[outside], clip.frames[outside])
    assert np.abs(to_stops(found.composite) - to_stops(clip.frames))[found.mask == 1].mean() > 0.1
    assert found.truth is not None
    assert np.array_equal(found.truth, clip.frames)


def test_one_look_is_steady_and_many_looks_flicker() -> None:
    """The uniform set adds no flicker, the per-frame one adds much."""
    clip = synthetic_clip(9, 48)
    own = roughness_stops(clip.frames, clip.masks)
    assert roughness_stops(made("lut").composite, clip.masks) < 2 * own + 0.01
    assert roughness_stops(made("lut-flicker").composite, clip.masks) > 5 * own + 0.1


def test_draws_depend_on_seed_and_clip_alone() -> None:
    """The same seed and clip give the same input; another seed or another clip's name another one."""
    first = made("lut").composite
    assert np.array_equal(first, made("lut").composite)
    assert not np.array_equal(first, made("lut", seed=1).composite)
    assert not np.array_equal(first, made("lut", clip="elsewhere").composite)


def test_luts_take_the_place_of_procedural_looks() -> None:
    """With a LUT that inverts, the foreground is inverted in display space and the note names the LUT."""
    grid = np.stack(np.meshgrid(*[np.linspace(1, 0, 3)] * 3, indexing="ij")[::-1], -1).astype(np.float32)
    found = made("lut", cubes=[Cube("inverted", grid)])
    truth = synthetic_clip(9, 48).frames
    inside = (found.mask == 1) & (truth.max(-1) <= 1)
    np.testing.assert_allclose(
        srgb_encode(found.composite[inside]), 1 - srgb_encode(truth[inside]), atol=1e-3
    )
    assert "inverted" in found.note


def test_the_harmonized_set_stands_before_another_background_and_flickers() -> None:
    """The background is the other clip's plate, untouched; the foreground flickers; no truth is claimed."""
    found = made("harmonized")
    outside = found.mask == 0
    assert found.truth is None
    assert np.array_equal(found.composite[outside], found.plate[outside])
    assert roughness_stops(found.composite, found.mask) > 3 * roughness_stops(found.reference, found.mask)
    assert "other" in found.note


def test_a_given_harmonizer_is_used_frame_by_frame() -> None:
    """A harmonizer of the user's takes the stand-in's place."""
    found = made("harmonized", harmonizer=lambda foreground, background, mask: foreground * 0 + 0.5)
    assert np.allclose(found.composite[found.mask == 1], 0.5)


def test_what_a_clip_lacks_is_reported() -> None:
    """A clip without mask, background, other light or other background is refused with that reason."""
    bare, makers = material(), Makers()
    with pytest.raises(NotThisClip, match="mask"):
        make("lut", Material(replace(bare.clip, masks=None)), [], makers)
    with pytest.raises(NotThisClip, match="cut out"):
        make("lut", Material(replace(bare.clip, cut_out=True)), [], makers)
    with pytest.raises(NotThisClip, match="composite"):
        make("relit", bare, [], makers)
    with pytest.raises(NotThisClip, match="no other background"):
        make("harmonized", bare, [bare], makers)


def test_a_case_comes_back_from_disk_as_half(tmp_path: Path) -> None:
    """What was written is read to half precision, truth and reference being one; a second case replaces it whole."""
    found = made("lut")
    head = {"set": "lut", "clip": "disc", "task": "harmonize", "key": "k"}
    save_case(tmp_path / "lut" / "disc", head, found)
    case = load_case(tmp_path / "lut" / "disc")
    np.testing.assert_allclose(case.composite, found.composite, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(case.mask, found.mask, atol=1e-3)
    assert case.truth is case.reference
    assert len(list((case.folder / "png" / "composite").glob("*.png"))) == 9
    save_case(case.folder, head, replace(found, truth=None))
    assert load_case(case.folder).truth is None
    assert [path.name for path in case.folder.parent.iterdir()] == ["disc"]
