"""The stand-in for Resolve renders real EXR files, with the source's pixels through the grade."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from fakes.resolve_host import model, pictures, scene
from fakes.resolve_host.host import Host

SIZE = (16, 9)


def frames(first: int = 1001, count: int = 8, seed: int = 0) -> Dict[int, np.ndarray]:
    """Return pictures that a half float holds exactly."""
    rng = np.random.default_rng(seed)
    shape = (SIZE[1], SIZE[0], 3)
    return {
        n: rng.uniform(-0.1, 4, shape).astype(np.float16).astype(np.float32)
        for n in range(first, first + count)
    }


class Rig:
    """A host with one sequence on one timeline, and a folder to render to."""

    def __init__(self, folder: Path, **host: Any) -> None:
        self.host = Host(folder=folder, **host)
        scene.new_project(self.host, size=SIZE)
        self.pixels = frames()
        self.clip = scene.add_sequence(self.host, folder / "in", self.pixels)
        self.timeline = scene.add_timeline(self.host, "Edit", tracks=2)
        self.item = scene.place(self.timeline, self.clip)
        self.out = folder / "out"
        self.out.mkdir()
        self.project = self.host.resolve().GetProjectManager().GetCurrentProject()

    def queue(self, codec: str = "RGBHalfZIP", mode: int = 1, **settings: Any) -> str:
        """Add a job; return its id."""
        given = {"SelectAllFrames": True, "TargetDir": str(self.out), "CustomName": "r", **settings}
        assert self.project.SetCurrentRenderFormatAndCodec("exr", codec)
        assert self.project.SetCurrentRenderMode(mode)
        assert self.project.SetRenderSettings(given)
        return self.project.AddRenderJob()

    def render(self, codec: str = "RGBHalfZIP", mode: int = 1, **settings: Any) -> Dict[str, Any]:
        """Render to the end; return the last status."""
        job = self.queue(codec, mode, **settings)
        assert self.project.StartRendering([job], isInteractiveMode=False)
        for _ in range(100):
            if not self.project.IsRenderingInProgress():
                break
        return self.project.GetRenderJobStatus(job)

    def files(self) -> List[str]:
        """Return the names of the rendered files."""
        return sorted(each.name for each in self.out.iterdir())

    def read(self, name: str) -> np.ndarray:
        """Return the pixels of a rendered file."""
        return pictures.read(str(self.out / name))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return the rig."""
    return Rig(tmp_path)


def test_a_render_holds_the_source_bit_for_bit(rig: Rig) -> None:
    """Files are named by timeline frame, and half floats come through as they were."""
    status = rig.render()
    assert (status["JobStatus"], status["CompletionPercentage"]) == ("Complete", 100)
    assert rig.files() == [f"r{86400 + i:08d}.exr" for i in range(8)]
    for i in range(8):
        assert np.array_equal(rig.read(f"r{86400 + i:08d}.exr"), rig.pixels[1001 + i])


def test_numbers_start_at_clip_start_frame(rig: Rig) -> None:
    """ClipStartFrame numbers the files from 1001 on."""
    rig.render(ClipStartFrame=1001)
    assert rig.files() == [f"r{1001 + i:08d}.exr" for i in range(8)]


def test_marks_are_inclusive_and_moved_into_the_timeline(rig: Rig) -> None:
    """MarkIn and MarkOut are record frames, both rendered; a mark below the timeline is its first frame."""
    rig.render(SelectAllFrames=False, MarkIn=86402, MarkOut=86404)
    assert rig.files() == ["r00086402.exr", "r00086403.exr", "r00086404.exr"]
    assert rig.timeline.marks["video"] == {"in": 2, "out": 4}
    for each in rig.out.iterdir():
        each.unlink()
    rig.render(SelectAllFrames=False, MarkIn=20, MarkOut=20)
    assert rig.files() == ["r00086400.exr"]


