"""What a timeline shows: the items of its tracks, through comp, grade and sizing, over each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

import cv2
import numpy as np
from fakes.resolve_host import model, pictures
from fakes.resolve_host.grading import graded


@dataclass
class Look:
    """What of the project goes into a picture."""

    lut_folder: Path
    size: Tuple[int, int]
    grade: bool = True
    sizing: bool = True
    only: Optional[model.Item] = None
    """This item alone, whatever covers it."""


def frame_of(project: model.Project, timeline: model.Timeline, record: int, look: Look) -> np.ndarray:
    """Return what a timeline shows at a record frame, (height, width, 3 or 4) float32; black where there is nothing.

    Raises:
        OSError: the file of that frame cannot be read.
    """
    items = [look.only] if look.only else timeline.seen_items(record)
    layers = [(item, _layer(timeline, item, record, look)) for item in items if item.shown()[0] is not None]
    if not layers:
        return np.zeros((look.size[1], look.size[0], 3), np.float32)
    pixels = layers[-1][1]
    if len(layers) > 1 or _opacity(layers[0][0]) < 1:
        pixels = _over(layers)
    if look.grade:
        pixels = graded(pixels, timeline.nodes, look.lut_folder)
    rgb = np.asarray(project.colour(pixels[..., :3]), np.float32)
    return np.concatenate([rgb, pixels[..., 3:]], axis=-1)


def item_pixels(timeline: model.Timeline, item: model.Item, record: int) -> np.ndarray:
    """Return the pixels of an item before its grade: its file, through its Fusion comp if it has one.

    Raises:
        OSError: the file of that frame cannot be read.
    """
    clip, _ = item.shown()
    assert clip is not None
    frame = item.source_frame(record)
    if clip.timeline is not None:
        inner = clip.timeline.top_item(frame)
        return item_pixels(clip.timeline, inner, frame) if inner else np.zeros((4, 4, 3), np.float32)
    pixels = pictures.read(clip.path(frame))
    for comp in sorted(item.comps, key=lambda each: not each.live_)[:1]:
        pixels = comp.rendered(pixels, frame, record - item.start)
    return pixels


def _layer(timeline: model.Timeline, item: model.Item, record: int, look: Look) -> np.ndarray:
    pixels = item_pixels(timeline, item, record)
    if look.grade:
        group = item.group
        for grade in ([group.before] if group else []) + [item.grade] + ([group.after] if group else []):
            pixels = graded(pixels, grade, look.lut_folder)
    pixels = pictures.fitted(pixels, look.size)
    return _sized(pixels, item) if look.sizing else pixels


def _sized(pixels: np.ndarray, item: model.Item) -> np.ndarray:
    """Return pixels after the Inspector's transform: flips exactly, the rest between pixels."""
    values = item.properties
    pixels = pixels[:, ::-1] if values.get("FlipX") else pixels
    pixels = pixels[::-1] if values.get("FlipY") else pixels
    zoom = (values.get("ZoomX", 1.0), values.get("ZoomY", 1.0))
    move = (values.get("Pan", 0.0), values.get("Tilt", 0.0))
    turn = values.get("RotationAngle", 0.0)
    if zoom == (1.0, 1.0) and move == (0.0, 0.0) and not turn:
        return pixels
    height, width = pixels.shape[:2]
    sine, cosine = math.sin(math.radians(turn)), math.cos(math.radians(turn))
    turned = np.array([[cosine * zoom[0], sine * zoom[1]], [-sine * zoom[0], cosine * zoom[1]]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([turned, middle - turned @ middle + np.array([move[0], -move[1]])])
    moved = cv2.warpAffine(np.ascontiguousarray(pixels), matrix, (width, height), flags=cv2.INTER_LINEAR)
    return moved.reshape(height, width, -1)


def _opacity(item: model.Item) -> float:
    return float(item.properties.get("Opacity", 100.0)) / 100


def _over(layers: List[Tuple[model.Item, np.ndarray]]) -> np.ndarray:
    """Return layers, the lowest first, over each other by their opacity, over black."""
    below = np.zeros_like(layers[0][1][..., :3])
    for item, pixels in layers:
        part = np.float32(_opacity(item))
        below = pixels[..., :3] * part + below * (1 - part)
    return below
