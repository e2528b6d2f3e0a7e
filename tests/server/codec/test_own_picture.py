"""The output "proxy": the network's own picture, enlarged, and what stays bit-identical beside it."""

from __future__ import annotations

from typing import Any, Tuple

import cv2
import numpy as np
import pytest
from fakes.exr_files import plate
from fakes.frames import BOX, frame, plan
from harmovid.errors import FrameRefused, InputError, OptionError
from harmovid.job import MATTE, EngineInfo, JobSpec, LayerInfo, OutputSpec
from harmovid.pixels import exr
from harmovid.pixels.field import Curve, LightingField
from harmovid.pixels.field.exr_channels import read_grade
from harmovid_server.codec.finish import finish
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.preview import write_previews
from harmovid_server.spool import preview_path

BRIGHTER = LightingField((Curve.gain(1.0, 1.0, 1.0),))
JOB = "0" * 32
SMALL = np.random.default_rng(0).random((2, 4, 3), np.float32)
LARGE = cv2.resize(SMALL, (8, 4), interpolation=cv2.INTER_LINEAR)


def done(tmp_path: Any, frames: Any, **changes: Any) -> Tuple[exr.ExrFrame, Any]:
    """Finish a frame with `SMALL` as the network's picture; the engine's field would be one stop."""
    chosen = plan(mode="proxy", **changes)
    made = finish(frames, chosen, BRIGHTER, tmp_path / "7.exr", SMALL)
    return exr.read(tmp_path / "7.exr"), made.report


def test_a_plate_gets_the_picture_and_says_so(tmp_path) -> None:
    """Its colours are the enlarged picture, other channels its own; an attribute says what it is, and no grade does."""
    source = plate(4, height=4, width=8)
    source = exr.make_frame(exr.PartHeader.make(BOX, BOX), source.channels)
    result, report = done(tmp_path, {"plate": source}, premultiplied=False)
    for index, name in enumerate("RGB"):
        wanted = LARGE[..., index].astype(source.channels[name].dtype)
        np.testing.assert_array_equal(result.channels[name], wanted)
    for name in ("A", "depth.Z", "id"):
        assert result.channels[name].tobytes() == source.channels[name].tobytes()
    assert result.header.get("harmovid/output") == "proxy: the network's own picture of 4x2 pixels, enlarged"
    assert result.header.get("harmovid/strength") is None
    assert report["changed_pixels"] == 32


def test_a_mask_and_the_display_window_limit_it(tmp_path) -> None:
    """Where the mask is 0, and outside the display window, pixels keep their bits, NaN among them."""
    mask = np.zeros((4, 10), np.float16)
    mask[:, 5:] = 1
    mask[:, 4] = 0.5
    window = (-1, 0, 9, 4)
    red = np.full((4, 10), 0.25, np.float16)
    red[:, 0] = np.nan
    frames = {
        "plate": frame(window=window, R=red, G=0.5, B=0.75), "mask": frame(window=window, Y=mask),
    }  # fmt: skip
    result, _ = done(tmp_path, frames, layers=("plate", "mask"))
    found = result.channels["R"]
    assert found[:, :4].tobytes() == red[:, :4].tobytes()
    assert found[:, 9].tobytes() == red[:, 9].tobytes()
    np.testing.assert_array_equal(found[:, 5:9], LARGE[:, 4:, 0].astype(np.float16))
    np.testing.assert_allclose(found[:, 4], 0.5 * 0.25 + 0.5 * LARGE[:, 3, 0], rtol=1e-3)


def test_a_log_plate_gets_it_in_its_own_space(tmp_path) -> None:
    """The picture is light, and is stored in the plate's named space; masked pixels keep their bits."""
    codes = np.linspace(0.2, 0.6, 32, dtype=np.float32).reshape(4, 8)
    mask = np.ones((4, 8), np.float16)
    mask[0] = 0
    frames = {"plate": frame(R=codes, G=codes, B=codes), "mask": frame(Y=mask)}
    result, _ = done(tmp_path, frames, layers=("plate", "mask"), colorspace={"plate": "ACEScct"})
    assert result.channels["R"][0].tobytes() == codes[0].tobytes()
    np.testing.assert_allclose(result.channels["G"][1:], (np.log2(LARGE[1:, :, 1]) + 9.72) / 17.52, atol=1e-4)


