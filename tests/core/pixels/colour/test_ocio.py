"""Colour spaces by OpenColorIO name: built-in and own configurations, unknown names, linear light and
back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harmovid.errors import ColourError
from harmovid.pixels.colour import spaces
from harmovid.pixels.colour.acescct import acescct_decode
from harmovid.pixels.colour.primaries import rgb_to_rgb
from harmovid.pixels.colour.spaces import AP0, AP1, REC709, REC2020, load_config, space_of
from harmovid.pixels.colour.srgb import srgb_decode

CODE_TOLERANCE = 2e-5
"""Log code to linear and back: OpenColorIO's fast logarithms and powers, in float32; a 10-bit step is
1e-3."""

OWN_CONFIG = """ocio_profile_version: 1
search_path: ""
strictparsing: true
luma: [0.2126, 0.7152, 0.0722]
roles:
  default: plain
  {role}: plain
displays:
  screen:
    - !<View> {{name: Raw, colorspace: plain}}
active_displays: []
active_views: []
colorspaces:
  - !<ColorSpace>
    name: plain
    isdata: false
  - !<ColorSpace>
    name: doubled
    isdata: false
    to_reference: !<MatrixTransform> {{matrix: [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]}}
"""


@pytest.fixture(autouse=True)
def no_ocio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every test without the user's own configuration."""
    monkeypatch.delenv("OCIO", raising=False)


def codes(seed: int = 0) -> np.ndarray:
    """Plausible log code values `(20, 30, 3)`."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, (20, 30, 3)).astype(np.float32)


@pytest.mark.parametrize("source", ["ocio://studio-config-latest", "ocio://cg-config-latest"])
def test_built_in_configurations_list_their_names(source: str) -> None:
    """The built-in ACES configurations load, list their spaces, and work in ACEScg."""
    config = load_config(source)

    assert {"ACEScg", "ACEScct", "ACES2065-1"} <= set(config.names)
    assert config.scene_linear == "ACEScg"
    assert config.scene_linear_primaries() == AP1


def test_the_default_knows_camera_logs() -> None:
    """Without $OCIO the studio configuration is used."""
    assert load_config().source == spaces.DEFAULT_CONFIG
    assert "ARRI LogC3 (EI800)" in load_config().names


@pytest.mark.parametrize(
    "name",
    [
        "ARRI LogC3 (EI800)",
        "ARRI LogC4",
        "S-Log3 S-Gamut3.Cine",
        "V-Log V-Gamut",
        "Log3G10 REDWideGamutRGB",
        "ACEScct",
    ],
)
def test_camera_logs_go_to_linear_and_back(name: str) -> None:
    """Code values become linear ACEScg light, unclamped, and come back within `CODE_TOLERANCE`."""
    space = space_of(name)

    linear = space.to_linear(codes())
    back = space.from_linear(linear)

    assert space.primaries == AP1
    assert not space.linear
    assert linear.dtype == np.float32
    assert linear.max() > 5.0
    np.testing.assert_allclose(back, codes(), rtol=0, atol=CODE_TOLERANCE)


def test_the_whole_half_range_survives_a_log_space() -> None:
    """Light of 65504, 1000 and -0.01 goes into a camera's log and comes back: nothing is clamped on the
    way."""
    space = space_of("S-Log3 S-Gamut3.Cine")
    linear = np.array([[[65504.0] * 3, [1000.0] * 3, [0.18] * 3, [-0.01] * 3]], np.float32)

    np.testing.assert_allclose(space.to_linear(space.from_linear(linear)), linear, rtol=2e-5, atol=1e-6)


def test_acescct_agrees_with_our_own_curve() -> None:
    """OpenColorIO's ACEScct to ACEScg is our curve, within its fast logarithms: two sources, one standard."""
    linear = space_of("ACEScct").to_linear(codes())

    np.testing.assert_allclose(linear, acescct_decode(codes()), rtol=2e-5, atol=1e-6)


def test_matrices_agree_with_our_own() -> None:
    """OpenColorIO's Rec.709 to ACEScg is the matrix that we compute from chromaticities (Bradford in
    both)."""
    config = load_config()

    rows = config.convert(np.eye(3, dtype=np.float32)[None], "Linear Rec.709 (sRGB)", "ACEScg")[0]

    np.testing.assert_allclose(rows.T, rgb_to_rgb(REC709, AP1), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "primaries"),
    [
        ("ACEScg", AP1),
        ("lin_ap1", AP1),
        ("scene_linear", AP1),
        ("ACES2065-1", AP0),
        ("Linear Rec.2020", REC2020),
    ],
)
def test_named_linear_spaces_are_left_alone(name: str, primaries) -> None:
    """A linear space with known primaries, by name, alias or role, needs no transform: the values are the
    light."""
    space = space_of(name)
    rgb = codes()

    assert space.linear
    assert space.primaries == primaries
    assert space.to_linear(rgb) is rgb
    assert space.from_linear(rgb) is rgb


