"""Films to EXR frames and back, through ffmpeg: every code value of the film becomes a float and can become one again.

    info = probe("shot010.mov", "shot010.mov")
    frames = decode("shot010.mov", info, FramePattern.parse("in/plate.####.exr"), first=1001)
    encode("flat.mov", info, FramePattern.parse("out/plate.####.exr"), frames, sound="shot010.mov")

The EXRs hold the film's own colours, R, G, B of 0..1 for the film's black..white, in the film's own colour space: what
a job needs to know of it is its OpenColorIO name. Nothing is converted to light here, so nothing is lost: what was
outside black..white in the film is so in the EXRs. `layout` holds the arithmetic, `program` the one way to run ffmpeg.
"""

from __future__ import annotations

from harmovid.pixels.films.decode import decode
from harmovid.pixels.films.encode import FILM_KINDS, encode
from harmovid.pixels.films.probe import FilmInfo, is_film, probe

__all__ = ["FILM_KINDS", "FilmInfo", "decode", "encode", "is_film", "probe"]
