"""Pixel processing of the client process: luma and chroma of a change, the field as a picture, a CDL, stills.

Needs `harmovid.pixels`; imported only if a run asks for one of these. Pictures are `(H, W, 3)` float32 in the space of
the frames that were sent; everything is computed in scene-linear light and converted back.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import numpy.typing as npt
import OpenImageIO
from harmovid.errors import ColourError, FrameMismatch, OutputError
from harmovid.pixels import exr
from harmovid.pixels.apply.fast import apply_stops
from harmovid.pixels.apply.tiles import field_stops
from harmovid.pixels.colour.spaces import REC709, Space, space_of
from harmovid.pixels.colour.srgb import srgb_encode
from harmovid.pixels.field import LUMA
from harmovid.pixels.field.exr_channels import GRADE_ATTRIBUTE, global_part, read_grade, read_stops
from harmovid.pixels.fitting.grade import Cdl, write_cdl, write_cube
from harmovid.storage.atomic import write_whole

from harmovid_resolve.contract import RunRequest

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

STILL_LINES = 540
"""Stills are reduced by whole factors to about this height."""

LEVELS_STOPS = np.linspace(-7.0, 5.0, 25)
"""Levels of grey and of tints around middle grey to which a CDL is fitted: about the range of a camera."""
TINT_STOPS = 0.75
MIDDLE_GREY = 0.18
CHECKED_PERCENT, SAME_RATIO = 95.0, 0.01
"""So much of a picture has to be as near as that: halves round, and highlights may be cut off."""
NOTICEABLE_STOPS = 0.05
"""As in `harmovid grade`: about the smallest visible change."""


def weighed(stops: Float32, strength: float, luma: float, chroma: float) -> Float32:
    """Return stops `(..., 3)` with their common part (brightness) and the rest (colour) scaled separately."""
    common = (stops @ np.array(LUMA, np.float32))[..., None]
    return np.asarray(strength * (chroma * stops + (luma - chroma) * common), np.float32)


def write_look(
    plate: str, whole: str, out: str, space_name: str, request: RunRequest, foreground: bool
) -> None:
    """Write a result from its plate and its field, with the request's strength, luma and chroma.

    Pixels whose scaled change is 0 are bit-identical to the plate's.

    Args:
        plate: the frame that was sent.
        whole: the server's result of it, with the field.
        out: path of the result, which gets no field.
        space_name: OpenColorIO name of the frame's colour space; empty for linear, as stated in the file.
        request: for the three factors.
        foreground: whether the engine works on a foreground, whose colours are multiplied by its alpha.

    Raises:
        FrameError: a file cannot be read, or the two do not match. OutputError: it cannot be written.
    """
    frame, answer = exr.read(plate), exr.read(whole)
    stops = weighed(read_stops(answer), request.strength, request.luma, request.chroma)
    layer, stored = exr.layer_rgb(frame)
    part = frame.parts[layer.part]
    if stops.shape != stored.shape:
        raise FrameMismatch(f"{plate} is {stored.shape[1::-1]}, its field {stops.shape[1::-1]}.")
    space = space_of(space_name, part.header.chromaticities)
    relit = _relit(stored, stops, space, _alpha(frame, layer) if foreground else None)
    planes = {
        name: np.ascontiguousarray(relit[..., i], part.channels[name].dtype)
        for i, name in enumerate(layer.rgb)
    }
    _save(out, exr.write(exr.with_channels(frame, planes, layer.part)[0]))


def _alpha(frame: exr.ExrFrame, layer: exr.Layer) -> Any:
    return exr.channel_plane(frame, layer.alpha, layer.part) if layer.alpha else None


def _relit(stored: Float32, stops: Float32, space: Space, alpha: Any) -> Float32:
    """Return stored colours multiplied by 2 to the stops in linear light; unchanged where all stops are 0."""
    if space.linear:
        return apply_stops(stored, stops)[0]
    cover = (
        np.ones(stored.shape[:2], np.float32)
        if alpha is None
        else np.where(alpha > 0, alpha, 1).astype(np.float32)
    )
    linear = space.to_linear(np.ascontiguousarray(stored / cover[..., None]))
    changed = space.from_linear(apply_stops(linear, stops)[0]) * cover[..., None]
    return np.where((stops == 0).all(axis=-1, keepdims=True), stored, changed).astype(np.float32)


def write_field(whole: str, out: str, space_name: str) -> None:
    """Write a result's field as a separate picture: R, G, B are stops, float32.

    The file states the primaries of the light that the field changes, which programs need in order to apply it.

    Raises:
        FrameError: there is no field in the file. OutputError: it cannot be written.
    """
    frame = exr.read(whole)
    stops = read_stops(frame)
    header = frame.header
    primaries = space_of(space_name, frame.chromaticities).primaries
    kept = {name: header.attributes[name] for name in (GRADE_ATTRIBUTE,) if name in header.attributes}
    kept["chromaticities"] = exr.Attribute.of("chromaticities", primaries)
    plain = exr.PartHeader.make(header.data_window, header.display_window, "zip", header.pixel_aspect, kept)
    planes = {name: np.ascontiguousarray(stops[..., i]) for i, name in enumerate("RGB")}
    _save(out, exr.write(exr.make_frame(plain, planes)))


def check_space(plate: str, whole: str, space_name: str, foreground: bool) -> None:
    """Raise `ColourError` if the server converts a frame's colours by another configuration than this machine.

    Args:
        plate, whole: a frame that was sent, and the server's result of it at full strength, with the field.
        space_name: OpenColorIO name of their colour space.
        foreground: as in `write_look`.

    Raises:
        ColourError: plate and field do not give the result. FrameError: one of them cannot be read.
    """
    frame, answer = exr.read(plate), exr.read(whole)
    (layer, stored), stops = exr.layer_rgb(frame), read_stops(answer)
    alpha = _alpha(frame, layer) if foreground else None
    made = _relit(stored, stops, space_of(space_name, frame.chromaticities), alpha)
    given = exr.layer_rgb(answer)[1]
    off = np.abs(made - given) / (np.abs(given) + 0.01)
    if float(np.percentile(off, CHECKED_PERCENT)) > SAME_RATIO:
        raise ColourError(
            f"the server reads {space_name or 'these files'} by another colour configuration than this machine.",
            fix="Set OCIO to the same configuration on both, or take strength, luma and chroma at 1.",
        )


def cdl(paths: List[str], sent: str, seen: str, request: RunRequest) -> Tuple[Dict[str, Any], List[str]]:
    """Return one CDL for the overall part of the fields of a shot, and warnings.

    It is fitted to the mean of the frames' corrections, per channel `code * slope + offset`; power and saturation are
    1.
    overall.cdl, and overall.cube of the middle frame, are written beside the results.

    Args:
        paths: results with fields.
        sent: OpenColorIO name of the frames' colour space; empty for linear, as stated in the files.
        seen: that of the pixels to which the CDL will be applied; empty if it is the same.
        request: strength, luma and chroma.

    Raises:
        FrameError: a result carries no field. OutputError: a file cannot be written.
    """
    colours = _colours()
    changes, space = [], space_of(sent)
    for path in paths:
        frame = exr.read(path)
        space = space_of(sent, frame.chromaticities)
        stops = field_stops(colours[:, None], global_part(read_grade(frame)), origin=(0, 0))[:, 0]
        changes.append(weighed(stops, request.strength, request.luma, request.chroma).astype(np.float64))
    codes_of = space_of(seen) if seen else space
    mean = np.mean(changes, axis=0)
    spread = float(np.abs(np.array(changes) - mean).max())
    target = np.asarray(colours * np.exp2(mean), np.float32)
    codes, wanted = (codes_of.from_linear(light[None], space.primaries)[0] for light in (colours, target))
    slope, offset = _lines(codes.astype(np.float64), wanted.astype(np.float64))
    made = codes_of.to_linear((codes * slope + offset).astype(np.float32)[None], space.primaries)[0]
    off = float(np.abs(np.log2(np.maximum(made, 1e-9)) - np.log2(target)).max())
    _write_grades(request.out, paths[len(paths) // 2], space, Cdl(_triple(slope), _triple(offset)))
    warnings = []
    if spread > NOTICEABLE_STOPS:
        warnings.append(
            f"the correction changes by up to {spread:.2f} stops over the shot, a CDL holds its mean: "
            "take the result instead."
        )
    if off > NOTICEABLE_STOPS:
        warnings.append(f"a CDL cannot hold the whole correction: its largest error is {off:.2f} stops.")
    found = {"slope": slope.tolist(), "offset": offset.tolist(), "power": [1.0, 1.0, 1.0], "saturation": 1.0}
    return {**found, "space": seen or sent, "off_stops": off, "spread_stops": spread}, warnings


def _write_grades(out: str, middle: str, space: Space, grade: Cdl) -> None:
    """Write overall.cdl, and overall.cube of one frame, beside the results, for other programs."""
    folder = Path(out).parent
    write_cdl(folder / "overall.cdl", grade, folder.name)
    write_cube(folder / "overall.cube", read_grade(exr.read(middle)), primaries=space.primaries)


def _triple(values: Float64) -> Tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _colours() -> Float32:
    """Return grey and tinted colours `(n, 3)` at levels around middle grey, linear."""
    tints = np.vstack([np.zeros(3), TINT_STOPS * np.eye(3), -TINT_STOPS * np.eye(3)])
    stops = LEVELS_STOPS[:, None, None] + tints[None]
    return np.asarray(MIDDLE_GREY * np.exp2(stops).reshape(-1, 3), np.float32)


def _lines(codes: Float64, wanted: Float64) -> Tuple[Float64, Float64]:
    """Return slope and offset per channel that map `codes` to `wanted` with the least relative error.

    A slope alone or an offset alone is preferred if it is as good, because it is easier to understand.
    """
    slopes, offsets = np.ones(3), np.zeros(3)
    for channel in range(3):
        given, target = codes[:, channel], wanted[:, channel]
        weight = 1 / np.maximum(np.abs(target), 1e-3)
        tries = [(float(np.average(target / np.where(given == 0, 1, given), weights=given**2)), 0.0)]
        tries.append((1.0, float(np.mean(target - given))))
        system = np.stack([given * weight, weight], axis=1)
        line = np.linalg.lstsq(system, target * weight, rcond=None)[0]
        tries.append((float(line[0]), float(line[1])))
        errors = [float((np.abs(a * given + b - target) * weight).max()) for a, b in tries]
        best = min(errors)
        slopes[channel], offsets[channel] = tries[next(i for i, e in enumerate(errors) if e <= best + 1e-4)]
    return slopes, offsets


def stills(paths: Tuple[str, str], frame: int, folder: str, space_name: str) -> Tuple[str, str]:
    """Write a frame before and after as pictures for viewing (PNG, sRGB), and return their paths.

    Args:
        paths: the EXR files before and after.
        frame: its number.
        folder: an existing folder, for before.1001.png and after.1001.png.
        space_name: OpenColorIO name of their colour space; empty for linear, as stated in the files.

    Raises:
        FrameError: one cannot be read. OutputError: one cannot be written.
    """
    made = []
    for name, path in zip(("before", "after"), paths):
        picture = exr.read(path)
        space = space_of(space_name, picture.chromaticities)
        shown = space.to_linear(exr.layer_rgb(picture)[1], REC709)
        factor = max(round(shown.shape[0] / STILL_LINES), 1)
        light = np.clip(np.nan_to_num(shown[::factor, ::factor]), 0, 1)
        codes = np.round(srgb_encode(light) * 255).astype(np.uint8)
        target = os.path.join(folder, f"{name}.{frame}.png")
        image = OpenImageIO.ImageBuf(np.ascontiguousarray(codes))
        if not image.write(target):
            raise OutputError(
                f"{target} cannot be written: {image.geterror().strip()}", fix="Check the folder."
            )
        made.append(target)
    return made[0], made[1]


def _save(path: str, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", fix="Free room on the disk."
        ) from error
