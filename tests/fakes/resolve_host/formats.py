"""Render formats, codecs and settings, and render presets as XML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple
from xml.etree import ElementTree

from fakes.resolve_host.model import Deliver

FORMATS = {"DPX": "dpx", "EXR": "exr", "MP4": "mp4", "QuickTime": "mov", "TIFF": "tif", "Wave": "wav"}
CODECS: Dict[str, Dict[str, str]] = {
    "dpx": {"RGB 10 bits": "RGB10", "RGB 16 bits": "RGB16"},
    "exr": {
        "RGB float": "RGBFloat",
        "RGB float (DWAA)": "RGBFloatDWAA",
        "RGB float (PIZ)": "RGBFloatPIZ",
        "RGB float (ZIP)": "RGBFloatZIP",
        "RGB half": "RGBHalf",
        "RGB half (DWAA)": "RGBHalfDWAA",
        "RGB half (PIZ)": "RGBHalfPIZ",
        "RGB half (ZIP)": "RGBHalfZIP",
    },
    "mp4": {"H.264": "H264", "H.265": "H265"},
    "mov": {"Apple ProRes 422 HQ": "ProRes422HQ", "H.264": "H264"},
    "tif": {"RGB 16 bits": "RGB16"},
    "wav": {},
}
"""Description to id; a format may offer none. Only exr is rendered."""

STOCK: Dict[str, Callable[[], Deliver]] = {
    "H.264 Master": lambda: Deliver("mov", "H264", 1, {}, "H.264 Master", partial=True),
    "ProRes 422 HQ": lambda: Deliver("mov", "ProRes422HQ", 1, {}, "ProRes 422 HQ", partial=True),
    "Audio Only": lambda: Deliver(
        "unknown", "", 1, {"ExportVideo": False}, "Audio Only", video_off=True, partial=True
    ),
}

_yes_or_no = (bool, int)
SETTINGS: Dict[str, Tuple[Any, Tuple[int, ...]]] = {
    "SelectAllFrames": (_yes_or_no, (0,)), "MarkIn": (int, (0,)), "MarkOut": (int, (0,)), "TargetDir": (str, (0,)),
    "CustomName": (str, (0,)), "UniqueFilenameStyle": (int, (0,)), "ExportVideo": (_yes_or_no, (0,)),
    "ExportAudio": (_yes_or_no, (0,)), "FormatWidth": (int, (0,)), "FormatHeight": (int, (0,)),
    "FrameRate": ((int, float), (0,)), "PixelAspectRatio": (str, (0,)), "VideoQuality": ((int, str), (0,)),
    "AudioCodec": (str, (0,)), "AudioBitDepth": (int, (0,)), "AudioSampleRate": (int, (0,)),
    "ColorSpaceTag": (str, (0,)), "GammaTag": (str, (0,)), "ExportAlpha": (_yes_or_no, (0,)),
    "EncodingProfile": (str, (0,)), "MultiPassEncode": (_yes_or_no, (0,)), "AlphaMode": (int, (0,)),
    "NetworkOptimization": (_yes_or_no, (0,)), "ClipStartFrame": (int, (19, 1)),
    "TimelineStartTimecode": (str, (19, 1)), "ReplaceExistingFilesInPlace": (_yes_or_no, (19, 1)),
    "ExportSubtitle": (_yes_or_no, (20, 2)), "SubtitleFormat": (str, (20, 2)),
    "UseFullExtents": (_yes_or_no, (21, 0, 4)), "AddFrameHandles": (int, (21, 0, 4)), "DataBurnIn": (str, (21, 0, 4)),
}  # fmt: skip
"""Keys of SetRenderSettings: type, and the first version whose text names it."""


def known_setting(key: str, version: Tuple[int, ...]) -> bool:
    """Return whether the text of a version names a key of SetRenderSettings."""
    return key in SETTINGS and version >= SETTINGS[key][1]


def exr_storage(deliver: Deliver) -> Tuple[bool, str]:
    """Return whether the codec stores half floats, and its compression."""
    for kind in ("RGBHalf", "RGBFloat"):
        if deliver.codec.startswith(kind):
            return kind == "RGBHalf", deliver.codec[len(kind) :] or "NONE"
    raise OSError(f"{deliver.format} {deliver.codec} is not rendered by the stand-in")


def read_preset(path: Path) -> Optional[Deliver]:
    """Return the Deliver state of a preset's XML, or None where it is none."""
    try:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314
    except (OSError, ElementTree.ParseError, UnicodeDecodeError):
        return None
    if root.tag != "SyRecordInfo" or root.findtext("RecordFormatType") is None:
        return None
    return _deliver(root, path.stem)


