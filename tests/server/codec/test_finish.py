"""Finished frames: what stays bit-identical, what is changed, written and reported."""

from __future__ import annotations

import errno
import zlib
from pathlib import Path

import numpy as np
import pytest
from fakes.exr_files import ATTRIBUTES, plate, same_pixels
from fakes.frames import BOX, frame, plan
from harmovid.errors import SpoolFull
from harmovid.pixels import exr
from harmovid.pixels.apply.fast import apply_stops
from harmovid.pixels.exr.header import Channel, channels_attribute
from harmovid.pixels.field import NULL, Curve, LightingField
from harmovid.pixels.field.exr_channels import read_grade
from harmovid_server.codec.finish import finish

BRIGHTER = LightingField((Curve.gain(1.0, 1.0, 1.0),))


def done(tmp_path: Path, frames, chosen, light=BRIGHTER):
    """Finish a frame and return the result as read back, and its facts."""
    made = finish(frames, chosen, light, tmp_path / "7.exr")
    data = (tmp_path / "7.exr").read_bytes()
    assert (made.size, made.crc) == (len(data), zlib.crc32(data))
    assert [path.name for path in tmp_path.iterdir()] == ["7.exr"]
    return exr.read(data), made.report


@pytest.mark.parametrize(("light", "strength"), [(NULL, 1.0), (BRIGHTER, 0.0)])
def test_nothing_to_do_changes_no_bit(tmp_path, light, strength) -> None:
    """With the null field, or strength 0, every channel, window and attribute of the file comes back."""
    source = plate(3)
    result, _ = done(tmp_path, {"plate": source}, plan(strength=strength), light)
    assert same_pixels(result, source)
    assert (result.data_window, result.display_window) == (source.data_window, source.display_window)
    assert {name: result.header.attributes[name] for name in ATTRIBUTES} == ATTRIBUTES


def test_relighting_touches_r_g_b_and_nothing_else(tmp_path) -> None:
    """One stop doubles the colours; alpha, depth and ids come back to the bit."""
    source = plate(4)
    result, report = done(tmp_path, {"plate": source}, plan(premultiplied=False))
    for name in "RGB":
        assert np.array_equal(result.channels[name], source.channels[name] * np.float16(2))
    for name in ("A", "depth.Z", "id"):
        assert result.channels[name].tobytes() == source.channels[name].tobytes()
    assert report["changed_pixels"] == source.channels["R"].size


def test_overflow_is_clamped_and_counted(tmp_path) -> None:
    """A half that would overflow becomes 65504, and the report counts it."""
    result, report = done(tmp_path, {"plate": frame(R=60000.0, G=1.0, B=1.0)}, plan())
    assert result.channels["R"].max() == np.float16(65504)
    assert report["clamped_values"] == 32


def test_a_mask_limits_the_change(tmp_path) -> None:
    """Where the mask is 0 pixels keep their bits, where it is 1 they get the whole answer."""
    mask = np.zeros((4, 8), np.float16)
    mask[:, 4:] = 1
    frames = {"plate": frame(R=0.5, G=0.5, B=0.5), "mask": frame(Y=mask)}
    result, report = done(tmp_path, frames, plan(layers=("plate", "mask")))
    assert result.channels["R"][0].tolist() == [0.5] * 4 + [1.0] * 4
    assert report["changed_pixels"] == 16


def test_a_matte_beside_its_own_alpha_gates_the_foreground(tmp_path) -> None:
    """Of a premultiplied foreground with alpha everywhere, only what the given matte covers is relit."""
    matte = np.zeros((4, 8), np.float16)
    matte[:, :2] = 0.5
    frames = {"fg": frame(R=0.5, G=0.5, B=0.5, A=1.0), "matte": frame(Y=matte)}
    chosen = plan(layers=("fg", "matte"), target="fg", wants_matte=True)
    result, _ = done(tmp_path, frames, chosen)
    assert result.channels["R"][0].tolist() == [1.0] * 2 + [0.5] * 6