def test_tracks_above_hide_what_is_below_unless_they_are_off(rig: Rig) -> None:
    """The top enabled item of the enabled tracks is rendered; what nothing covers is black."""
    top = scene.add_sequence(rig.host, rig.out.parent / "top", frames(1, 4, seed=1), name="top")
    scene.place(rig.timeline, top, track=2, start=86402)
    rig.render()
    assert np.array_equal(rig.read("r00086402.exr"), pictures.read(top.path(1)))
    assert np.array_equal(rig.read("r00086401.exr"), rig.pixels[1002])
    timeline = rig.project.GetCurrentTimeline()
    assert timeline.SetTrackEnable("video", 2, False)
    rig.render()
    assert np.array_equal(rig.read("r00086402.exr"), rig.pixels[1003])
    assert timeline.SetTrackEnable("video", 1, False)
    rig.render()
    assert not rig.read("r00086402.exr").any()


def test_the_grade_is_rendered(rig: Rig) -> None:
    """CDL, hand work and their order; values below zero and above one are not clamped."""
    item = rig.host.wrap(rig.item)
    values = {"NodeIndex": "1", "Slope": "2 1 1", "Offset": "0 0.5 0", "Power": "1 1 1", "Saturation": "1"}
    assert item.SetCDL(values)
    rig.item.grade.nodes.append(model.Node(function=lambda rgb: rgb * 3))
    rig.render("RGBFloatZIP")
    expected = (rig.pixels[1001] * [2, 1, 1] + [0, 0.5, 0]) * 3
    assert np.allclose(rig.read("r00086400.exr"), expected, rtol=1e-5)
    assert not item.SetCDL({**values, "NodeIndex": "3"})
    assert not item.SetCDL({**values, "Slope": 2.0})


@pytest.mark.parametrize(("codec", "kind"), [("RGBHalfZIP", np.float16), ("RGBFloatPIZ", np.float32)])
def test_the_codec_decides_the_type(rig: Rig, codec: str, kind: Any) -> None:
    """Half and float codecs write their own pixel type."""
    import OpenEXR

    rig.render(codec)
    with OpenEXR.File(str(rig.out / "r00086400.exr"), separate_channels=True) as file:
        assert file.channels()["R"].pixels.dtype == kind


def test_descriptions_of_codecs_are_refused(rig: Rig) -> None:
    """GetRenderCodecs is description to id; only the id is taken."""
    codecs = rig.project.GetRenderCodecs("exr")
    assert codecs["RGB half (ZIP)"] == "RGBHalfZIP"
    assert not rig.project.SetCurrentRenderFormatAndCodec("exr", "RGB half (ZIP)")
    assert not rig.project.SetCurrentRenderFormatAndCodec("wav", "")
    assert rig.project.GetRenderCodecs("wav") == {}


def test_individual_clips_with_handles(rig: Rig) -> None:
    """As individual clips each item is numbered as its source, with the frames around it where it has them."""
    rig.item.source_in, rig.item.end = 1003, rig.item.start + 3
    rig.render(mode=0, AddFrameHandles=2)
    assert rig.files() == [f"r{n:08d}.exr" for n in range(1001, 1008)]
    assert np.array_equal(rig.read("r00001001.exr"), rig.pixels[1001])
    assert np.array_equal(rig.read("r00001007.exr"), rig.pixels[1007])


@pytest.mark.parametrize("threaded", [False, True])
def test_stop_leaves_what_is_finished_and_half_a_file(rig: Rig, threaded: bool) -> None:
    """StopRendering: Cancelled, whole frames stay, the one in progress is cut."""
    rig.host.queue.threaded, rig.host.queue.frames_per_poll = threaded, 1
    rig.host.quirks.progress_stops_at = 3
    job = rig.queue()
    assert rig.project.StartRendering([job])
    assert not rig.project.StartRendering([job]), "one render at a time"
    for _ in range(10_000):
        if rig.project.GetRenderJobStatus(job)["CompletionPercentage"] == 37:
            break
    rig.project.StopRendering()
    assert not rig.project.IsRenderingInProgress()
    assert rig.project.GetRenderJobStatus(job)["JobStatus"] == "Cancelled"
    assert len(rig.files()) == 4
    assert np.array_equal(rig.read("r00086402.exr"), rig.pixels[1003])
    with pytest.raises(OSError, match="cannot be read"):
        rig.read("r00086403.exr")


