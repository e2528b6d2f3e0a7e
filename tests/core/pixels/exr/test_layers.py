"""Layers: which channels are the picture and the matte, and putting new pixels in without touching the
rest."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import exr_files
from harmovid.errors import FrameRefused, InputError
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, ExrFrame, Layer, PartHeader
from hypothesis import given, settings
from hypothesis import strategies as st


def frame_of(*names: str, dtype: type = np.float16, part: str = "", view: str = "") -> ExrFrame:
    """A 2 x 3 frame whose channels hold 0, 1, 2 ... in the order of `names`."""
    attributes = {}
    if part:
        attributes["name"] = Attribute.of("string", part)
    if view:
        attributes["view"] = Attribute.of("string", view)
    header = PartHeader.make((0, 0, 3, 2), attributes=attributes)
    return exr.make_frame(header, {name: np.full((2, 3), i, dtype) for i, name in enumerate(names)})


def parts_of(*frames: ExrFrame) -> ExrFrame:
    """One frame of several parts."""
    parts = tuple(frame.parts[0] for frame in frames)
    return ExrFrame(parts, exr.main_part(tuple(part.header for part in parts)))


@pytest.mark.parametrize(
    ("names", "layer", "expected"),
    [
        (("R", "G", "B"), "", Layer(0, ("R", "G", "B"))),
        (("A", "B", "G", "R", "left.R", "left.G", "left.B"), "", Layer(0, ("R", "G", "B"), "A")),
        (
            ("A", "B", "G", "R", "left.R", "left.G", "left.B"),
            "left",
            Layer(0, ("left.R", "left.G", "left.B")),
        ),
        (("d.red", "d.green", "d.blue", "d.alpha"), "d", Layer(0, ("d.red", "d.green", "d.blue"), "d.alpha")),
        (("View.Combined.R", "View.Combined.G", "View.Combined.B"), "View.Combined", None),
        (("r", "R", "G", "B", "red"), "", Layer(0, ("R", "G", "B"))),
    ],
)
def test_layers_are_found_by_name(names, layer: str, expected) -> None:
    """The beauty is R, G, B; other layers are found by their prefix in every usual spelling."""
    found = exr.find_layer(frame_of(*names).headers, layer)

    assert found == (expected or Layer(0, names))


def test_the_beauty_of_a_multi_part_file_is_its_first_rgb_part() -> None:
    """Depth before the picture does not matter; a second view is found by its name or its view."""
    frame = parts_of(
        frame_of("Z", part="depth"),
        frame_of("R", "G", "B", "A", part="rgba.left", view="left"),
        frame_of("R", "G", "B", part="rgba.right", view="right"),
    )

    assert frame.main == 1
    assert exr.find_layer(frame.headers) == Layer(1, ("R", "G", "B"), "A")
    assert exr.find_layer(frame.headers, "right") == Layer(2, ("R", "G", "B"))
    assert exr.find_layer(frame.headers, "rgba.right") == Layer(2, ("R", "G", "B"))
    assert exr.find_layer(frame.headers, "RIGHT") == Layer(2, ("R", "G", "B"))
    assert exr.layer_names(frame.headers) == ("", "rgba.right")


def test_a_missing_layer_names_those_there_are() -> None:
    """A file without plain R, G, B is refused and its layers are listed: none is guessed."""
    frame = frame_of("View.Combined.R", "View.Combined.G", "View.Combined.B", "View.Depth.Z")

    with pytest.raises(FrameRefused, match=r"no channels R, G, B\. Its colour layers: View\.Combined"):
        exr.layer_rgb(frame)
    with pytest.raises(FrameRefused, match="no layer 'left'"):
        exr.find_layer(frame.headers, "left")


def test_layer_rgb_is_float_and_unchanged() -> None:
    """Colours come out as stored, interleaved float32: no clipping, no unpremultiplication, NaN and Inf
    included."""
    rng = np.random.default_rng(0)
    pixels = {name: exr_files.pixels(rng, np.float16, (5, 4)) for name in "RGBA"}
    frame = exr.make_frame(PartHeader.make((0, 0, 4, 5)), pixels)

    _, rgb = exr.layer_rgb(frame)

    assert (rgb.shape, rgb.dtype) == ((5, 4, 3), np.float32)
    for index, name in enumerate("RGB"):
        np.testing.assert_array_equal(rgb[..., index], pixels[name].astype(np.float32))
    np.testing.assert_array_equal(exr.channel_plane(frame, "A"), pixels["A"].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint32])
def test_ids_are_no_picture(dtype: type) -> None:
    """A layer of unsigned integers is not colour, and there is no plane of a channel that is not there."""
    frame = frame_of("R", "G", "B", dtype=dtype)

    with pytest.raises(FrameRefused, match="half or float"):
        exr.layer_rgb(frame)
    with pytest.raises(FrameRefused, match="channel A"):
        exr.channel_plane(frame, "A")


@given(seed=st.integers(0, 2**31), changed=st.sets(st.sampled_from(["R", "G", "B", "A", "depth.Z", "id"])))
@settings(max_examples=30, deadline=None)
def test_other_channels_are_the_same_arrays(seed: int, changed: set) -> None:
    """Replacing channels leaves every other one, and the original frame, exactly as they were."""
    frame = exr_files.plate(seed)
    before = {name: pixels.tobytes() for name, pixels in frame.channels.items()}
    new = {name: np.zeros_like(frame.channels[name]) for name in changed}

    result, clamped = exr.with_channels(frame, new)

    assert clamped == {}
    assert result.header.attributes == frame.header.attributes
    assert {name: p.tobytes() for name, p in frame.channels.items()} == before
    for name, pixels in result.channels.items():
        assert pixels is (new[name] if name in changed else frame.channels[name])


def test_new_channels_have_their_own_type() -> None:
    """Added channels are listed sorted, in the array's type, and are read back; old ones keep theirs."""
    frame = exr_files.plate()
    field = {f"harmovid.{c}": np.full((24, 32), -0.5, np.float32) for c in "RGB"}

    result, _ = exr.with_channels(frame, {**field, "R": np.ones((24, 32), np.float32)})
    back = exr.read(exr.write(result))

    assert list(back.channels) == sorted([*frame.channels, *field])
    assert back.channels["harmovid.G"].dtype == np.float32
    assert back.channels["R"].dtype == np.float16
    assert back.channels["id"].tobytes() == frame.channels["id"].tobytes()


