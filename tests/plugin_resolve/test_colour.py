"""The colour space sent to the server comes from project and clip; if neither states one, the task is refused."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from fakes.resolve_runs import Film
from harmovid.pixels.colour import ocio
from harmovid_resolve import colour
from harmovid_resolve.clip import clip_of
from harmovid_resolve.contract import Colour
from harmovid_resolve.errors import HostError

RCM = {
    "colorScienceMode": "davinciYRGBColorManagedv2",
    "separateColorSpaceAndGamma": "0",
    "outputDRT": "None",
}
SPLIT = {**RCM, "separateColorSpaceAndGamma": "1"}
ACES = {"colorScienceMode": "acescct"}


def of(film: Film, how: Any, settings: Dict[str, str], clip: Dict[str, str], **task: Any) -> Colour:
    """Return the colour of a film's clip with settings of the project and properties of the clip."""
    film.project.settings.update(settings)
    film.clip.properties.update(clip)
    one = clip_of(film.host.wrap(film.timeline), film.host.wrap(film.item))
    found: Colour = how(film.session(), one, film.task(**{"colour_space": "", **task}))
    return found


def test_the_server_knows_every_name() -> None:
    """Each space of the two tables is a name or an alias of the configuration that the server uses by default."""
    config = ocio.load_config("ocio://studio-config-latest")
    for name in {*colour.COMBINED.values(), *colour.SEPARATE.values()}:
        assert config.canonical(name)
    for space, gamma in colour.SEPARATE:
        assert (space, gamma) == (space.lower(), gamma.lower())
    linear = {name for (_, gamma), name in colour.SEPARATE.items() if gamma == "linear"}
    assert all(config.is_linear(name) for name in linear)
    assert not any(config.is_linear(name) for name in {*colour.SEPARATE.values()} - linear)


@pytest.mark.parametrize(
    ("settings", "clip", "space"),
    [
        ({**RCM, "colorSpaceInput": "ARRI LogC4"}, {}, "arri_logc4"),
        ({**RCM, "colorSpaceInput": "ARRI LogC4"}, {"Input Color Space": "S-Gamut3/S-Log3"}, "slog3_sgamut3"),
        ({**SPLIT, "colorSpaceInput": "Rec.709", "colorSpaceInputGamma": "Linear"}, {}, "lin_rec709"),
        (SPLIT, {"Input Color Space": "ACES (AP1)", "Input Gamma": "Linear"}, "ACEScg"),
        (ACES, {"Input Color Space": "ACEScg"}, "ACEScg"),
    ],
)
def test_files_have_the_clips_space(film: Film, settings: dict, clip: dict, space: str) -> None:
    """The clip's own input space goes before the project's; nothing is guessed."""
    found = of(film, colour.of_file, settings, clip)
    assert (found.space, found.guess, found.science) == (space, "", settings["colorScienceMode"])


def test_what_is_assumed_of_files_is_reported(film: Film) -> None:
    """EXR files of a project without colour management are taken as they say; without an ACES transform as ACES."""
    found = of(film, colour.of_file, {}, {})
    assert found.space == ""
    assert "taken as linear light" in found.guess
    found = of(film, colour.of_file, {**ACES, "colorAcesIDT": "No Input Transform"}, {})
    assert found.space == "ACES2065-1"
    assert "no input transform" in found.guess


@pytest.mark.parametrize(
    ("settings", "space"),
    [
        ({**RCM, "colorSpaceOutput": "Rec.709 Gamma 2.4"}, "g24_rec709"),
        ({**RCM, "colorSpaceOutput": "Same as Timeline", "colorSpaceTimeline": "DaVinci WG/Intermediate"},
         "davinci_intermediate_widegamut"),
        ({**SPLIT, "colorSpaceOutput": "Rec.2020", "colorSpaceOutputGamma": "Linear"}, "lin_rec2020"),
        ({**ACES, "colorAcesODT": "No Output Transform"}, "ACES2065-1"),
    ],
)  # fmt: skip
def test_rendered_frames_have_the_output_space(film: Film, settings: dict, space: str) -> None:
    """What Resolve renders is in the project's output space."""
    found = of(film, colour.of_render, settings, {})
    assert (found.space, found.guess) == (space, "")


def test_a_mapped_output_is_reported(film: Film) -> None:
    """With an output DRT the clip's own highlights are mapped in the frames: that is said; of graded ones it is so."""
    settings = {**RCM, "colorSpaceOutput": "Rec.709 Gamma 2.4", "outputDRT": "DaVinci"}
    assert "highlights are mapped" in of(film, colour.of_render, settings, {}).guess
    assert of(film, colour.of_render, settings, {}, source="graded").guess == ""


@pytest.mark.parametrize(
    ("how", "settings", "said"),
    [
        (colour.of_render, {}, "not colour managed"),
        (
            colour.of_render,
            {**RCM, "colorSpaceOutput": "Rec.2020 ST2084 1000 nits"},
            "the server does not know",
        ),
        (colour.of_render, {**RCM, "colorSpaceOutput": "Linear"}, "the colour space Linear"),
        (colour.of_render, {**ACES, "colorAcesODT": "Rec.709"}, "renders images for a display"),
        (colour.of_file, {**RCM, "colorSpaceInput": "REDcolor4/REDlogFilm"}, "the server does not know"),
        (colour.of_file, {**SPLIT, "colorSpaceInputGamma": "Cineon Film Log"}, "Cineon Film Log"),
    ],
)
def test_what_is_not_known_is_refused(film: Film, how: Any, settings: dict, said: str) -> None:
    """Every refusal names the setting and the way out; the user's own word goes before all of it."""
    with pytest.raises(HostError, match=said) as refused:
        of(film, how, settings, {})
    assert refused.value.fix
    assert of(film, how, settings, {}, colour_space="ACEScg").space == "ACEScg"


def test_what_comes_back_says_what_it_is_in(film: Film) -> None:
    """Rendered frames are tagged with the output space where the project manages colour."""
    clip = clip_of(film.host.wrap(film.timeline), film.host.wrap(film.item))
    film.project.settings.update({**SPLIT, "colorSpaceOutput": "Rec.709", "colorSpaceOutputGamma": "Linear"})
    assert colour.tags(film.session(), clip, film.task()) == {
        "Input Color Space": "Rec.709", "Input Gamma": "Linear",
    }  # fmt: skip
    film.project.settings.update({"separateColorSpaceAndGamma": "0", "colorSpaceOutput": "ACEScct"})
    assert colour.tags(film.session(), clip, film.task()) == {"Input Color Space": "ACEScct"}
    film.project.settings["colorScienceMode"] = "davinciYRGB"
    assert colour.tags(film.session(), clip, film.task()) == {}


def test_a_timeline_may_have_settings_of_its_own(film: Film) -> None:
    """Graded frames are rendered on it and follow them; the clip's own pixels are rendered with the project's."""
    film.timeline.settings.update(useCustomSettings="1", colorSpaceOutput="ACEScct")
    settings = {**RCM, "colorSpaceOutput": "Rec.709 Gamma 2.4"}
    assert of(film, colour.of_render, settings, {}, source="graded").space == "ACEScct"
    assert of(film, colour.of_render, settings, {}, source="source").space == "g24_rec709"
    film.timeline.settings["useCustomSettings"] = "0"
    assert of(film, colour.of_render, settings, {}, source="graded").space == "g24_rec709"
