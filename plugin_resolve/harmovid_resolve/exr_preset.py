"""The render preset for EXR frames: a preset file can set what the scripting interface cannot.

32-bit float, full range, no sizing of the clip, no subtitles, no audio. The elements are those of presets that Resolve
20 exports. It is not known which of them a version needs, so every rendered frame is checked.
"""

from __future__ import annotations

import os
from typing import Tuple
from xml.sax.saxutils import escape  # writing only: nothing is parsed

__all__ = ["write"]

_TEMPLATE = """<?xml version="1.0" encoding="UTF-8"?>
<SyRecordInfo>
 <ReplaceHoleWithBlank>0</ReplaceHoleWithBlank>
 <DisableCcDuringRecording>0</DisableCcDuringRecording>
 <DisablePtzDuringRecording>1</DisablePtzDuringRecording>
 <RecordAllowDupImg>1</RecordAllowDupImg>
 <RecordDigit>8</RecordDigit>
 <RecordBitDepth>32</RecordBitDepth>
 <RecordAsFloat>true</RecordAsFloat>
 <FormatWidth>{width}</FormatWidth>
 <FormatHeight>{height}</FormatHeight>
 <FormatPixelAspectRatio>1</FormatPixelAspectRatio>
 <RecordPrefix>{prefix}</RecordPrefix>
 <RecordFormatType>exr</RecordFormatType>
 <RecordFormatSubType>ZIP</RecordFormatSubType>
 <RecordInFieldMode>false</RecordInFieldMode>
 <RecordDataLevel>DATA_LEVEL_FULL</RecordDataLevel>
 <RenderAtSourceResolution>false</RenderAtSourceResolution>
 <UseRecordClipStartFrame>true</UseRecordClipStartFrame>
 <RecordClipStartFrame>{first}</RecordClipStartFrame>
 <NumFramesOfHandles>0</NumFramesOfHandles>
 <StereoRender>false</StereoRender>
 <RecordSpeed>0</RecordSpeed>
 <RecordAudioEnabled>false</RecordAudioEnabled>
 <ForceHighestQualitySizing>1</ForceHighestQualitySizing>
 <ForceHighestQualityDebayerRes>1</ForceHighestQualityDebayerRes>
 <RecordMode>RECORD_MODE_NONE</RecordMode>
 <UseRenderCachedImagesForRecording>false</UseRenderCachedImagesForRecording>
</SyRecordInfo>
"""


def write(folder: str, name: str, prefix: str, first: int, size: Tuple[int, int]) -> str:
    """Write a preset file and return its path; Resolve names the preset after the file.

    Args:
        folder: an existing private folder.
        name: the preset's name.
        prefix: beginning of the frames' names.
        first: number of the first frame.
        size: width and height of the frames in pixels.
    """
    path = os.path.join(folder, f"{name}.xml")
    text = _TEMPLATE.format(width=size[0], height=size[1], prefix=escape(prefix), first=first)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
