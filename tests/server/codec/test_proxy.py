"""The engines' proxies of a frame: sizes, alpha, mattes, colour spaces, facts; and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.frames import BOX, frame, plan
from harmovid.errors import ColourError, FrameMismatch, FrameRefused
from harmovid.pixels import exr
from harmovid.pixels.colour.spaces import AP1, REC709, convert_primaries, load_config
from harmovid_server.codec.picture import load
from harmovid_server.codec.proxy import measure


def test_a_plate_is_averaged_as_it_is() -> None:
    """A plain plate's proxy holds its colours, covers all, and comes with its windows as facts."""
    small = measure({"plate": frame(R=0.5, G=2.0, B=-0.25)}, plan())
    assert small.images["plate"].shape == (2, 4, 3)
    assert small.images["plate"][0, 0].tolist() == [0.5, 2.0, -0.25]
    assert small.mattes["coverage"].min() == 1
    assert small.facts == {
        "display": list(BOX), "data": list(BOX), "nan": 0, "inf": 0, "notes": [], "solid": {},
        "primaries": {"plate": [round(number, 4) for number in REC709]},
    }  # fmt: skip


def test_premultiplied_colours_are_divided_by_alpha_weighted() -> None:
    """Half-transparent and opaque pixels of one colour average to that colour; empty ones have none."""
    alpha = np.tile(np.array([1, 0.5, 1, 0.25, 0, 0, 0, 0], np.float16), (4, 1))
    colours = {name: (alpha * value).astype(np.float16) for name, value in zip("RGB", (1, 2, 4))}
    small = measure({"fg": frame(A=alpha, **colours)}, plan(layers=("fg",), target="fg", wants_matte=True))
    np.testing.assert_allclose(small.images["fg"][:, :2], np.tile([1, 2, 4], (2, 2, 1)), rtol=1e-3)
    assert not small.images["fg"][:, 2:].any()


@pytest.mark.parametrize("stray", [0, 1, 8])
def test_a_plates_alpha_says_nothing(stray: int) -> None:
    """Light with alpha 0 (a fire, a scan written as RGBA) counts, also in frames with some alpha."""
    alpha = np.zeros((4, 8), np.float16)
    alpha.ravel()[:stray] = 1
    small = measure({"plate": frame(R=0.5, G=0.5, B=0.5, A=alpha)}, plan())
    assert small.images["plate"].min() == small.images["plate"].max() == 0.5


def test_the_foregrounds_alpha_is_its_matte() -> None:
    """An engine that wants a matte gets the target's alpha, 0 beyond the data window."""
    small = measure(
        {"fg": frame(window=(4, 0, 8, 4), R=1.0, G=1.0, B=1.0, A=1.0)},
        plan(layers=("fg",), target="fg", wants_matte=True),
    )
    assert small.mattes["matte"].tolist() == [[0, 0, 1, 1]] * 2


def test_a_given_matte_wins_over_alpha() -> None:
    """The layer "matte" is the matte where it is given; its first of A, Y, only channel, R is taken."""
    frames = {"fg": frame(R=1.0, G=1.0, B=1.0, A=1.0), "matte": frame(Y=0.25)}
    small = measure(frames, plan(layers=("fg", "matte"), target="fg", wants_matte=True))
    assert small.mattes["matte"].min() == small.mattes["matte"].max() == 0.25


def test_colours_that_are_taken_as_multiplied_by_a_matte_are_told() -> None:
    """Without an alpha nothing says that they are; with one, or where they are said not to be, there is no doubt."""

    def notes(premultiplied: bool = True, **alpha: float) -> list[str]:
        frames = {"fg": frame(R=1.0, G=1.0, B=1.0, **alpha), "matte": frame(Y=0.25)}
        made = plan(layers=("fg", "matte"), target="fg", wants_matte=True, premultiplied=premultiplied)
        return list(measure(frames, made).facts["notes"])

    (said,) = notes()
    assert said.startswith("fg: it has no alpha, so its colours are taken as multiplied by the matte")
    assert notes(premultiplied=False) == notes(A=1.0) == []