def test_an_encoded_space_with_known_primaries_is_still_converted() -> None:
    """sRGB has Rec.709's primaries, but a curve too: it is not mistaken for linear light."""
    space = space_of("sRGB Encoded Rec.709 (sRGB)")
    grey = np.full((1, 1, 3), 0.5, np.float32)

    assert not space.linear
    np.testing.assert_allclose(space.to_linear(grey), srgb_decode(grey), rtol=1e-4)


def test_camera_linear_spaces_are_converted() -> None:
    """A linear space whose primaries the configuration does not state goes through scene_linear, by a
    matrix."""
    space = space_of("Linear ARRI Wide Gamut 4")
    linear = space.to_linear(codes())

    assert space.primaries == AP1
    np.testing.assert_allclose(space.to_linear(2 * codes()), 2 * linear, rtol=1e-5)
    np.testing.assert_allclose(space.from_linear(linear), codes(), rtol=0, atol=1e-6)


def test_a_file_without_a_name_is_linear_in_its_own_primaries() -> None:
    """No name: the file's chromaticities count, and without any it is Rec.709; nothing is converted."""
    rgb = codes()

    assert space_of("", None).primaries == REC709
    assert space_of("", AP0).primaries == AP0
    assert space_of("", AP0).to_linear(rgb) is rgb


def test_another_layer_is_taken_to_the_targets_primaries() -> None:
    """A Rec.709 background seen in an ACEScg plate's space is the matrix's product, and goes back."""
    background = space_of("", REC709)
    there = background.to_linear(codes(), AP1)

    np.testing.assert_allclose(there, codes() @ rgb_to_rgb(REC709, AP1).T.astype(np.float32), rtol=1e-5)
    np.testing.assert_allclose(background.from_linear(there, AP1), codes(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("logc3", "ARRI LogC3"),
        ("ACES-cg", "ACEScg"),
        ("slog3", "S-Log3"),
        ("rec2020 linear", "Linear Rec.2020"),
    ],
)
def test_an_unknown_name_suggests_near_ones(wrong: str, near: str) -> None:
    """A name that is not there is a colour error that says which configuration was asked and what it has
    instead."""
    with pytest.raises(ColourError) as found:
        space_of(wrong)

    assert wrong in str(found.value)
    assert spaces.DEFAULT_CONFIG in str(found.value)
    assert near in found.value.fix


def test_a_name_like_no_other_gets_some_names() -> None:
    """Where nothing is near, the error still shows what names look like."""
    with pytest.raises(ColourError, match=r"It has .*, and more"):
        space_of("qqqqqqqq")


def test_data_is_no_colour() -> None:
    """A space that holds data cannot be relit and says so."""
    with pytest.raises(ColourError, match="Raw holds data"):
        space_of("Raw")


def test_the_users_configuration_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$OCIO decides where it is set: its names, its scene_linear, and Rec.709 where it does not state
    primaries."""
    path = tmp_path / "config.ocio"
    path.write_text(OWN_CONFIG.format(role="scene_linear"))
    monkeypatch.setenv("OCIO", str(path))

    space = space_of("doubled")

    assert load_config().names == ("plain", "doubled")
    assert space.primaries == REC709
    np.testing.assert_allclose(space.to_linear(codes()), 2 * codes(), rtol=1e-6)
    np.testing.assert_allclose(space.from_linear(2 * codes()), codes(), rtol=1e-6)
    with pytest.raises(ColourError, match="ARRI"):
        space_of("ARRI LogC4")


@pytest.mark.parametrize("source", ["/no/such/config.ocio", "ocio://no-such-config"])
def test_an_unreadable_configuration_is_an_error(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that cannot be read is an error, not a silent other one."""
    monkeypatch.setenv("OCIO", source)

    with pytest.raises(ColourError, match="cannot be read"):
        space_of("ACEScg")


def test_a_configuration_without_scene_linear_is_refused(tmp_path: Path) -> None:
    """Without the role there is no linear light to go to."""
    path = tmp_path / "config.ocio"
    path.write_text(OWN_CONFIG.format(role="texture_paint"))

    with pytest.raises(ColourError, match="scene_linear"):
        load_config(str(path))


def test_any_size_down_to_one_pixel() -> None:
    """Odd sizes and single pixels convert like the pixels of a larger picture, strided arrays too."""
    space = space_of("ACEScct")
    whole = space.to_linear(codes())

    np.testing.assert_allclose(space.to_linear(codes()[:1, :1]), whole[:1, :1], rtol=1e-6)
    np.testing.assert_allclose(space.to_linear(codes()[::3, ::7]), whole[::3, ::7], rtol=1e-6)