def test_delivered_stops_reproduce_the_result(tmp_path) -> None:
    """Applying the written field channels to the original plate gives the written picture, to the bit."""
    source = plate(5)
    light = LightingField((Curve(np.random.default_rng(1).normal(0, 0.1, (3, 10))),))
    result, _ = done(tmp_path, {"plate": source}, plan(field_layers=True, strength=0.7), light)
    stops = np.stack([result.channels[f"harmovid.{c}"] for c in "RGB"], axis=-1)
    assert stops.dtype == np.float32
    again, _ = apply_stops(tuple(source.channels[c] for c in "RGB"), stops)
    assert all(again[i].tobytes() == result.channels[c].tobytes() for i, c in enumerate("RGB"))


def test_every_result_carries_its_grade(tmp_path) -> None:
    """The curves of the answer, at the job's strength, can be read from the result without field channels."""
    result, _ = done(tmp_path, {"plate": plate(5)}, plan(strength=0.5))
    assert "harmovid.R" not in result.channels
    (curve,) = read_grade(result).parts
    assert curve.coeffs[:, 0].tolist() == [0.5, 0.5, 0.5]
    assert result.header.get("harmovid/strength") == 0.5


def test_a_named_log_space_goes_back_into_itself(tmp_path) -> None:
    """A log plate is relit in light: two codes that differ by a stop come out a stop apart; masked ones
    keep bits.
    """
    codes = np.linspace(0.2, 0.8, 32, dtype=np.float32).reshape(4, 8)
    mask = np.ones((4, 8), np.float16)
    mask[0] = 0
    frames = {"plate": frame(R=codes, G=codes, B=codes), "mask": frame(Y=mask)}
    chosen = plan(layers=("plate", "mask"), colorspace={"plate": "ACEScct"}, premultiplied=False)
    result, _ = done(tmp_path, frames, chosen)
    # ACEScct (S-2016-001) is log2 with a slope of 1 / 17.52 per stop above its toe.
    np.testing.assert_allclose(result.channels["R"][1:] - codes[1:], 1 / 17.52, atol=1e-4)
    assert result.channels["R"][0].tobytes() == codes[0].tobytes()


@pytest.mark.parametrize("compression", ["dwaa", "b44"])
def test_lossy_files_come_back_lossless_and_say_so(tmp_path, compression) -> None:
    """The decoded pixels of a lossy file come back bit-identical: the result is ZIP, and the report says so."""
    source = exr.read(exr.write(plate(6, compression=compression)))
    result, report = done(tmp_path, {"plate": source}, plan(), NULL)
    assert same_pixels(result, source)
    assert result.header.compression == "zip"
    assert compression in report["compression"]