def test_a_foreground_without_any_matte_is_refused() -> None:
    """No alpha and no matte: FrameRefused says to give one."""
    with pytest.raises(FrameRefused, match="matte"):
        measure({"fg": frame(R=1.0, G=1.0, B=1.0)}, plan(layers=("fg",), target="fg", wants_matte=True))


def test_mattes_are_clipped_and_never_nan() -> None:
    """Masks beyond 0..1 are clipped, and NaN in a mask counts as 0."""
    values = np.full((4, 8), 3.0, np.float16)
    values[:, :4] = np.nan
    small = measure(
        {"plate": frame(R=1.0, G=1.0, B=1.0), "mask": frame(A=values)}, plan(layers=("plate", "mask"))
    )
    assert small.mattes["mask"].tolist() == [[0, 0, 1, 1]] * 2


def test_other_layers_come_in_the_targets_primaries() -> None:
    """A Rec.709 background beside an ACEScg foreground is converted to ACEScg."""
    acescg = {"chromaticities": exr.Attribute.of("chromaticities", AP1)}
    frames = {"fg": frame(R=1.0, G=1.0, B=1.0, A=1.0, attributes=acescg), "bg": frame(R=0.5, G=0.125, B=0.25)}
    small = measure(frames, plan(layers=("fg", "bg"), target="fg", wants_matte=True))
    wanted = convert_primaries(np.array([0.5, 0.125, 0.25], np.float32), REC709, AP1)
    np.testing.assert_allclose(small.images["bg"][0, 0], wanted, rtol=1e-5)


def test_a_named_log_space_is_linearised_before_averaging() -> None:
    """Averaging happens in light: a checker of two ACEScct codes gives the mean of their linear values."""
    codes = np.tile(np.array([0.2, 0.6], np.float32), (4, 4))
    small = measure(
        {"plate": frame(R=codes, G=codes, B=codes)},
        plan(colorspace={"plate": "ACEScct"}, premultiplied=False),
    )
    pair = np.repeat(np.array([[[0.2], [0.6]]], np.float32), 3, axis=2)
    config = load_config()
    light = config.convert(pair, "ACEScct", config.scene_linear)
    np.testing.assert_allclose(small.images["plate"][0, 0], light.mean(axis=(0, 1)), rtol=1e-4)


def test_an_unknown_colour_space_is_the_jobs_error() -> None:
    """A name that the configuration does not know is a ColourError, not a frame's error."""
    with pytest.raises(ColourError, match="NoSuchSpace"):
        measure({"plate": frame(R=1.0, G=1.0, B=1.0)}, plan(colorspace={"plate": "NoSuchSpace"}))


def test_nan_and_infinity_are_counted_and_never_reach_the_engine() -> None:
    """A pixel with NaN and one with infinity are left out and reported."""
    red = np.ones((4, 8), np.float16)
    red[0, 0], red[3, 7] = np.nan, np.inf
    small = measure({"plate": frame(R=red, G=1.0, B=1.0)}, plan())
    assert np.isfinite(small.images["plate"]).all()
    assert (small.facts["nan"], small.facts["inf"]) == (1, 1)
    assert small.mattes["coverage"][0, 0] == 0.75


def test_unsigned_integers_are_no_picture() -> None:
    """R, G, B of uint are refused by name."""
    ids = np.ones((4, 8), np.uint32)
    with pytest.raises(FrameRefused, match="channel R"):
        measure({"plate": frame(R=ids, G=ids, B=ids)}, plan())


def test_layers_of_another_format_are_named(tmp_path) -> None:
    """A layer whose display window is not the target's is a FrameMismatch with that layer's name."""
    exr.write(frame(R=1.0, G=1.0, B=1.0), tmp_path / "plate")
    exr.write(frame(R=1.0, G=1.0, B=1.0, display=(0, 0, 9, 4)), tmp_path / "mask")
    with pytest.raises(FrameMismatch, match="9 x 4") as caught:
        load({"mask": tmp_path / "mask", "plate": tmp_path / "plate"}, plan(layers=("plate", "mask")))
    assert caught.value.layer == "mask"


