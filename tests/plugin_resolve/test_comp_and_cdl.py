"""The field as a Fusion composition and the overall part as a CDL: computed by stand-ins for Fusion and the grade."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from fakes.resolve_host import custom_tool, pictures, scene
from fakes.resolve_host.lua_table import parse
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import CopyClient, Film, plate
from fakes.running import RunningServer
from harmovid.pixels.apply.fast import apply_stops
from harmovid.pixels.colour.spaces import space_of
from harmovid_resolve import cdl, comp, working
from harmovid_resolve.client import ClientProcess
from harmovid_resolve.clip import select
from harmovid_resolve.contract import Colour
from harmovid_resolve.errors import HostError
from harmovid_resolve.inputs import Inputs

WHOLE = {"way": "track", "colour_space": "ACEScg"}


@pytest.fixture
def client(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClientProcess]:
    """Yield a real client process of that server."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HARMOVID_SERVER", server.endpoint)
    with ClientProcess(sys.executable) as process:
        yield process


def shown(film: Film, record: int) -> np.ndarray:
    """Return what the timeline shows."""
    line = film.timeline
    return pictures.frame_of(film.project, line, line.start_frame + record, (16, 8), film.host.lut_folder)


@pytest.mark.parametrize("space", ["", "ACEScg", "lin_rec709", "g24_rec709", "g22_rec709", "srgb_texture",
                                   "camera_rec709", "ACEScct", "davinci_intermediate_widegamut"])  # fmt: skip
def test_the_expressions_do_what_the_server_does(space: str) -> None:
    """In every space that has formulas the Custom Tool's picture is that of harmovid.pixels, highlights included.

    Colours inside the gamut of the codes within 3e-4; codes that are negative or nearly black, where formulas differ in
    their last printed digits and powers are steep, within 2 % and 0.0003.
    """
    rng = np.random.default_rng(3)
    light = rng.gamma(1.5, 0.4, (12, 20, 3)).astype(np.float32)
    light[0, :3] = ((40.0, 3.0, 0.001), (0.0, 0.0, 0.0), (0.18, 0.18, 0.18))
    stops = rng.uniform(-1.5, 1.5, (12, 20, 3)).astype(np.float32)
    known = space_of(space) if space else space_of("ACEScg")
    codes = light if known.linear else known.from_linear(light)
    strength, luma, chroma = 0.8, 0.6, 1.3
    primaries = known.primaries if space else ()
    inputs = {
        **comp.expressions(space, primaries),
        "NumberIn1": strength,
        "NumberIn2": luma,
        "NumberIn3": chroma,
    }

    made = custom_tool.render({"Image1": codes, "Image2": stops}, inputs)

    common = (stops @ np.array([0.2126, 0.7152, 0.0722], np.float32))[..., None]
    weighed = (strength * (chroma * stops + (luma - chroma) * common)).astype(np.float32)
    wanted = apply_stops(light, weighed)[0]
    wanted_codes = wanted if known.linear else known.from_linear(wanted)
    inside = (wanted_codes > 0.02).all(axis=-1) & (codes > 0.02).all(axis=-1)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(made[inside], wanted_codes[inside], rtol=3e-4, atol=3e-5)
    np.testing.assert_allclose(made, wanted_codes, rtol=2e-2, atol=3e-4)


def test_a_space_without_formulas_is_refused() -> None:
    """No formula, no composition: it is named, with what there is."""
    with pytest.raises(HostError, match="arri_logc4"):
        comp.expressions("arri_logc4")


def test_the_text_is_a_table_with_names_that_fusion_has(tmp_path: Path) -> None:
    """It parses, paths with backslashes and quotes included, and every tool is wired."""
    text = comp.comp_text(comp.Look('C:\\shots\\a "b"\\f.1001.exr', 24, 0.5))
    tools = parse(text).fields["Tools"].fields

    assert list(tools) == ["MediaIn1", "Field", "HarmoVid", "MediaOut1"]
    clip = tools["Field"].fields["Clips"].items[0].fields
    assert (clip["Filename"], clip["Length"], clip["GlobalEnd"]) == ('C:\\shots\\a "b"\\f.1001.exr', 24, 23)
    inputs = tools["HarmoVid"].fields["Inputs"].fields
    assert set(inputs) <= custom_tool.INPUTS
    assert inputs["NumberIn1"].fields["Value"] == 0.5


def test_a_clip_gets_a_composition_that_is_the_result(film: Film, client: ClientProcess) -> None:
    """From the clip to the composition and its picture: the same as the frames that come back, frame by frame."""
    (outcome,) = film.run(client, output="field", strength=0.7, luma=0.5)
    assert outcome.state == "returned", outcome.text
    assert film.host.wrap(film.item).GetFusionCompNameList() == ["HarmoVid v001"]
    live = {n: shown(film, n) for n in range(6)}
    film.item.comps.clear()
    (outcome,) = film.run(client, output="result", way="take", strength=0.7, luma=0.5)
    assert outcome.state == "returned", outcome.text

    changed = 0.0
    for n in range(6):
        np.testing.assert_allclose(live[n], shown(film, n), rtol=3e-4, atol=1e-5)
        changed = max(changed, float(np.abs(live[n] - plate(1003 + n)).max()))
    assert changed > 0.05, "the engine has corrected something"