def test_complete_with_missing_and_cut_files(rig: Rig) -> None:
    """The status says Complete, the files do not."""
    rig.host.quirks.render_skips, rig.host.quirks.render_truncates = frozenset({2}), frozenset({5})
    assert rig.render()["JobStatus"] == "Complete"
    assert "r00086402.exr" not in rig.files()
    with pytest.raises(OSError, match="cannot be read"):
        rig.read("r00086405.exr")


def test_a_lost_source_fails_the_job(rig: Rig) -> None:
    """A frame that is not on disk fails the render, and the status says why."""
    Path(rig.clip.path(1004)).unlink()
    status = rig.render()
    assert status["JobStatus"] == "Failed"
    assert "plate.1004.exr" in status["Error"]


def test_a_preset_that_switched_video_off_still_does(rig: Rig) -> None:
    """ExportVideo on top of an audio preset: the job says video, and no picture is written."""
    assert rig.project.LoadRenderPreset("Audio Only")
    status = rig.render(ExportVideo=True)
    assert status["JobStatus"] == "Complete"
    assert rig.project.GetRenderJobList()[0]["IsExportVideo"] is True
    assert rig.files() == []
    assert rig.project.LoadRenderPreset("H.264 Master")
    rig.render(ExportVideo=True)
    assert len(rig.files()) == 8


PRESET = """<?xml version="1.0" encoding="UTF-8"?>
<SyRecordInfo>
 <DisableCcDuringRecording>{ungraded}</DisableCcDuringRecording>
 <DisablePtzDuringRecording>{ungraded}</DisablePtzDuringRecording>
 <RecordDigit>4</RecordDigit>
 <RecordBitDepth>32</RecordBitDepth>
 <RecordAsFloat>true</RecordAsFloat>
 <FormatWidth>32</FormatWidth><FormatHeight>18</FormatHeight>
 <RecordFormatType>exr</RecordFormatType>
 <RecordFormatSubType>ZIP</RecordFormatSubType>
 <UseRecordClipStartFrame>true</UseRecordClipStartFrame>
 <RecordClipStartFrame>1001</RecordClipStartFrame>
 <RecordAudioEnabled>false</RecordAudioEnabled>
</SyRecordInfo>
"""


@pytest.mark.parametrize("ungraded", [0, 1])
def test_a_preset_from_xml(rig: Rig, ungraded: int) -> None:
    """An imported preset is the current one: float, its size, its numbers, with or without the grade."""
    path = rig.out.parent / "ours.xml"
    path.write_text(PRESET.format(ungraded=ungraded), encoding="utf-8")
    rig.item.grade.nodes[0].function = lambda rgb: rgb * 0
    resolve = rig.host.resolve()
    assert not resolve.ImportRenderPreset(str(rig.out / "none.xml"))
    assert resolve.ImportRenderPreset(str(path))
    assert rig.project.GetCurrentRenderFormatAndCodec() == {"format": "exr", "codec": "RGBFloatZIP"}
    assert "ours" in rig.project.GetRenderPresetList()
    assert rig.project.SetRenderSettings({"TargetDir": str(rig.out), "CustomName": "x"})
    assert rig.project.StartRendering([rig.project.AddRenderJob()])
    rig.host.queue.finish()
    picture = rig.read("x1001.exr")
    assert picture.shape == (18, 32, 3)
    assert picture.any() == bool(ungraded)
    copy = rig.out.parent / "copy.xml"
    assert resolve.ExportRenderPreset("ours", str(copy))
    assert resolve.ImportRenderPreset(str(copy))
    assert rig.project.GetCurrentRenderFormatAndCodec()["codec"] == "RGBFloatZIP"


