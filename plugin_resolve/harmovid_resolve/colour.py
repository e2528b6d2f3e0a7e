"""The colour space of the pixels that are sent, from the settings of the project and the clip.

    colour = of_file(session, clip, task)           # files read directly
    colour = of_render(session, clip, task)         # frames that Resolve renders

No setting of the project is changed, because that would change its grades. Names are translated to those of
OpenColorIO's ACES configurations, which the server has. If neither project nor user states the space, the clip is
refused; nothing is guessed silently.
"""

from __future__ import annotations

from typing import Dict, Mapping, Tuple

from harmovid_resolve.calls import table
from harmovid_resolve.clip import Clip, properties
from harmovid_resolve.contract import Colour, Task
from harmovid_resolve.errors import HostError
from harmovid_resolve.session import Session

__all__ = ["COMBINED", "SEPARATE", "of_file", "of_render", "tags"]

UNMANAGED = "davinciYRGB"
MANAGED = ("davinciYRGBColorManaged", "davinciYRGBColorManagedv2")
ACES = ("acescc", "acescct")

INPUT, INPUT_GAMMA = "Input Color Space", "Input Gamma"
_BY_PROJECT = ("", "project", "same as project", "none", "default")
_NO_TRANSFORM = ("", "none", "no input transform", "no output transform")

COMBINED: Dict[str, str] = {
    "aces": "ACES2065-1",
    "acescc": "ACEScc",
    "acescct": "ACEScct",
    "acescg": "ACEScg",
    "apple log": "apple_log",
    "arri logc3": "arri_logc3_ei800",
    "arri logc4": "arri_logc4",
    "blackmagic design film gen 5": "bmdfilm_widegamut_gen5",
    "canon cinema gamut/canon log 2": "canonlog2_cinemagamut_d55",
    "canon cinema gamut/canon log 3": "canonlog3_cinemagamut_d55",
    "davinci wg/intermediate": "davinci_intermediate_widegamut",
    "dji d-gamut/d-log": "dlog_dgamut",
    "panasonic v-gamut/v-log": "vlog_vgamut",
    "rec.709 (scene)": "camera_rec709",
    "rec.709 gamma 2.2": "g22_rec709",
    "rec.709 gamma 2.4": "g24_rec709",
    "redwidegamutrgb/log3g10": "log3g10_redwidegamutrgb",
    "s-gamut3.cine/s-log3": "slog3_sgamut3cine",
    "s-gamut3/s-log3": "slog3_sgamut3",
    "srgb": "srgb_texture",
}
"""Names of Resolve where space and gamma are one setting, in small letters, to names or aliases of OpenColorIO.

`Linear` is not among them: it does not say its primaries.
"""

SEPARATE: Dict[Tuple[str, str], str] = {
    ("aces (ap0)", "linear"): "ACES2065-1",
    ("aces (ap1)", "linear"): "ACEScg",
    ("aces (ap1)", "acescc"): "ACEScc",
    ("aces (ap1)", "acescct"): "ACEScct",
    ("arri wide gamut 3", "arri logc3"): "arri_logc3_ei800",
    ("arri wide gamut 3", "linear"): "lin_arri_wide_gamut_3",
    ("arri wide gamut 4", "arri logc4"): "arri_logc4",
    ("arri wide gamut 4", "linear"): "lin_arri_wide_gamut_4",
    ("blackmagic design wide gamut gen 4/5", "blackmagic design film gen 5"): "bmdfilm_widegamut_gen5",
    ("blackmagic design wide gamut gen 4/5", "linear"): "lin_bmd_widegamut_gen5",
    ("davinci wg", "davinci intermediate"): "davinci_intermediate_widegamut",
    ("davinci wg", "linear"): "lin_davinci_widegamut",
    ("p3-d65", "linear"): "lin_p3d65",
    ("panasonic v-gamut", "linear"): "lin_vgamut",
    ("panasonic v-gamut", "panasonic v-log"): "vlog_vgamut",
    ("rec.2020", "linear"): "lin_rec2020",
    ("rec.709", "gamma 2.2"): "g22_rec709",
    ("rec.709", "gamma 2.4"): "g24_rec709",
    ("rec.709", "linear"): "lin_rec709",
    ("rec.709", "rec.709"): "camera_rec709",
    ("redwidegamutrgb", "linear"): "lin_redwidegamutrgb",
    ("redwidegamutrgb", "red log3g10"): "log3g10_redwidegamutrgb",
    ("sony s-gamut3", "linear"): "lin_sgamut3",
    ("sony s-gamut3", "s-log3"): "slog3_sgamut3",
    ("sony s-gamut3.cine", "linear"): "lin_sgamut3cine",
    ("sony s-gamut3.cine", "s-log3"): "slog3_sgamut3cine",
    ("srgb", "srgb"): "srgb_texture",
}
"""Space and gamma as two settings, in small letters."""

