"""Video files to EXR frames and back, through ffmpeg. Code values become floats and can be converted back.

    info = probe("shot010.mov", "shot010.mov")
    frames = decode("shot010.mov", info, FramePattern.parse("in/plate.####.exr"), first=1001)
    encode("flat.mov", info, FramePattern.parse("out/plate.####.exr"), frames, sound="shot010.mov")

A "film" is a video file. The EXRs hold its code values as R, G, B, 0..1 for black..white, in its own colour space,
whose OpenColorIO name a job has to give. Nothing is converted to light here, so nothing is lost; values outside
black..white stay outside. `layout` has the arithmetic, `program` runs ffmpeg.
"""

from __future__ import annotations

from harmovid.pixels.films.decode import decode
from harmovid.pixels.films.encode import FILM_KINDS, encode, layout_of
from harmovid.pixels.films.probe import FilmInfo, is_film, probe

__all__ = ["FILM_KINDS", "FilmInfo", "decode", "encode", "is_film", "layout_of", "probe"]