def _refused() -> List[Tuple[str, Dict[str, Any]]]:
    return [
        ("an empty name", {"MarkIn": 86402, "CustomName": ""}),
        ("a key of a later version", {"UseFullExtents": True}),
        ("a key that is published and refused", {"ReplaceExistingFilesInPlace": True}),
        ("an unknown key", {"Handles": 3}),
        ("a folder that is not there", {"TargetDir": "/no/such/folder"}),
        ("a text for a number", {"MarkIn": "86402"}),
    ]


@pytest.mark.parametrize("settings", [each[1] for each in _refused()], ids=[each[0] for each in _refused()])
def test_one_bad_setting_refuses_them_all(tmp_path: Path, settings: Dict[str, Any]) -> None:
    """SetRenderSettings returns False, and none of the settings is taken."""
    rig = Rig(tmp_path, version=(20, 3))
    before = dict(rig.host.project.deliver.settings)
    assert not rig.project.SetRenderSettings(settings)
    assert rig.host.project.deliver.settings == before


def test_settings_that_lie(rig: Rig) -> None:
    """A key in `lying_settings` is taken with True and ignored."""
    rig.host.quirks.lying_settings = frozenset({"ClipStartFrame"})
    rig.render(ClipStartFrame=1001)
    assert rig.files()[0] == "r00086400.exr"


def test_render_calls_switch_to_deliver(rig: Rig) -> None:
    """Reading the render mode opens the Deliver page, reading the format does not."""
    resolve = rig.host.resolve()
    rig.project.GetCurrentRenderFormatAndCodec()
    assert resolve.GetCurrentPage() == "edit"
    rig.project.GetCurrentRenderMode()
    assert resolve.GetCurrentPage() == "deliver"


def test_words_follow_the_language(rig: Rig) -> None:
    """The job's status is a word of the application's language."""
    rig.host.quirks.words = {"Complete": "Concluso"}
    status = rig.render()
    assert (status["JobStatus"], status["CompletionPercentage"]) == ("Concluso", 100)


def test_no_job_without_a_folder_or_frames(rig: Rig) -> None:
    """AddRenderJob returns no id where there is nothing to render, or nowhere to."""
    assert rig.project.AddRenderJob() == ""
    assert rig.project.SetRenderSettings({"TargetDir": str(rig.out)})
    rig.timeline.tracks["video"][0].items.clear()
    assert rig.project.AddRenderJob() == ""


def test_the_frame_under_the_playhead_as_a_still(rig: Rig) -> None:
    """ExportCurrentFrameAsStill writes a display picture; EXR is none of its formats."""
    rig.timeline.playhead += 2
    path = rig.out / "still.png"
    assert rig.project.ExportCurrentFrameAsStill(str(path))
    expected = np.clip(rig.pixels[1003], 0, 1)
    assert np.allclose(pictures.read(str(path)), expected, atol=1e-4)
    assert not rig.project.ExportCurrentFrameAsStill(str(rig.out / "still.exr"))


def test_a_render_that_fails_or_stalls(rig: Rig) -> None:
    """The job fails at a frame, or makes no progress for as long as one looks."""
    rig.host.quirks.render_fails_at = 2
    status = rig.render()
    assert (status["JobStatus"], len(rig.files())) == ("Failed", 2)
    rig.host.quirks.render_fails_at, rig.host.quirks.progress_stops_at = None, 3
    assert rig.render()["CompletionPercentage"] == 37
    assert rig.project.IsRenderingInProgress()
    other = rig.host.wrap(scene.add_timeline(rig.host, "Other", current=False))
    assert not rig.project.SetCurrentTimeline(other), "not while something renders"
    assert not rig.project.GetMediaPool().DeleteTimelines([rig.project.GetCurrentTimeline()])
    rig.project.StopRendering()
    assert rig.project.SetCurrentTimeline(other)


