"""Previews: what they show of a frame before and after, and that they can never fail it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.frames import frame, plan
from harmovid.pixels.field import NULL, Curve, LightingField
from harmovid_server.codec.finish import finish
from harmovid_server.codec.preview import LINES, write_previews
from harmovid_server.spool import preview_path

JOB = "0" * 32
BRIGHTER = LightingField((Curve.gain(1.0, 1.0, 1.0),))


def previews(folder: Path, frames: dict, chosen, light: LightingField) -> dict[str, np.ndarray]:
    """Finish a frame, write its previews and return them as `(h, w, 3)` RGB codes."""
    (folder / JOB).mkdir()
    made = finish(frames, chosen, light, folder / "7.exr")
    size = write_previews(folder, 7, JOB, frames, chosen, made.relit)
    files = {side: preview_path(folder, JOB, 7, side) for side in ("before", "after")}
    assert size == sum(path.stat().st_size for path in files.values())
    return {side: cv2.imread(str(path))[..., ::-1] for side, path in files.items()}


def test_one_stop_is_seen_between_before_and_after(tmp_path: Path) -> None:
    """Linear 0.18 and 0.36 have the sRGB codes 118 and 162 (IEC 61966-2-1), up to JPEG's rounding."""
    found = previews(tmp_path, {"plate": frame(R=0.18, G=0.18, B=0.18)}, plan(), BRIGHTER)
    assert abs(float(found["before"].mean()) - 118) < 2
    assert abs(float(found["after"].mean()) - 162) < 2


def test_a_null_field_shows_the_same_twice(tmp_path: Path) -> None:
    """Both files have the same bytes."""
    previews(tmp_path, {"plate": frame(R=0.1, G=0.2, B=0.4)}, plan(), NULL)
    before, after = (preview_path(tmp_path, JOB, 7, side).read_bytes() for side in ("before", "after"))
    assert before == after


def test_no_number_and_bright_light_are_shown(tmp_path: Path) -> None:
    """NaN and infinity are black there, light beyond 1 is white, and nothing fails."""
    red = np.full((4, 8), 50.0, np.float32)
    red[0, 0], red[0, 1] = np.nan, np.inf
    found = previews(tmp_path, {"plate": frame(R=red, G=50.0, B=50.0)}, plan(), NULL)
    assert found["before"].max() > 250


def test_a_large_frame_is_reduced(tmp_path: Path) -> None:
    """At most `LINES` lines, in the display window's shape."""
    picture = np.full((4 * LINES, 8 * LINES), 0.18, np.float16)
    box = (0, 0, 8 * LINES, 4 * LINES)
    found = previews(tmp_path, {"plate": frame(box, box, R=picture, G=picture, B=picture)}, plan(), NULL)
    assert found["before"].shape == (LINES, 2 * LINES, 3)


def test_no_room_is_no_error(tmp_path: Path) -> None:
    """Without the job's folder nothing is written, and nothing is raised."""
    frames, chosen = {"plate": frame(R=0.18, G=0.18, B=0.18)}, plan()
    made = finish(frames, chosen, BRIGHTER, tmp_path / "7.exr")
    assert write_previews(tmp_path / "none", 7, JOB, frames, chosen, made.relit) == 0


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_composites_previews_show_the_composite(tmp_path: Path, side: str) -> None:
    """Half covered: the uncovered background is the same in both, the foreground is brighter after."""
    matte = np.zeros((4, 8), np.float16)
    matte[:, :4] = 1
    fg = {name: (matte * np.float16(0.18)) for name in "RGB"}
    frames = {"fg": frame(**fg, A=matte), "bg": frame(R=0.04, G=0.04, B=0.04)}
    chosen = plan(layers=("fg", "bg"), target="fg", wants_matte=True, mode="comp")
    found = previews(tmp_path, frames, chosen, BRIGHTER)
    covered, free = found[side][:, :2].mean(), found[side][:, 6:].mean()
    assert abs(float(covered) - (118 if side == "before" else 162)) < 12
    assert abs(float(free) - 56) < 12