@pytest.mark.parametrize("compression", ["none", "rle", "zips", "zip", "piz"])
def test_lossless_compression_is_kept(tmp_path, compression) -> None:
    """A lossless file comes back with its own compression."""
    result, report = done(tmp_path, {"plate": plate(7, compression=compression)}, plan(), NULL)
    assert result.header.compression == compression
    assert "compression" not in report


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch) -> None:
    """When the spool cannot take the result, SpoolFull is raised and no unfinished file stays."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SpoolFull):
        finish({"plate": frame(R=1.0, G=1.0, B=1.0)}, plan(), NULL, tmp_path / "7.exr")
    assert not list(tmp_path.iterdir())


def comp_plan(**changes):
    """Return the plan of a composite."""
    return plan(layers=("fg", "bg"), target="fg", wants_matte=True, mode="comp", **changes)


def test_a_composite_is_the_backgrounds_file(tmp_path) -> None:
    """Where the matte is 0 all bits are the background's; where it is 1 the relit foreground's; between,
    C(F, B, M).
    """
    background = plate(8, height=4, width=8)
    alpha = np.tile(np.array([0, 0, 0, 0, 0.5, 0.5, 1, 1], np.float16), (4, 1))
    colour = (alpha * np.float16(0.5)).astype(np.float16)
    foreground = frame(window=(-3, -2, 5, 2), display=(0, 0, 8, 4), R=colour, G=colour, B=colour, A=alpha)
    result, _ = done(tmp_path, {"fg": foreground, "bg": background}, comp_plan())
    for name in ("depth.Z", "id"):
        assert result.channels[name].tobytes() == background.channels[name].tobytes()
    assert result.data_window == background.data_window
    old, new = background.channels["R"], result.channels["R"]
    assert new[:, :4].tobytes() == old[:, :4].tobytes()
    assert (new[:, 6:] == 1).all()
    np.testing.assert_allclose(new[:, 4:6], 0.5 + 0.5 * old[:, 4:6].astype(np.float32), rtol=2e-3)


def test_an_unassociated_foreground_composites_to_the_same(tmp_path) -> None:
    """Premultiplied and unassociated colours of one foreground give one composite."""
    alpha = np.tile(np.array([0, 0.25, 0.5, 1] * 2, np.float16), (4, 1))
    straight = {name: np.full((4, 8), value, np.float16) for name, value in zip("RGB", (0.5, 1, 2))}
    over = {name: (plane * alpha).astype(np.float16) for name, plane in straight.items()}
    background = frame(R=0.25, G=0.25, B=0.25)
    first, _ = done(tmp_path, {"fg": frame(A=alpha, **over), "bg": background}, comp_plan())
    second, _ = done(
        tmp_path, {"fg": frame(A=alpha, **straight), "bg": background}, comp_plan(premultiplied=False)
    )
    for name in "RGB":
        np.testing.assert_allclose(first.channels[name], second.channels[name], rtol=2e-3)


def test_a_foreground_beyond_the_backgrounds_window_is_kept(tmp_path) -> None:
    """The composite grows to hold both, with the background 0 where it had nothing."""
    background = frame(window=(0, 0, 4, 4), display=BOX, R=0.25, G=0.25, B=0.25, Z=9.0)
    foreground = frame(window=(4, 0, 8, 4), display=BOX, R=0.5, G=0.5, B=0.5, A=1.0)
    result, _ = done(tmp_path, {"fg": foreground, "bg": background}, comp_plan(), NULL)
    assert result.data_window == BOX
    assert result.channels["R"][0].tolist() == [0.25] * 4 + [0.5] * 4
    assert result.channels["Z"][0].tolist() == [9.0] * 4 + [0.0] * 4


@pytest.mark.parametrize("given", [False, True])
def test_light_beside_the_alpha_is_added_and_counted(tmp_path, given) -> None:
    """Premultiplied glow with alpha 0 lands in the composite as F + (1 - A) B, whatever holds the matte.

    Where F and A are both 0 the background's bits come back.
    """
    background = plate(8, height=4, width=8)
    background = exr.with_data_window(background, (0, 0, 8, 4))
    alpha, glow = np.zeros((4, 8), np.float16), np.zeros((4, 8), np.float16)
    alpha[:, 6:], glow[:2, :3] = 1, 3
    fg = {"R": glow, "G": glow, "B": glow, **({} if given else {"A": alpha})}
    frames = {"fg": frame(**fg), "bg": background, **({"matte": frame(Y=alpha)} if given else {})}
    layers = ("fg", "bg", "matte") if given else ("fg", "bg")
    chosen = plan(layers=layers, target="fg", wants_matte=True, mode="comp")
    frames = {
        k: exr.with_attributes(v, {"pixelAspectRatio": exr.Attribute.of("float", 2.0)})
        for k, v in frames.items()
    }
    result, report = done(tmp_path, frames, chosen, NULL)
    assert (report["added_light_pixels"], report["left_out_light_pixels"]) == (6, 0)
    old, new = background.channels["G"], result.channels["G"]
    np.testing.assert_array_equal(new[:2, :3], (old[:2, :3].astype(np.float32) + 3).astype(np.float16))
    assert new[2:, :6].tobytes() == old[2:, :6].tobytes()
    assert result.channels["A"][:, :6].tobytes() == background.channels["A"][:, :6].tobytes()


def test_light_outside_a_matte_beside_the_alpha_is_left_out_and_counted(tmp_path) -> None:
    """A separate matte beside an alpha defines the foreground: light outside both is not part of it."""
    matte = np.zeros((4, 8), np.float16)
    matte[:, :2] = 1
    frames = {
        "fg": frame(R=1.0, G=1.0, B=1.0, A=np.where(matte > 0, matte, np.float16(0))),
        "bg": frame(R=0.25, G=0.25, B=0.25),
        "matte": frame(Y=matte),
    }
    chosen = plan(layers=("fg", "bg", "matte"), target="fg", wants_matte=True, mode="comp")
    result, report = done(tmp_path, frames, chosen, NULL)
    assert result.channels["R"][0].tolist() == [1.0] * 2 + [0.25] * 6
    assert (report["added_light_pixels"], report["left_out_light_pixels"]) == (0, 24)


def test_a_chosen_layer_is_relit_and_the_beauty_is_not(tmp_path) -> None:
    """With `exr_layers` another layer of the file is the picture; R, G, B keep their bits."""
    source = frame(**dict.fromkeys(("R", "G", "B", "d.R", "d.G", "d.B"), 0.5))
    result, _ = done(tmp_path, {"plate": source}, plan(exr_layers={"plate": "d"}))
    assert (result.channels["R"] == 0.5).all()
    assert (result.channels["d.R"] == 1).all()


def test_a_composite_leaves_the_backgrounds_subsampled_channels(tmp_path) -> None:
    """A composite that fits the background's window does not move it, so subsampled channels may stay."""
    header = exr.PartHeader.make(BOX)
    listed = {n: Channel(n, np.float16) for n in "BGR"} | {"half.Z": Channel("half.Z", np.float16, 2, 2)}
    header = header.with_attributes({"channels": channels_attribute(listed)})
    planes = {n: np.full((4, 8) if n in "BGR" else (2, 4), 0.25, np.float16) for n in listed}
    background = exr.ExrFrame((exr.ExrPart(header, planes),))
    result, _ = done(tmp_path, {"fg": frame(R=0.5, G=0.5, B=0.5, A=1.0), "bg": background}, comp_plan(), NULL)
    assert result.channels["half.Z"].shape == (2, 4)
    assert (result.channels["R"] == 0.5).all()


