"""Automatic foreground mattes for photos without one: regions whose borders follow the picture.

People are found by compact spots of skin colour and cut out with GrabCut from a body-shaped guess; things are cut out
by GrabCut from a rectangle; other regions are grown from similar colours. These mattes have errors, as delivered mattes
do.
"""

from __future__ import annotations

from typing import Any, List, Tuple, cast

import cv2
import numpy as np
import numpy.typing as npt

Image8 = npt.NDArray[np.uint8]
Matte8 = npt.NDArray[np.uint8]
Box = Tuple[int, int, int, int]

SMALLEST_SHARE, LARGEST_SHARE = 0.01, 0.62
"""Share of the picture that a foreground may cover; the rest must show the light."""
GRABCUT_ROUNDS = 3
COLOUR_CLASSES = 7
SKIN_LOW, SKIN_HIGH = (50, 135, 85), (255, 175, 130)
"""Range of Y, Cr, Cb called skin; after Chai and Ngan, "Face segmentation using skin-color map in videophone
applications" (IEEE TCSVT 1999), with the range of Cr widened for dark skin and warm light."""
HEAD_SHARES = (0.06, 0.45)
"""Width of a face as a share of the picture's height."""


def heads(image: Image8) -> List[Box]:
    """Return `(x, y, w, h)` of compact skin-coloured spots in an RGB picture, largest first; most of them are faces."""
    codes = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2YCrCb)
    skin = cv2.inRange(codes, np.array(SKIN_LOW, np.uint8), np.array(SKIN_HIGH, np.uint8))
    skin = cv2.morphologyEx(skin, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(skin)
    found: List[Box] = []
    for x, y, w, h, area in (tuple(int(v) for v in row) for row in stats[1:count]):
        compact = 0.6 <= h / w <= 2.2 and area > 0.45 * w * h
        if compact and HEAD_SHARES[0] * image.shape[0] <= w <= HEAD_SHARES[1] * image.shape[0]:
            found.append((x, y, w, min(h, int(1.3 * w))))
    return sorted(found, key=lambda box: -box[2])


def person(image: Image8, face: Box) -> Matte8:
    """Return the matte of the person whose face is at `face`: GrabCut from head, shoulders and trunk below it."""
    height, width = image.shape[:2]
    x, y, size, _ = face
    middle = x + size // 2
    guess = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    reach = int(1.7 * size)
    guess[:, : max(0, middle - int(2.6 * size))] = cv2.GC_BGD
    guess[:, min(width, middle + int(2.6 * size)) :] = cv2.GC_BGD
    guess[: max(0, y - int(0.6 * size))] = cv2.GC_BGD
    guess[y + int(1.2 * size) :, max(0, middle - reach) : middle + reach] = cv2.GC_PR_FGD
    guess[y + int(1.7 * size) :, max(0, middle - size // 2) : middle + size // 2] = cv2.GC_FGD
    cv2.ellipse(
        guess, (middle, y + size // 2), (int(0.6 * size), int(0.85 * size)), 0, 0, 360, cv2.GC_PR_FGD, -1
    )
    cv2.ellipse(
        guess, (middle, y + size // 2), (int(0.35 * size), int(0.5 * size)), 0, 0, 360, cv2.GC_FGD, -1
    )
    return _cut(image, guess)


def thing(image: Image8, rng: np.random.Generator, central: bool) -> Matte8:
    """Return the matte of what GrabCut finds in a rectangle: in the middle of the picture, or anywhere."""
    height, width = image.shape[:2]
    low, high = (0.5, 0.85) if central else (0.25, 0.6)
    w, h = int(width * rng.uniform(low, high)), int(height * rng.uniform(low, min(0.95, high + 0.2)))
    if central:
        x, y = (width - w) // 2, (height - h) // 2
    else:
        x, y = int(rng.uniform(0, width - w)), int(rng.uniform(0, height - h))
    guess = np.full((height, width), cv2.GC_BGD, np.uint8)
    guess[y : y + h, x : x + w] = cv2.GC_PR_FGD
    return _cut(image, guess)


def region(image: Image8, rng: np.random.Generator) -> Matte8:
    """Return one connected region of similar colour, or several neighbouring ones."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (5, 5), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / height * 60
    points = np.dstack([lab, rows, columns]).reshape(-1, 5)
    cv2.setRNGSeed(int(rng.integers(1 << 30)))
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 6, 1.0)
    unset: Any = None
    _, labels, _ = cv2.kmeans(points, 2 * COLOUR_CLASSES, unset, stop, 1, cv2.KMEANS_RANDOM_CENTERS)
    labels = labels.reshape(height, width)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    chosen = (labels == labels[y, x]).astype(np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        border = cv2.dilate(chosen, np.ones((5, 5), np.uint8)) - chosen
        if border.any():
            around = labels[border > 0]
            chosen |= (labels == around[int(rng.integers(len(around)))]).astype(np.uint8)
    _, parts = cv2.connectedComponents(cv2.morphologyEx(chosen, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
    return np.asarray((parts == parts[y, x]) & (parts > 0), np.uint8) * np.uint8(255)


def usable(matte: Matte8) -> bool:
    """Whether a matte covers neither too little nor too much."""
    return SMALLEST_SHARE <= float((matte > 127).mean()) <= LARGEST_SHARE


def _cut(image: Image8, guess: Matte8) -> Matte8:
    """Return the largest connected foreground that GrabCut makes of `guess`, 0 or 255; empty if it finds none."""
    empty = np.zeros(guess.shape, np.uint8)
    if not ((guess == cv2.GC_PR_FGD) | (guess == cv2.GC_FGD)).any() or not (guess % 2 == 0).any():
        return empty
    # At two thirds of the size: full size takes twice the time for a border that is more exact by a pixel.
    size = (image.shape[1] * 2 // 3, image.shape[0] * 2 // 3)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    labels = np.asarray(cv2.resize(guess, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    unset = cast(Any, None)
    cv2.grabCut(
        small, labels, unset, np.zeros((1, 65)), np.zeros((1, 65)), GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK
    )
    inside = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside)
    if count < 2:
        return empty
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    found = (parts == largest).astype(np.float32)
    whole = cv2.resize(found, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole > 0.5, np.uint8) * np.uint8(255)