def test_an_input_of_another_pixel_aspect_is_refused_or_told() -> None:
    """A background of another aspect is a FrameMismatch; a matte is aligned pixel by pixel, with a note."""
    wide = {"pixelAspectRatio": exr.Attribute.of("float", 2.0)}
    plain = frame(R=0.5, G=0.5, B=0.5, A=1.0)
    pair = plan(layers=("fg", "bg"), target="fg", wants_matte=True)
    with pytest.raises(FrameMismatch, match="pixel aspect is 2, that of fg 1") as caught:
        measure({"fg": plain, "bg": frame(R=0.5, G=0.5, B=0.5, attributes=wide)}, pair)
    assert caught.value.layer == "bg"
    masked = plan(layers=("plate", "mask"))
    small = measure({"plate": plain, "mask": frame(Y=0.5, attributes=wide)}, masked)
    assert small.facts["notes"] == [
        "mask: its pixel aspect is 2, that of plate 1; it is laid over pixel by pixel"
    ]


def test_another_view_is_told_and_can_be_chosen() -> None:
    """The view that is not measured is noted; chosen by name it becomes the proxy, and the other one is noted."""
    left, right = frame(R=0.25, G=0.25, B=0.25), frame(R=0.5, G=0.5, B=0.5)
    parts = tuple(
        exr.with_attributes(each, {n: exr.Attribute.of("string", v) for n, v in (("name", name), ("view", name))})
        .parts[0]
        for name, each in (("left", left), ("right", right))
    )  # fmt: skip
    stereo = exr.ExrFrame(parts)
    first, second = (
        measure({"plate": stereo}, plan()),
        measure({"plate": stereo}, plan(exr_layers={"plate": "right"})),
    )
    assert first.facts["notes"] == [
        "plate: the view right gets the same correction; --layer right measures and corrects it alone"
    ]
    assert second.facts["notes"] == ["plate: the view left is left as it is; --layer left chooses it"]
    assert (first.images["plate"].max(), second.images["plate"].min()) == (0.25, 0.5)


def test_a_matte_drawn_in_colour_is_measured_and_told() -> None:
    """With a solid alpha the matte in R is used, with a note; a named channel takes precedence."""
    drawn = np.zeros((4, 8), np.float16)
    drawn[:, 4:] = 1
    frames = {"plate": frame(R=0.5, G=0.5, B=0.5), "mask": frame(R=drawn, G=drawn, B=drawn, A=1.0)}
    small = measure(frames, plan(layers=("plate", "mask")))
    assert small.mattes["mask"][0].tolist() == [0, 0, 1, 1]
    assert "its channel R is taken, as A is the same everywhere" in small.facts["notes"][0]
    named = measure(frames, plan(layers=("plate", "mask"), matte_channels={"mask": "A"}))
    assert (named.facts["notes"], named.facts["solid"]) == ([], {"mask": "white"})


def test_a_mattes_odd_values_are_told() -> None:
    """A matte of 8 bits that was never divided, and NaN in a matte, are noted; a filter's overshoot is not."""
    plate, drawn = frame(R=0.5, G=0.5, B=0.5), np.zeros((4, 8), np.float16)
    masked = plan(layers=("plate", "mask"))
    drawn[:, 4:] = 255
    (bits,) = measure({"plate": plate, "mask": frame(A=drawn)}, masked).facts["notes"]
    assert "mask: it has values far above 1" in bits
    drawn[:, 4:] = 1.1
    drawn[0, 0] = np.nan
    (holes,) = measure({"plate": plate, "mask": frame(A=drawn)}, masked).facts["notes"]
    assert "mask: it has pixels that are not numbers (NaN)" in holes
    alpha = {"fg": frame(R=1.0, G=1.0, B=1.0, A=255.0)}
    (own,) = measure(alpha, plan(layers=("fg",), target="fg", wants_matte=True)).facts["notes"]
    assert "the alpha of fg: it has values far above 1" in own


