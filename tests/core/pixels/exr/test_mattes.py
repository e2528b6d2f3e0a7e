"""Which channel of a file is the matte: by its name, by what is in it, or by the user's word."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.errors import FrameRefused
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, ExrFrame, PartHeader
from hypothesis import given
from hypothesis import strategies as st

SHAPE = (96, 8)
HALF_WHITE = np.zeros(SHAPE, np.float16)
HALF_WHITE[:, :3] = 1


def file_of(part: str = "", **channels: object) -> ExrFrame:
    """Return a one-part frame; a number fills its channel."""
    attributes = {"name": Attribute.of("string", part)} if part else {}
    planes = {
        n: v if isinstance(v, np.ndarray) else np.full(SHAPE, v, np.float16) for n, v in channels.items()
    }
    return exr.make_frame(PartHeader.make((0, 0, SHAPE[1], SHAPE[0]), attributes=attributes), planes)


def taken(frame: ExrFrame, channel: str = "") -> str:
    """Return the name of the channel that is the matte."""
    return exr.matte_plane(frame, exr.find_matte(frame.headers, channel))[1]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("R G B A", "A"),
        ("R G B", "R"),
        ("Y", "Y"),
        ("mask", "mask"),
        ("Y Z", "Y"),
        ("roto.red roto.green roto.blue roto.alpha", "roto.alpha"),
        ("depth.Z roto.a", "roto.a"),
    ],
)
def test_mattes_are_found_by_name(names: str, expected: str) -> None:
    """A matte is A, else Y, else the only channel, else the only alpha, else R."""
    assert taken(file_of(**dict.fromkeys(names.split(), 0.5))) == expected


@pytest.mark.parametrize("names", ["X Z", "a.alpha b.alpha"])
def test_no_matte_is_refused(names: str) -> None:
    """Several data channels, or several alphas, are no matte: one has to be named."""
    frame = file_of(**dict.fromkeys(names.split(), 0.5))
    with pytest.raises(FrameRefused, match="as a matte") as caught:
        exr.find_matte(frame.headers)
    assert "--mask-channel" in caught.value.fix


@pytest.mark.parametrize("alpha", [1.0, 2.0, 0.0, -0.0])
@pytest.mark.parametrize(
    "colours",
    [
        {"R": HALF_WHITE, "G": HALF_WHITE, "B": HALF_WHITE},
        {
            "R": HALF_WHITE * np.float16(0.4),
            "G": HALF_WHITE * np.float16(0.4),
            "B": HALF_WHITE * np.float16(0.4),
        },
        {"R": HALF_WHITE, "G": 1 - HALF_WHITE, "B": 0.0},
        {"R": 0.0, "G": 0.0, "B": 0.0},
    ],
)
def test_a_matte_drawn_in_colour_under_a_solid_alpha_is_taken(colours: dict, alpha: float) -> None:
    """An alpha that is 1 or 0 everywhere says nothing: a grey or crisp matte in R, G, B is used, black too."""
    assert taken(file_of(A=alpha, **colours)) == "R"


def test_grey_beside_a_solid_alpha_is_taken() -> None:
    """The same holds for a grey file of Y and A."""
    assert taken(file_of(A=1.0, Y=HALF_WHITE)) == "Y"


def test_a_picture_under_a_solid_alpha_is_no_matte() -> None:
    """A foreground that fills its frame keeps its alpha as its mask: its red is no matte."""
    rng = np.random.default_rng(0)
    colours = {name: rng.gamma(1.0, 0.4, SHAPE).astype(np.float16) for name in "RGB"}
    assert taken(file_of(A=1.0, **colours)) == "A"


def test_an_alpha_that_says_something_is_taken() -> None:
    """Colours are not looked at where the alpha is not the same everywhere, if only in one pixel."""
    alpha = np.ones(SHAPE, np.float16)
    alpha[-1, -1] = 0.5
    assert taken(file_of(A=alpha, R=HALF_WHITE, G=HALF_WHITE, B=HALF_WHITE)) == "A"


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("G", (0, "G")),
        ("b", (0, "B")),
        ("masks.Y", (1, "Y")),
        ("masks", (1, "Y")),
        ("roto", (0, "roto.alpha")),
    ],
)
def test_a_named_channel_is_taken_wherever_it_is(channel: str, expected: tuple) -> None:
    """A channel by its name in any case, by part and name, or a part or layer that has one alpha or channel."""
    first = file_of("rgba", A=1.0, R=0.0, G=HALF_WHITE, B=0.0, **{"roto.red": 0.0, "roto.alpha": HALF_WHITE})
    second = file_of("masks", Y=HALF_WHITE)
    headers = ExrFrame((first.parts[0], second.parts[0])).headers
    found = exr.find_matte(headers, channel)
    assert (found.part, found.channel, found.drawn) == (*expected, ())


def test_a_channel_that_is_not_there_is_refused_with_those_there_are() -> None:
    """The message names the file's channels."""
    with pytest.raises(FrameRefused, match="no channel 'M'; it has R, Y"):
        exr.find_matte(file_of(Y=0.0, R=0.0).headers, "M")


def test_a_matte_of_whole_numbers_is_refused() -> None:
    """An id channel is no matte, named or not."""
    ids = file_of(Y=np.ones(SHAPE, np.uint32))
    for channel in ("", "Y"):
        with pytest.raises(FrameRefused, match="channel Y is subsampled or holds whole numbers"):
            exr.find_matte(ids.headers, channel)


@given(
    st.lists(
        st.sampled_from([0.0, -0.0, 1.0, 0.5, 2.0, -1.0, np.nan, np.inf, -np.inf]), min_size=1, max_size=3
    ),
    st.sampled_from([np.float16, np.float32]),
)
def test_solid_is_what_the_values_say(values: list, dtype: type) -> None:
    """White is 1 or more everywhere, black 0 or less, for both pixel types alike."""
    plane = np.resize(np.array(values, dtype), (130, 3))
    want = "white" if (plane >= 1).all() else "black" if (plane <= 0).all() else None
    assert exr.solid(plane) == want