def _deliver(root: ElementTree.Element, name: str) -> Deliver:
    def text(tag: str, default: str = "") -> str:
        return root.findtext(tag) or default

    def yes(tag: str) -> bool:
        return text(tag).lower() in ("true", "1")

    deep = text("RecordBitDepth", "16") == "32" and yes("RecordAsFloat")
    kind = text("RecordFormatType")
    sub = text("RecordFormatSubType")
    codec = (
        ("RGBFloat" if deep else "RGBHalf") + ("" if sub in ("", "NONE") else sub) if kind == "exr" else sub
    )
    settings: Dict[str, Any] = {
        "ExportAudio": yes("RecordAudioEnabled"),
        "FormatWidth": int(text("FormatWidth", "1920")),
        "FormatHeight": int(text("FormatHeight", "1080")),
    }
    for tag, key in (("RecordTargetDir", "TargetDir"), ("RecordPrefix", "CustomName")):
        if text(tag):
            settings[key] = text(tag)
    if yes("UseRecordClipStartFrame"):
        settings["ClipStartFrame"] = int(text("RecordClipStartFrame", "1"))
    if int(text("NumFramesOfHandles", "0")):
        settings["AddFrameHandles"] = int(text("NumFramesOfHandles"))
    if root.find("IsRecordAlphaEnabled") is not None:
        settings["ExportAlpha"] = yes("IsRecordAlphaEnabled")
    mode = 0 if text("RecordMode") == "RECORD_MODE_SOURCE" else 1
    deliver = Deliver(kind, codec, mode, settings, name)
    deliver.source_size = yes("RenderAtSourceResolution")
    deliver.grade_off = yes("DisableCcDuringRecording")
    deliver.sizing_off = yes("DisablePtzDuringRecording")
    deliver.digits = int(text("RecordDigit", "8"))
    deliver.partial = True
    return deliver


def write_preset(path: Path, deliver: Deliver) -> None:
    """Write a Deliver state as a preset's XML, with the fields that `read_preset` knows."""
    half = deliver.codec.startswith("RGBHalf")
    fields = {
        "RecordFormatType": deliver.format,
        "RecordFormatSubType": deliver.codec.replace("RGBHalf", "").replace("RGBFloat", ""),
        "RecordBitDepth": "16" if half else "32",
        "RecordAsFloat": "false" if half else "true",
        "FormatWidth": str(deliver.settings.get("FormatWidth", 1920)),
        "FormatHeight": str(deliver.settings.get("FormatHeight", 1080)),
        "RecordDigit": str(deliver.digits),
        "RenderAtSourceResolution": str(deliver.source_size).lower(),
        "DisableCcDuringRecording": str(int(deliver.grade_off)),
        "DisablePtzDuringRecording": str(int(deliver.sizing_off)),
        "UseRecordClipStartFrame": str("ClipStartFrame" in deliver.settings).lower(),
        "RecordClipStartFrame": str(deliver.settings.get("ClipStartFrame", 1)),
        "NumFramesOfHandles": str(deliver.settings.get("AddFrameHandles", 0)),
        "RecordAudioEnabled": str(deliver.settings.get("ExportAudio", False)).lower(),
    }
    root = ElementTree.Element("SyRecordInfo")
    for name, text in fields.items():
        ElementTree.SubElement(root, name).text = text
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
