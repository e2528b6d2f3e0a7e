"""Measured misbehaviour of DaVinci Resolve as switches. What the README calls measured is on; what some builds or
some days show is off until a test asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Mapping, Optional


@dataclass
class Quirks:
    """One switch per quirk; the README of this folder names the source of each."""

    # Timelines.
    bare_dict_freezes: bool = True
    """AppendToTimeline with a dict that is not in a list raises `HostFrozen`."""
    exclusive_end: bool = True
    """The endFrame of AppendToTimeline is the first frame that is left out."""
    overlaps_dropped: bool = True
    """An item that would overlap another one on its track is not placed; a dead item is returned for it."""
    overlaps_slide: bool = False
    """An item that would overlap goes to the next free frame instead, and the call reports success."""
    stills_ignore_end: bool = True
    """A clip of one frame is placed with the length that a still has, five seconds, whatever endFrame says."""
    import_refuses_still_dicts: bool = True
    """ImportMedia with a dict returns [] for a single frame; a plain path imports it."""
    remote_versions: bool = False
    """An item that is placed has the grade that its clip has elsewhere: the project makes versions remote."""
    append_errors: bool = False
    """AppendToTimeline returns [] though its items are there; the next save loses them."""
    save_loses_items: bool = False
    """SaveProject loses every item placed since the last save, not only those of an append that erred."""
    delete_needs_edit_page: bool = True
    """Timeline.DeleteClips does nothing and returns False on every page but Edit."""
    delete_fails_once: bool = False
    """The first Timeline.DeleteClips returns False and does nothing; the same call again succeeds."""
    source_start_off: int = 0
    """What GetSourceStartFrame adds to the truth: 1 on some items of a real turnover."""
    source_start_from_zero: bool = False
    """GetSourceStartFrame counts a sequence that starts at 1001 from 0."""
    right_offset_is_source_out: bool = False
    """GetRightOffset is the source frame after the last, not the frames that are left (19.1.3)."""
    empty_name_of_transition: bool = False
    """A transition has no name, as on audio tracks."""
    add_take_selects: bool = False
    """AddTake makes the new take the selected one."""
    take_end_exclusive: bool = False
    """The endFrame of AddTake is the first frame that is left out."""
    takes_of_current_timeline: bool = True
    """Take getters answer 0 and {} for an item of a timeline that is not the current one."""
    playhead_of_current_timeline: bool = True
    """GetCurrentTimecode of another timeline than the current one answers for the current one."""
    track_enable_ignored: bool = False
    """SetTrackEnable returns True and changes nothing."""
    create_timeline_selects: bool = True
    """CreateEmptyTimeline makes the new timeline the current one."""

    # Rendering.
    render_calls_open_deliver: bool = True
    """Render writers, and GetCurrentRenderMode, which only reads, switch to the Deliver page."""
    stale_deliver: bool = True
    """What a preset says and SetRenderSettings does not name stays; video that it switched off stays off."""
    marks_shared: bool = True
    """MarkIn and MarkOut of SetRenderSettings are the in and out marks of the current timeline."""
    render_needs_media_storage: bool = True
    """AddRenderJob returns "" for a TargetDir that is in none of GetMountedVolumeList's folders."""
    storage_opens_dialog: bool = False
    """Such a TargetDir opens a dialog as well, and every later call fails until it is dismissed."""
    render_moves_playhead: bool = True
    """After a render the playhead of its timeline is on the last rendered frame."""
    separator: str = ""
    """Between name and number of a rendered file; where it is "", a name that ends in a digit gets an underscore."""
    refused_settings: FrozenSet[str] = frozenset({"ReplaceExistingFilesInPlace"})
    """Keys that are published and refused, and the whole payload with them."""
    lying_settings: FrozenSet[str] = frozenset()
    """Keys that SetRenderSettings accepts and ignores."""
    lying_project_settings: FrozenSet[str] = frozenset()
    """Keys that Project.SetSetting accepts and ignores."""
    lying_clip_properties: FrozenSet[str] = frozenset({"Reel Name"})
    """Keys that SetClipProperty accepts and ignores."""
    words: Mapping[str, str] = field(default_factory=dict)
    """The application's language: {"Complete": "Concluso"}."""
    render_skips: FrozenSet[int] = frozenset()
    """Places in a render, from 0, whose file is never written though the job is Complete."""
    render_truncates: FrozenSet[int] = frozenset()
    """Places in a render, from 0, whose file is cut in half though the job is Complete."""
    render_fails_at: Optional[int] = None
    """The place in a render at which the job fails."""
    cancel_truncates: bool = True
    """StopRendering leaves half a file of the frame that was being written."""
    progress_stops_at: Optional[int] = None
    """The place in a render at which it makes no more progress, for ever."""

    # Everything else.
    modal_after_studio_call: bool = True
    """On the free edition a Studio call opens a dialog, and every later call fails until it is dismissed."""
    untitled_save_hangs_headless: bool = True
    """SaveProject on a project that was never named raises `HostFrozen` without a user interface."""
    page_lag: int = 0
    """So many GetCurrentPage after OpenPage still name the page before."""
    still_refused_on_deliver: bool = True
    """ExportCurrentFrameAsStill returns False on the Deliver page."""
    still_export_needs_gallery: bool = True
    """ExportStills returns False unless the Gallery panel is open."""
    thumbnail_needs_color_page: bool = True
    """GetCurrentClipThumbnailImage returns None on every page but Color."""
    export_lut_needs_color_page: bool = True
    """ExportLUT returns False on every page but Color."""
    lut_needs_master_folder: bool = True
    """SetLUT finds files in the master LUT folder alone, and only after RefreshLUTList."""
    live_comps_ignored: bool = False
    """A comp that was built by calls is not rendered, only one from ImportFusionComp; both together are not either."""
    loader_channels_ignored: bool = True
    """A Loader reads the first layer of an EXR, whatever channel names a script sets."""
    comp_lock_loses_values: bool = True
    """A value set between Lock and Unlock of a comp reads back but is not rendered, if it is the first one."""

    def word(self, english: str) -> str:
        """Return a word of the application in its language."""
        return self.words.get(english, english)


def italian() -> Dict[str, str]:
    """Return the words that an Italian Resolve was seen to use."""
    return {"Complete": "Concluso", "Ready": "Pronto", "Rendering": "Rendering", "Cancelled": "Annullato"}