def stereo(**views: exr.ExrFrame) -> exr.ExrFrame:
    """Return a file with one part per view."""
    parts = []
    for name, each in views.items():
        texts = {key: exr.Attribute.of("string", name) for key in ("name", "view")}
        parts.append(exr.with_attributes(each, texts).parts[0])
    return exr.ExrFrame(tuple(parts))


def test_every_view_gets_the_correction(tmp_path) -> None:
    """Both eyes are relit by the field measured on one, each with its own alpha; other channels keep their bits."""
    alpha = np.tile(np.array([0, 1], np.float16), (4, 4))
    eyes = stereo(left=frame(R=0.5, G=0.5, B=0.5, A=1.0), right=frame(R=0.25, G=0.25, B=0.25, A=alpha, Z=3.0))
    chosen = plan(target="fg", layers=("fg",), wants_matte=True)
    result, report = done(tmp_path, {"fg": eyes}, chosen)
    left, right = (part.channels for part in result.parts)
    assert (left["R"] == 1).all()
    assert right["R"][0].tolist() == [0.25, 0.5] * 4
    assert (right["Z"] == 3).all()
    assert report["changed_pixels"] == 32 + 16


def test_a_chosen_view_is_relit_alone(tmp_path) -> None:
    """With a view chosen by name the other one keeps its bits."""
    eyes = stereo(left=frame(R=0.5, G=0.5, B=0.5), right=frame(R=0.5, G=0.5, B=0.5))
    result, _ = done(tmp_path, {"plate": eyes}, plan(exr_layers={"plate": "right"}))
    assert [float(part.channels["R"].max()) for part in result.parts] == [0.5, 1.0]


def test_a_view_that_cannot_be_relit_is_left(tmp_path) -> None:
    """A view of whole numbers, or without the alpha that the first one has, is left as it is."""
    ids = np.ones((4, 8), np.uint32)
    for other in (frame(R=ids, G=ids, B=ids, A=1.0), frame(R=0.5, G=0.5, B=0.5)):
        eyes = stereo(left=frame(R=0.5, G=0.5, B=0.5, A=1.0), right=other)
        result, _ = done(tmp_path, {"fg": eyes}, plan(target="fg", layers=("fg",), wants_matte=True))
        assert result.parts[1].channels["R"].tobytes() == other.channels["R"].tobytes()
        (tmp_path / "7.exr").unlink()