_TELL = "Choose the colour space of the pixels in the panel."


def of_file(session: Session, clip: Clip, task: Task) -> Colour:
    """Return the colour of a clip's own files.

    Raises:
        HostError: the server does not know the clip's input colour space.
    """
    settings, own = session.settings(), properties(clip.media)
    found = _read(settings, own)
    if task.colour_space:
        return _with(found, task.colour_space)
    if found.science in MANAGED and _separate(settings):
        gamma = own.get(INPUT_GAMMA, "")
        gamma = settings.get("colorSpaceInputGamma", "") if _plain(gamma) in _BY_PROJECT else gamma
        return _with(
            found, _known(f"{found.input} / {gamma}", SEPARATE.get((_plain(found.input), _plain(gamma))))
        )
    if found.science in (*MANAGED, *ACES) and _plain(found.input) not in (*_BY_PROJECT, *_NO_TRANSFORM):
        return _with(found, _known(found.input, COMBINED.get(_plain(found.input))))
    if found.science in ACES:
        return _with(
            found, "ACES2065-1", "the files were taken as ACES2065-1: the clip has no input transform"
        )
    return _with(
        found, "", "the files were taken as linear light, with the primaries that they name or Rec.709's"
    )


def of_render(session: Session, clip: Clip, task: Task) -> Colour:
    """Return the colour of frames that Resolve renders of a clip: the project's output space.

    Raises:
        HostError: the server does not know the project's output space, or the project renders images for a display.
    """
    settings = _settings(session, clip, task)
    found = _read(settings, properties(clip.media))
    if task.colour_space:
        return _with(found, task.colour_space)
    if found.science in MANAGED:
        space = _of_output(settings)
        mapped = settings.get("outputDRT", "")
        if task.source == "source" and _plain(mapped) not in _NO_TRANSFORM:
            return _with(
                found, space, f"the output DRT {mapped} is in the rendered frames: highlights are mapped"
            )
        return _with(found, space)
    if found.science in ACES:
        if _plain(found.output) in _NO_TRANSFORM:
            return _with(found, "ACES2065-1")
        raise HostError(
            f"with the ACES output transform {found.output} Resolve renders images for a display.",
            fix="Choose an EXR clip and the source `source`, or set the output transform to None.",
        )
    raise HostError(
        f"the project is not colour managed ({found.science or 'no science'}): nothing says what the pixels are in.",
        fix=_TELL,
    )


def tags(session: Session, clip: Clip, task: Task) -> Dict[str, str]:
    """Return the clip properties that tell Resolve the colour space of results made of rendered frames."""
    settings = _settings(session, clip, task)
    if settings.get("colorScienceMode") not in MANAGED:
        return {}
    space, gamma = _output_of(settings)
    return {INPUT: space, **({INPUT_GAMMA: gamma} if _separate(settings) else {})}


def _settings(session: Session, clip: Clip, task: Task) -> Dict[str, str]:
    """Return the settings that a render uses: for graded frames those of the clip's timeline, if it has its own."""
    found = session.settings()
    if task.source != "graded":
        return found
    own = {str(name): str(value) for name, value in table(clip.timeline, "GetSetting").items()}
    return {**found, **own} if own.get("useCustomSettings") == "1" else found


def _read(settings: Mapping[str, str], clip: Mapping[str, str]) -> Colour:
    science, own = settings.get("colorScienceMode", ""), clip.get(INPUT, "")
    project = "colorAcesIDT" if science in ACES else "colorSpaceInput"
    output = settings.get("colorAcesODT", "") if science in ACES else _output_of(settings)[0]
    return Colour(
        science=science,
        timeline=settings.get("colorSpaceTimeline", ""),
        output=output,
        input=settings.get(project, "") if _plain(own) in _BY_PROJECT else own,
    )


def _output_of(settings: Mapping[str, str]) -> Tuple[str, str]:
    whose = "Timeline" if _plain(settings.get("colorSpaceOutput", "")) == "same as timeline" else "Output"
    return settings.get(f"colorSpace{whose}", ""), settings.get(f"colorSpace{whose}Gamma", "")


def _of_output(settings: Mapping[str, str]) -> str:
    space, gamma = _output_of(settings)
    if _separate(settings):
        return _known(f"{space} / {gamma}", SEPARATE.get((_plain(space), _plain(gamma))))
    return _known(space, COMBINED.get(_plain(space)))


def _separate(settings: Mapping[str, str]) -> bool:
    return settings.get("separateColorSpaceAndGamma") == "1"


def _known(name: str, found: object) -> str:
    if not isinstance(found, str):
        raise HostError(f"the server does not know the colour space {name or 'without a name'}.", fix=_TELL)
    return found


def _with(found: Colour, space: str, guess: str = "") -> Colour:
    return Colour(space, found.science, found.timeline, found.output, found.input, guess)


def _plain(name: str) -> str:
    return name.strip().lower()