@pytest.mark.parametrize(("encoded", "notes"), [(False, 0), (True, 1)])
def test_normals_that_are_none_are_told(encoded: bool, notes: int) -> None:
    """Normals encoded from 0 to 1, as pictures hold them, are noted; unit vectors and empty pixels are not."""
    up, right = np.linspace(-0.6, 0.6, 8, dtype=np.float32), np.zeros((4, 8), np.float32)
    axes = {"N.x": right + up, "N.y": right, "N.z": right + np.sqrt(1 - up**2)}
    if encoded:
        axes = {channel: plane / 2 + np.float32(0.5) for channel, plane in axes.items()}
    else:
        axes = {channel: plane * np.float32([[0], [1], [1], [1]]) for channel, plane in axes.items()}
    frames = {"fg": frame(R=1.0, G=1.0, B=1.0, A=1.0), "normals": frame(R=0.2, G=0.2, B=0.2, **axes)}
    layers = plan(layers=("fg", "normals"), target="fg", wants_matte=True, vectors=("normals",))
    told = [note for note in measure(frames, layers).facts["notes"] if "length 1" in note]
    assert len(told) == notes


def test_a_panorama_keeps_its_own_format() -> None:
    """Light around a place is measured in its own format, twice as wide as high, whatever the target's is."""
    frames = {
        "fg": frame(R=1.0, G=1.0, B=1.0, A=1.0),
        "light_to": frame((0, 0, 16, 8), (0, 0, 16, 8), R=3.0, G=2.0, B=1.0),
    }
    names = {"layers": ("fg", "light_to"), "target": "fg", "wants_matte": True}
    small = measure(frames, plan(**names, panoramas=("light_to",)))
    assert small.images["light_to"].shape == (2, 4, 3)
    assert small.images["light_to"][1, 3].tolist() == [3, 2, 1]
    with pytest.raises(FrameMismatch, match="16 x 8"):
        measure(frames, plan(**names))


def test_a_picture_that_is_no_panorama_is_refused() -> None:
    """A plate given as a panorama would be taken for the light of a whole place, and give a wrong answer in silence."""
    frames = {
        "fg": frame(R=1.0, G=1.0, B=1.0, A=1.0),
        "light_to": frame((0, 0, 16, 9), (0, 0, 16, 9), R=3.0, G=2.0, B=1.0),
    }
    names = {"layers": ("fg", "light_to"), "target": "fg", "wants_matte": True}
    with pytest.raises(FrameMismatch, match="twice as wide as high") as caught:
        measure(frames, plan(**names, panoramas=("light_to",)))
    assert caught.value.layer == "light_to"


def test_vectors_are_no_colour() -> None:
    """Normals come as they are, whatever primaries the target has; pictures are converted to them."""
    acescg = {"chromaticities": exr.Attribute.of("chromaticities", AP1)}
    target = frame(R=1.0, G=1.0, B=1.0, A=1.0, attributes=acescg)
    normals = frame(R=0.5, G=-0.25, B=1.0)
    names = {"layers": ("fg", "normals"), "target": "fg", "wants_matte": True}
    kept = measure({"fg": target, "normals": normals}, plan(**names, vectors=("normals",)))
    converted = measure({"fg": target, "normals": normals}, plan(**names))
    assert kept.images["normals"][0, 0].tolist() == [0.5, -0.25, 1.0]
    assert converted.images["normals"][0, 0].tolist() != [0.5, -0.25, 1.0]


def test_normals_in_the_foregrounds_own_file_are_not_its_colours() -> None:
    """Of a file with R, G, B, A and N.x, N.y, N.z the vectors are the normals, and the target is the picture."""
    both = frame(**{"R": 3.0, "G": 2.0, "B": 1.0, "A": 1.0, "N.x": 0.5, "N.y": -0.25, "N.z": 1.0})
    names = {"layers": ("fg", "normals"), "target": "fg", "wants_matte": True}
    small = measure({"fg": both, "normals": both}, plan(**names, vectors=("normals",)))
    assert small.images["fg"][0, 0].tolist() == [3.0, 2.0, 1.0]
    assert small.images["normals"][0, 0].tolist() == [0.5, -0.25, 1.0]