@pytest.mark.parametrize("given", [False, True])
def test_a_foreground_is_laid_over_the_background(tmp_path, given) -> None:
    """The result is the background's file: its bits where the matte is 0, the picture where it is 1, between by it."""
    drawn = plate(8, height=4, width=8).channels
    background = exr.make_frame(exr.PartHeader.make(BOX, BOX), drawn)
    alpha = np.tile(np.array([0, 0, 0, 0, 0.5, 0.5, 1, 1], np.float16), (4, 1))
    colour = (alpha * np.float16(0.5)).astype(np.float16)
    own = np.ones_like(alpha) if given else alpha
    frames = {"fg": frame(R=colour, G=colour, B=colour, A=own), "bg": background}
    layers: Tuple[str, ...] = ("fg", "bg")
    if given:
        frames["matte"], layers = frame(Y=alpha), ("fg", "bg", "matte")
    result, _ = done(tmp_path, frames, layers=layers, target="fg", wants_matte=True)
    old, new = background.channels["R"], result.channels["R"]
    assert result.data_window == background.data_window
    assert new[:, :4].tobytes() == old[:, :4].tobytes()
    for name in ("depth.Z", "id"):
        assert result.channels[name].tobytes() == background.channels[name].tobytes()
    np.testing.assert_allclose(new[:, 6:], LARGE[:, 6:, 0], rtol=1e-3)
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = 0.5 * LARGE[:, 4:6, 0] + 0.5 * old[:, 4:6].astype(np.float32)
    fine = np.isfinite(old[:, 4:6].astype(np.float32)) & (np.abs(wanted) < 6e4)
    np.testing.assert_allclose(new[:, 4:6][fine], wanted[fine], rtol=2e-3, atol=1e-3)
    with pytest.raises(FrameRefused, match="no attribute"):
        read_grade(result)


def test_previews_show_the_composite_before_and_the_picture_after(tmp_path) -> None:
    """The dashboard's "before" is the sent foreground over its background, "after" the result."""
    alpha = np.tile(np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float16), (4, 1))
    red = {"R": alpha, "G": alpha * 0, "B": alpha * 0}
    frames = {"fg": frame(A=alpha, **red), "bg": frame(R=0.0, G=0.0, B=1.0)}
    chosen = plan(mode="proxy", layers=("fg", "bg"), target="fg", wants_matte=True)
    green = np.zeros((2, 4, 3), np.float32)
    green[..., 1] = 1
    made = finish(frames, chosen, BRIGHTER, tmp_path / "7.exr", green)
    (tmp_path / JOB).mkdir()
    assert write_previews(tmp_path, 7, JOB, frames, chosen, made.relit)
    before, after = (
        cv2.imread(str(preview_path(tmp_path, JOB, 7, side))).astype(int) for side in ("before", "after")
    )
    wide = before.shape[1]
    # OpenCV reads blue, green, red.
    for picture, right in ((before, 2), (after, 1)):
        assert picture[:, : wide // 4].mean(axis=(0, 1)).argmax() == 0
        assert picture[:, -wide // 4 :].mean(axis=(0, 1)).argmax() == right


def test_jobs_that_cannot_have_it_are_refused() -> None:
    """An engine without a picture, a foreground without background, a strength or a field: each is an error."""
    layers = (
        LayerInfo("fg", True, "F."),
        LayerInfo("bg", False, "B."),
        LayerInfo("matte", False, "M.", MATTE),
    )
    info = EngineInfo("e", "1", "harmonize", "E.", "fg", layers, picture_lines=48)
    spec = JobSpec("0" * 32, "e", "1", ("fg", "bg"), output=OutputSpec("proxy"))
    assert Plan.of(spec, info, 48).is_over_background
    with pytest.raises(InputError, match="no picture of its own"):
        Plan.of(spec, EngineInfo("e", "1", "harmonize", "E.", "fg", layers), 48)
    with pytest.raises(InputError, match="without a background"):
        Plan.of(JobSpec("0" * 32, "e", "1", ("fg",), output=OutputSpec("proxy")), info, 48)
    for wrong in ({"strength": 0.5}, {"field_layers": True}):
        with pytest.raises(OptionError, match="neither strength nor field"):
            OutputSpec("proxy", **wrong)