def test_a_take_is_what_is_rendered(rig: Rig) -> None:
    """The selected take's frames come from its own files; past its end the last one is held."""
    new = scene.add_sequence(rig.host, rig.out.parent / "new", frames(1001, 3, seed=2), name="new")
    item = rig.host.wrap(rig.item)
    assert item.AddTake(rig.host.wrap(new))
    rig.render()
    assert np.array_equal(rig.read("r00086401.exr"), rig.pixels[1002])
    assert item.SelectTakeByIndex(2)
    rig.render()
    assert np.array_equal(rig.read("r00086401.exr"), pictures.read(new.path(1002)))
    assert np.array_equal(rig.read("r00086407.exr"), pictures.read(new.path(1003)))


def test_a_retime_shows_every_second_frame(rig: Rig) -> None:
    """At 200 % record frame by record frame two source frames pass."""
    rig.item.speed, rig.item.end = 2.0, rig.item.start + 4
    rig.render()
    for i in range(4):
        assert np.array_equal(rig.read(f"r{86400 + i:08d}.exr"), rig.pixels[1001 + 2 * i])


def test_colour_management_and_sizes(rig: Rig) -> None:
    """The project's colour function is applied after the grade; another size is fitted with black bars."""
    rig.host.project.colour = lambda rgb: rgb * 2
    rig.render("RGBFloatZIP", FormatWidth=32, FormatHeight=36)
    picture = rig.read("r00086400.exr")
    assert picture.shape == (36, 32, 3)
    assert not picture[:9].any()
    assert picture[18].any()
    assert np.isclose(picture.max(), 2 * rig.pixels[1001].max(), rtol=0.2)


def test_alpha_only_where_it_is_asked_for(rig: Rig) -> None:
    """ExportAlpha writes the source's fourth channel."""
    with_alpha = {n: np.concatenate([p, p[..., :1] * 0 + 0.5], axis=-1) for n, p in rig.pixels.items()}
    clip = scene.add_sequence(rig.host, rig.out.parent / "alpha", with_alpha, name="alpha")
    scene.place(rig.timeline, clip, track=2, start=86400)
    rig.render()
    assert rig.read("r00086400.exr").shape[-1] == 3
    rig.render(ExportAlpha=True)
    assert np.array_equal(rig.read("r00086400.exr"), with_alpha[1001])


def test_the_inspectors_transform_is_rendered_unless_the_preset_leaves_it_out(rig: Rig) -> None:
    """Flips are exact; a zoom keeps the middle; with DisablePtzDuringRecording there is neither."""
    item = rig.host.wrap(rig.item)
    assert item.SetProperty("FlipX", True)
    assert item.SetProperty("FlipY", True)
    rig.render()
    assert np.array_equal(rig.read("r00086400.exr"), rig.pixels[1001][::-1, ::-1])
    assert item.SetProperty({"FlipX": False, "FlipY": False, "ZoomX": 2.0, "ZoomY": 2.0, "Pan": 1.0})
    rig.render("RGBFloatZIP")
    zoomed = rig.read("r00086400.exr")
    middle = rig.pixels[1001][4:5, 7:9].mean(axis=(0, 1))
    assert np.allclose(zoomed[4, 8:10].mean(axis=0), middle, atol=1e-3)
    path = rig.out.parent / "plain.xml"
    path.write_text(
        PRESET.format(ungraded=1).replace("32</FormatWidth", "16</FormatWidth").replace("18<", "9<")
    )
    assert rig.host.resolve().ImportRenderPreset(str(path))
    assert rig.project.SetRenderSettings({"TargetDir": str(rig.out), "CustomName": "plain"})
    assert rig.project.StartRendering([rig.project.AddRenderJob()])
    rig.host.queue.finish()
    assert np.array_equal(rig.read("plain1001.exr"), rig.pixels[1001])