def test_a_second_version_replaces_the_first_in_view(film: Film, client: ClientProcess) -> None:
    """The newest composition is shown, the older ones stay to be chosen."""
    for _ in range(2):
        assert film.run(client, output="field")[0].state == "returned"

    assert film.host.wrap(film.item).GetFusionCompNameList() == ["HarmoVid v002", "HarmoVid v001"]


@pytest.mark.parametrize(
    ("prepare", "changes", "what"),
    [
        (lambda film: film.host.wrap(film.item).AddFusionComp(), {}, "would be hidden"),
        (lambda film: None, {"source": "graded"}, "applied under the grade"),
        (lambda film: None, {"range": "in_out"}, "is for the whole clip"),
        (lambda film: None, {"colour_space": "arri_logc4"}, "no formula for arri_logc4"),
    ],
)
def test_what_would_be_wrong_is_refused(
    film: Film, client: ClientProcess, prepare: Any, changes: dict[str, Any], what: str
) -> None:
    """A composition of the user's, graded pixels and unknown codes: a sentence, and the project as it was."""
    prepare(film)
    before = snapshot(film.host)
    (outcome,) = film.run(client, output="field", **changes)

    assert outcome.state == "failed"
    assert what in outcome.text
    assert difference(before, snapshot(film.host)) == []


def test_a_clip_gets_a_cdl_in_a_version_of_its_own(film: Film, client: ClientProcess) -> None:
    """On a clip without a grade: a new colour version with a CDL; that a flicker is no CDL is told; files beside."""
    (outcome,) = film.run(client, output="cdl")
    assert outcome.state == "returned", outcome.text
    names = [version.name for version in film.item.versions]
    assert names[-1] == "HarmoVid v001"
    values = film.item.grade.nodes[0].cdl
    assert values is not None
    assert values["Power"] == (1.0, 1.0, 1.0)
    assert any("a CDL holds its mean" in text for text in outcome.warnings)
    folder = Path(outcome.folder)
    assert "<Slope>" in (folder / "overall.cdl").read_text()
    assert "LUT_3D_SIZE" in (folder / "overall.cube").read_text()


@pytest.mark.parametrize(
    ("source", "what"), [("source", "has a grade in its first node"), ("graded", "under the grade")]
)
def test_what_a_cdl_would_spoil_is_refused_before_the_work(film: Film, source: str, what: str) -> None:
    """The colourist's own first node, and graded pixels, stop it before a frame is sent; the clip is as it was."""
    film.item.grade.nodes[0].function = lambda pixels: pixels
    before = snapshot(film.host)
    client = CopyClient()
    (outcome,) = film.run(client, output="cdl", source=source)

    assert client.requests == []
    assert outcome.state == "failed"
    assert what in outcome.text
    assert difference(before, snapshot(film.host)) == []


@pytest.mark.parametrize("how", ["none", "raise"])
def test_failing_calls_leave_the_clip_as_it_was(film: Film, tmp_path: Path, how: str) -> None:
    """Each call of `comp.apply` and `cdl.apply` fails once: the error is told, and the project is as before."""
    from fakes.resolve_host.inject import Injector

    task = film.task(output="field")
    report = {"cdl": {"slope": [1.1] * 3, "offset": [0.0] * 3, "power": [1.0] * 3, "saturation": 1.0}}
    zeros = {n: np.zeros((8, 16, 3), np.float32) for n in range(1003, 1009)}
    fields = scene.write_sequence(tmp_path / "f", zeros, half=False).replace("%04d", "####")
    session = film.session()
    (clip,), _ = select(session, task)

    def go() -> None:
        colour = Inputs(session).plan(clip, task).colour
        comp.apply(clip, fields, (1003, 1008), task, "v001", colour)

    def grade() -> None:
        cdl.apply(clip, report, "v001")

    for action in (go, grade):
        before = snapshot(film.host)
        film.host.injector = Injector()
        action()
        count = len(film.host.injector.names())
        assert count > 3
        film.item.comps.clear()
        film.item.version = 0
        del film.item.versions[1:]
        assert difference(before, snapshot(film.host)) == []
        for call in range(1, count + 1):
            film.host.injector = Injector(fail_at=call, how=how)
            try:
                action()
            except HostError:
                assert difference(before, snapshot(film.host)) == [], film.host.injector.names()[-3:]
            else:
                film.item.comps.clear()
                film.item.version = 0
                del film.item.versions[1:]
        film.host.injector = Injector()


def test_which_space_the_grade_sees() -> None:
    """The files' own without colour management, the timeline's with it, ACES' own; an unknown one is refused."""
    assert working.space_of_grade(Colour("g24_rec709", "davinciYRGB")) == "g24_rec709"
    assert working.space_of_grade(Colour("x", "acescct")) == "ACEScct"
    managed = Colour("x", "davinciYRGBColorManagedv2", "DaVinci WG/Intermediate")
    assert working.space_of_grade(managed) == "davinci_intermediate_widegamut"
    with pytest.raises(HostError, match="the server does not know"):
        working.space_of_grade(Colour("x", "davinciYRGBColorManagedv2", "Something"))


def test_the_matrices_are_those_of_the_pixel_library() -> None:
    """Between all primaries that have formulas, both ways."""
    from harmovid.pixels.colour.primaries import rgb_to_rgb

    known = (working.REC709, working.REC2020, working.P3, working.AP0, working.AP1, working.DAVINCI)
    for source in known:
        for target in known:
            np.testing.assert_allclose(working.matrix(source, target), rgb_to_rgb(source, target), atol=1e-9)
