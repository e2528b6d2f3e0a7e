"""EXR frames and files for tests: every pixel type and attribute type, other writers' files, and hostile
ones."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any, Dict, Tuple

import numpy as np
import OpenEXR
import OpenImageIO
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, ExrFrame, PartHeader

LOSSLESS = ("none", "rle", "zips", "zip", "piz", "htj2k256", "htj2k32", "zstd")

ATTRIBUTES: Dict[str, Attribute] = {
    "timeCode": Attribute.of("timecode", (0x01020304, 0xDEADBEEF)),
    "keyCode": Attribute.of("keycode", (1, 2, 3, 4, 5, 6, 7)),
    "framesPerSecond": Attribute.of("rational", (48000, 2002)),
    "noRate": Attribute.of("rational", (1, 0)),
    "chromaticities": Attribute.of(
        "chromaticities", (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    ),
    "adoptedNeutral": Attribute.of("v2f", (0.32168, 0.33767)),
    "worldToCamera": Attribute.of("m44f", tuple(float(i) for i in range(16))),
    "worldToNDC": Attribute.of("m44d", tuple(i / 3 for i in range(16))),
    "small": Attribute.of("m33f", tuple(i / 7 for i in range(9))),
    "smaller": Attribute.of("m33d", tuple(i / 7 for i in range(9))),
    "multiView": Attribute.of("stringvector", ("right", "left")),
    "emptyList": Attribute.of("stringvector", ()),
    "weights": Attribute.of("floatvector", (0.25, 0.5)),
    "originalDataWindow": Attribute.of("box2i", (-5, -6, 70, 80)),
    "roi": Attribute.of("box2f", (0.5, 0.25, 1.5, 2.5)),
    "nuke/node_hash": Attribute.of("string", "9f3c1a0b"),
    "nuke/input/frame_rate": Attribute.of("string", "24"),
    "owner": Attribute("string", "© Müller".encode("latin-1")),
    "empty": Attribute.of("string", ""),
    "isoSpeed": Attribute.of("float", 800.0),
    "exact": Attribute.of("double", 1 / 3),
    "take": Attribute.of("int", -7),
    "offset2": Attribute.of("v2i", (-1, 2)),
    "offset2d": Attribute.of("v2d", (0.1, 0.2)),
    "offset3": Attribute.of("v3i", (1, 2, 3)),
    "offset3f": Attribute.of("v3f", (1.5, 2.5, 3.5)),
    "offset3d": Attribute.of("v3d", (0.1, 0.2, 0.3)),
    "envmap": Attribute.of("envmap", 1),
    "preview": Attribute("preview", struct.pack("<2I", 2, 1) + bytes(range(8))),
    "studioThing": Attribute("studio_type", b"\x00\x01\xfe\xff"),
    "a name that is much longer than thirty-one bytes": Attribute.of("int", 1),
}
"""One of every attribute type, some with values that make other readers fail."""


def pixels(rng: np.random.Generator, dtype: Any, shape: Tuple[int, int]) -> np.ndarray:
    """Any bit pattern of the type: NaN payloads, infinities, denormals and both zeros included."""
    bits = {np.float16: np.uint16, np.float32: np.uint32, np.uint32: np.uint32}[np.dtype(dtype).type]
    return rng.integers(0, 2 ** (8 * np.dtype(bits).itemsize), shape, dtype=bits).view(dtype)


def plate(seed: int = 0, height: int = 24, width: int = 32, compression: str = "zip") -> ExrFrame:
    """An ordinary plate with overscan: RGBA half, depth float, ids uint, all of `ATTRIBUTES`."""
    rng = np.random.default_rng(seed)
    window = (-3, -2, width - 3, height - 2)
    header = PartHeader.make(window, (0, 0, width, height), compression, 2.0, ATTRIBUTES)
    channels = {name: rng.gamma(1.0, 0.4, (height, width)).astype(np.float16) for name in "RGBA"}
    channels["depth.Z"] = rng.gamma(2.0, 100.0, (height, width)).astype(np.float32)
    channels["id"] = rng.integers(0, 2**32, (height, width), dtype=np.uint32)
    return exr.make_frame(header, channels)


def same_pixels(one: ExrFrame, other: ExrFrame) -> bool:
    """Whether all parts hold the same channels, types and bits."""
    return len(one.parts) == len(other.parts) and all(
        list(a.channels) == list(b.channels)
        and all(
            a.channels[n].dtype == b.channels[n].dtype and a.channels[n].tobytes() == b.channels[n].tobytes()
            for n in a.channels
        )
        for a, b in zip(one.parts, other.parts)
    )


def by_module(header: Dict[str, Any], channels: Dict[str, Any]) -> bytes:
    """A one-part file written by the OpenEXR module alone, with its own header."""
    stream = io.BytesIO()
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, **header}, channels).write(stream)
    return stream.getvalue()


def module_attributes() -> Dict[str, Any]:
    """Attributes as the OpenEXR module's own Python values."""
    return {
        "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        "framesPerSecond": Fraction(24000, 1001),
        "owner": "somebody",
        "isoSpeed": 800.0,
        "multiView": ["left", "right"],
        "chromaticities": (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329),
    }


def deep() -> bytes:
    """A valid deep scan line file."""
    samples = np.empty((2, 3), dtype=object)
    for place in np.ndindex(samples.shape):
        samples[place] = np.array([1.0, 2.0], np.float32)
    return by_module({"type": OpenEXR.deepscanline, "compression": OpenEXR.ZIPS_COMPRESSION}, {"Z": samples})


def luminance_chroma() -> bytes:
    """A valid luminance/chroma file: chroma at half size both ways, as OpenEXR's RgbaFile writes it."""
    full = np.ones((4, 8), np.float16)
    return by_module(
        {"type": OpenEXR.scanlineimage},
        {
            "Y": OpenEXR.Channel("Y", full),
            "RY": OpenEXR.Channel("RY", full.copy(), 2, 2),
            "BY": OpenEXR.Channel("BY", full.copy(), 2, 2),
        },
    )


def claim(data_window: Tuple[int, int, int, int], extra: bytes = b"", channels: int = 4) -> bytes:
    """A file of some hundred bytes whose header claims a large picture (inclusive window), with nothing
    behind it."""
    names = sorted(f"c{i:05d}" for i in range(channels))
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iB3x2i", 1, 0, 1, 1) for name in names) + b"\0"
    rows = [
        (b"channels", b"chlist", listed),
        (b"compression", b"compression", b"\x03"),
        (b"dataWindow", b"box2i", struct.pack("<4i", *data_window)),
        (b"displayWindow", b"box2i", struct.pack("<4i", 0, 0, 63, 63)),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", 1.0)),
        (b"screenWindowCenter", b"v2f", struct.pack("<2f", 0.0, 0.0)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1.0)),
    ]
    body = b"".join(n + b"\0" + t + b"\0" + struct.pack("<i", len(d)) + d for n, t, d in rows)
    return b"\x76\x2f\x31\x01\x02\0\0\0" + body + extra + b"\0" + bytes(64)


def oiio_read(path: Any) -> Tuple[Any, Dict[str, np.ndarray]]:
    """Read with OpenImageIO: the specification and each channel as stored (ids and floats by their own
    type)."""
    source = OpenImageIO.ImageInput.open(str(path))
    spec = source.spec()
    found = {}
    for index, name in enumerate(spec.channelnames):
        kind = spec.channelformat(index)
        found[name] = source.read_image(0, 0, index, index + 1, kind)[..., 0]
    source.close()
    return spec, found