def test_overflow_into_half_is_clamped_and_counted() -> None:
    """Finite values beyond half become +-65504 and are counted; infinity and NaN stay what they are,
    uncounted."""
    values = np.array([[70000, -1e9, np.inf, -np.inf, np.nan, 65504, 65519.9, 65520, 1.0]], np.float32)
    frame = exr.make_frame(PartHeader.make((0, 0, 9, 1)), {"R": np.zeros((1, 9), np.float16)})

    result, clamped = exr.with_channels(frame, {"R": values})

    expected = [65504, -65504, np.inf, -np.inf, np.nan, 65504, 65504, 65504, 1.0]
    np.testing.assert_array_equal(result.channels["R"][0], np.array(expected, np.float16))
    assert clamped == {"R": 3}


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
@settings(max_examples=200, deadline=None)
def test_to_half_is_numpys_rounding_but_for_overflow(values: list) -> None:
    """Where numpy's rounding is finite or the value was not, the halves are numpy's; no other value is
    infinite."""
    given_values = np.array(values, np.float32)

    half, clamped = exr.to_half(given_values)

    with np.errstate(over="ignore"):
        plain = given_values.astype(np.float16)
    overflowed = np.isinf(plain) & np.isfinite(given_values)
    assert clamped == int(overflowed.sum())
    np.testing.assert_array_equal(half[~overflowed], plain[~overflowed])
    np.testing.assert_array_equal(half[overflowed], np.copysign(np.float16(65504), given_values[overflowed]))


@given(seed=st.integers(0, 2**31), dtype=st.sampled_from([np.float16, np.float32, np.uint32]))
@settings(max_examples=50, deadline=None)
def test_nonfinite_values_are_counted(seed: int, dtype: type) -> None:
    """NaN and infinity of either sign are counted as numpy finds them; integers have none."""
    rng = np.random.default_rng(seed)
    pixels = exr_files.pixels(rng, dtype, (13, 17))
    if dtype != np.uint32:
        pixels[rng.random(pixels.shape) < 0.1] = rng.choice(np.array([np.inf, -np.inf], dtype))

    counts = exr.count_nonfinite(pixels)

    assert counts == (int(np.isnan(pixels).sum()), int(np.isinf(pixels).sum()))


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("R", np.zeros((23, 32), np.float32)),
        ("R", np.zeros((24, 32), np.float64)),
        ("id", np.zeros((24, 32), np.float32)),
        ("new", np.zeros((24, 32), np.uint8)),
    ],
)
def test_pixels_that_do_not_fit_are_refused(name: str, new: np.ndarray) -> None:
    """Another size, a type EXR does not have, or floats for ids are input errors that name the channel."""
    with pytest.raises(InputError, match=rf"{name}|type"):
        exr.with_channels(exr_files.plate(), {name: new})


def test_the_data_window_can_change() -> None:
    """Pixels keep their place in the picture when the data window grows, shrinks or moves; new ones are 0."""
    frame = exr_files.plate()
    there_and_back = exr.with_data_window(exr.with_data_window(frame, (-10, -10, 60, 60)), frame.data_window)
    part = exr.with_data_window(frame, (0, 0, 4, 50))

    assert exr_files.same_pixels(there_and_back, frame)
    assert there_and_back.header.attributes == frame.header.attributes
    assert part.data_window == (0, 0, 4, 50)
    assert part.display_window == frame.display_window
    assert np.array_equal(part.channels["id"][:22], frame.channels["id"][2:, 3:7])
    assert not part.channels["id"][22:].any()
    assert exr_files.same_pixels(exr.read(exr.write(part)), part)


def test_windows_that_do_not_meet_give_black() -> None:
    """Moving a picture out of the window leaves zeros, also for (H, W, C) arrays."""
    rgb = np.ones((2, 3, 3), np.float32)

    assert not exr.moved(rgb, (0, 0, 3, 2), (10, 10, 14, 15)).any()
    assert exr.moved(rgb, (0, 0, 3, 2), (10, 10, 14, 15)).shape == (5, 4, 3)
    assert exr.moved(rgb, (0, 0, 3, 2), (0, 0, 3, 2)) is rgb


def test_attributes_can_be_set_and_removed() -> None:
    """Setting and removing attributes touches only those."""
    frame = exr.with_attributes(exr_files.plate(), {"take": None, "shot": Attribute.of("string", "ab_010")})

    back = exr.read(exr.write(frame))

    assert back.header.get("shot") == "ab_010"
    assert back.header.get("take") is None
    assert set(back.header.attributes) == {*exr_files.plate().header.attributes, "shot"} - {"take"}


def test_unknown_compressions_cannot_be_made() -> None:
    """Asking for a compression that EXR does not have is an input error listing those it has."""
    with pytest.raises(InputError, match="zips"):
        PartHeader.make((0, 0, 1, 1), compression="jpeg")