def test_opacity_mixes_with_what_is_below(rig: Rig) -> None:
    """Half of the top item, half of the one under it; over nothing it is darker."""
    top = scene.add_sequence(rig.host, rig.out.parent / "top", frames(1, 8, seed=1), name="top")
    above = rig.host.wrap(scene.place(rig.timeline, top, track=2, start=86400))
    assert above.SetProperty("Opacity", 50.0)
    rig.render("RGBFloatZIP")
    below, over = rig.pixels[1001], pictures.read(top.path(1))
    assert np.allclose(rig.read("r00086400.exr"), (below + over) / 2, atol=1e-6)
    assert rig.project.GetCurrentTimeline().SetTrackEnable("video", 1, False)
    rig.render("RGBFloatZIP")
    assert np.allclose(rig.read("r00086400.exr"), over / 2, atol=1e-6)


def test_a_project_that_is_left_while_it_renders(rig: Rig) -> None:
    """The queue renders for ever: no new job starts, and StopRendering does not help."""
    rig.host.queue.frames_per_poll = 1
    job = rig.queue()
    assert rig.project.StartRendering([job])
    manager = rig.host.resolve().GetProjectManager()
    assert manager.SaveProject()
    other = manager.CreateProject("Other")
    assert other.IsRenderingInProgress()
    other.StopRendering()
    assert other.IsRenderingInProgress()


def test_names_of_files(rig: Rig) -> None:
    """The number follows the name, after an underscore where that ends in a digit."""
    rig.render(CustomName="sh010")
    assert rig.files()[0] == "sh010_00086400.exr"
    rig.host.quirks.separator = "."
    rig.render(CustomName="plate")
    assert rig.files()[0] == "plate.00086400.exr"


def test_only_media_storage_can_be_rendered_to(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another folder gives no job, and with `storage_opens_dialog` a dialog that blocks all."""
    other = tmp_path_factory.mktemp("elsewhere")
    assert rig.project.SetRenderSettings({"TargetDir": str(other)})
    assert rig.project.AddRenderJob() == ""
    rig.host.volumes.append(other)
    assert rig.project.AddRenderJob() != ""
    assert str(other) in rig.host.resolve().GetMediaStorage().GetMountedVolumeList()
    rig.host.volumes.pop()
    rig.host.quirks.storage_opens_dialog = True
    assert rig.project.AddRenderJob() == ""
    assert rig.project.StartRendering() is False
    assert rig.host.resolve().GetCurrentPage() is None
    rig.host.dismiss()
    assert rig.host.resolve().GetCurrentPage() == "deliver"


def test_a_render_moves_the_playhead(rig: Rig) -> None:
    """It is on the last frame that was rendered."""
    rig.render(SelectAllFrames=False, MarkIn=86401, MarkOut=86403)
    assert rig.timeline.playhead == 86403


def test_no_still_on_the_deliver_page_and_a_page_that_is_late(rig: Rig) -> None:
    """ExportCurrentFrameAsStill is False there; GetCurrentPage may name the old page for a while."""
    resolve = rig.host.resolve()
    rig.host.quirks.page_lag = 2
    assert resolve.OpenPage("deliver")
    assert [resolve.GetCurrentPage() for _ in range(3)] == ["edit", "edit", "deliver"]
    assert not rig.project.ExportCurrentFrameAsStill(str(rig.out / "a.png"))


def test_the_audio_preset_has_no_format(rig: Rig) -> None:
    """Its format is unknown, and cannot be set again."""
    assert rig.project.LoadRenderPreset("Audio Only")
    assert rig.project.GetCurrentRenderFormatAndCodec() == {"format": "unknown", "codec": ""}
    assert not rig.project.SetCurrentRenderFormatAndCodec("unknown", "")
