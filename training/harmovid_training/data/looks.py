"""Random relighting of image regions in batches: physically plausible changes, grades, LUTs and lamps.

    relit = apply_looks(pictures, draw_looks(count, generator))

Pictures are `(n, 3, h, w)` scene-linear torch tensors. An eighth of the looks changes nothing, so that the network
learns to leave a matching foreground alone. An amount of 1 is about the error of a careless comp, 2 a wrong lamp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as fn

GREY = 0.18
DARKEST = 2.0**-14
LATTICE = 4
LUMA = (0.2126, 0.7152, 0.0722)
DISPLAY_GAMMA = 2.4
CURVE_LOW, CURVE_HIGH = -9.0, 4.0
NOTHING, MILD, CREATIVE, PLAIN, LAMPS = 0.12, 0.42, 0.2, 0.15, 0.12
"""Shares of looks that change nothing, are mild, are creative grades; and of the others: exposure and balance only, and
with a gradient over the picture."""
KINDS = ("nothing", "mild", "strong", "creative", "render")
"""The kind of look on a clip's foreground; `render` stands for subjects rendered in another light."""
NOTHING_KIND, MILD_KIND, STRONG_KIND, CREATIVE_KIND, RENDER_KIND = range(5)
WHOLE_AMOUNT = 1.3
"""Largest amount of the looks on whole pictures, foreground and plate alike (`draw_whole`). With 0.5 the networks
memorised the colours of scenes."""


@dataclass(frozen=True)
class Looks:
    """One look per picture; every tensor's first dimension is the picture.

    Attributes:
        amount: `(n,)` 0 leaves the picture as it is.
        gain: `(n, 3)` stops. matrix: `(n, 3, 3)` linear. saturation, contrast: `(n,)` factors.
        bumps: `(n, 3, 3, 3)` channel x bump x (centre, width, height), stops. lattice: `(n, 3, k, k, k)` stops.
        display: `(n,)` 1 where the picture is graded in display space (`grade`) instead.
        grade: `(n, 3, 6)` per channel: lift, gain, gamma, S-curve, shadow tint, highlight tint.
        lamp: `(n, 3, 6)` stops as a function of place: 1, x, y, xx, yy, xy per channel.
        kind: `(n,)` uint8, one of `KINDS`.
    """

    amount: Tensor
    gain: Tensor
    matrix: Tensor
    saturation: Tensor
    contrast: Tensor
    bumps: Tensor
    lattice: Tensor
    display: Tensor
    grade: Tensor
    lamp: Tensor
    kind: Tensor


def draw_looks(count: int, rng: torch.Generator) -> Looks:
    """Return `count` random looks: nothing, mild, strong, creative grades; some are exposure and balance only."""
    kind = torch.rand(count, generator=rng)
    amount = torch.rand(count, generator=rng)
    amount = torch.where(
        kind < NOTHING, 0.0, torch.where(kind < NOTHING + MILD, 0.5 + 0.8 * amount, 1.3 + 1.2 * amount)
    )
    plain = (torch.rand(count, generator=rng) < PLAIN).float()
    display = (kind > 1 - CREATIVE).float()
    # A display grade is applied in addition.
    amount = torch.where(display > 0, 0.4 * amount, amount)
    lit = (torch.rand(count, generator=rng) < LAMPS).float()
    named = torch.where(display > 0, CREATIVE_KIND, STRONG_KIND)
    named = torch.where(kind < NOTHING + MILD, MILD_KIND, named)
    named = torch.where(kind < NOTHING, NOTHING_KIND, named)
    return replace(_drawn(amount, plain, display, lit, rng), kind=named.to(torch.uint8))


def draw_whole(count: int, rng: torch.Generator) -> Looks:
    """Return looks for whole pictures: no picture is seen twice in the same light, so none can be memorised."""
    amount = WHOLE_AMOUNT * torch.rand(count, generator=rng)
    none = torch.zeros(count)
    looks = _drawn(amount, none, none, none, rng)
    # Without the lattice, which takes a quarter of the time.
    return replace(looks, lattice=torch.zeros_like(looks.lattice))


def _drawn(amount: Tensor, plain: Tensor, display: Tensor, lit: Tensor, rng: torch.Generator) -> Looks:
    """Return looks of these amounts `(count,)`.

    Args:
        plain, display, lit: `(count,)` 1 for looks of exposure and balance only, for display grades, and for lamps.
    """
    count = len(amount)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=rng)

    a = amount[:, None]
    balance = 0.25 * normal(3)
    warm = 0.3 * normal(1) * torch.tensor([0.75, 0.0, -1.0])
    balance = torch.where((torch.rand(count, 1, generator=rng) < 0.6), balance, warm + 0.08 * normal(3))
    balance = balance - (balance @ torch.tensor(LUMA))[:, None]
    rest = (1 - plain) * amount
    cross = torch.eye(3) + 0.05 * normal(3, 3) * rest[:, None, None]
    bumps = torch.stack([
        -5 + 7 * torch.rand(count, 3, 3, generator=rng), 1 + torch.rand(count, 3, 3, generator=rng),
        0.15 * normal(3, 3) * rest[:, None, None],
    ], -1)  # fmt: skip
    lamp = normal(3, 6) * torch.tensor([0.0, 0.12, 0.12, 0.05, 0.05, 0.05]) + normal(1, 6) * torch.tensor(
        [0.0, 0.5, 0.5, 0.2, 0.2, 0.2]
    )
    return Looks(
        amount=amount,
        gain=0.6 * normal(1) * a + balance * a,
        matrix=cross / cross.sum(2, keepdim=True),
        saturation=torch.exp(0.2 * normal() * rest),
        contrast=torch.exp(0.13 * normal() * rest),
        bumps=bumps,
        lattice=0.12 * normal(3, LATTICE, LATTICE, LATTICE) * rest[:, None, None, None, None],
        display=display,
        grade=_draw_grade(count, rng),
        lamp=lamp * (lit * rest)[:, None, None],
        kind=torch.zeros(count, dtype=torch.uint8),
    )


def _draw_grade(count: int, rng: torch.Generator) -> Tensor:
    """Return creative grades `(count, 3, 6)`; the common part and the differences of channels are drawn separately."""
    shared = torch.randn(count, 1, 6, generator=rng) * torch.tensor([0.06, 0.45, 0.28, 0.8, 0.0, 0.0])
    apart = torch.randn(count, 3, 6, generator=rng) * torch.tensor([0.03, 0.12, 0.1, 0.2, 0.1, 0.1])
    return shared + apart


def apply_looks(pictures: Tensor, looks: Looks) -> Tensor:
    """Return the relit pictures, `(n, 3, h, w)` linear; those with amount 0 come back bit-identical."""
    relit = _in_light(pictures, looks)
    shown = looks.display > 0
    if shown.any():
        relit[shown] = _in_display(relit[shown], looks.grade[shown])
    return torch.where(looks.amount[:, None, None, None] > 0, relit, pictures)


def _in_light(pictures: Tensor, looks: Looks) -> Tensor:
    n, _, h, w = pictures.shape
    x = torch.bmm(looks.matrix, pictures.flatten(2)).reshape(n, 3, h, w)
    luma = (x * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    x = (luma + (x - luma) * looks.saturation[:, None, None, None]).clamp_min(0)
    y = torch.log2(x.clamp_min(DARKEST) / GREY)
    stops = (looks.contrast[:, None, None, None] - 1) * y + looks.gain[:, :, None, None]
    for bump in range(looks.bumps.shape[2]):
        centre, width, height = looks.bumps[:, :, bump, :, None, None].unbind(2)
        stops = stops + height * torch.exp(-0.5 * ((y - centre) / width) ** 2)
    if looks.lattice.any():
        place = ((y - CURVE_LOW) / (CURVE_HIGH - CURVE_LOW) * 2 - 1).permute(0, 2, 3, 1)[:, None]
        stops = (
            stops + fn.grid_sample(looks.lattice, place, padding_mode="border", align_corners=True)[:, :, 0]
        )
    if looks.lamp.any():
        rows = torch.linspace(-1, 1, h)[:, None].expand(h, w)
        columns = torch.linspace(-1, 1, w)[None].expand(h, w)
        terms = torch.stack([torch.ones(h, w), columns, rows, columns**2, rows**2, rows * columns])
        stops = stops + torch.einsum("nck,khw->nchw", looks.lamp, terms)
    return x * torch.exp2(stops.clamp(-6, 6))


def _in_display(pictures: Tensor, grade: Tensor) -> Tensor:
    """Grade in display space, clipping and crushing as creative LUTs do."""
    lift, gain, gamma, bend, low, high = grade[:, :, :, None, None].unbind(2)
    shown = pictures.clamp(0, 1) ** (1 / DISPLAY_GAMMA)
    shown = shown.clamp_min(1e-4) ** torch.exp(gamma)
    shown = shown + bend * shown * (1 - shown) * (2 * shown - 1)
    grey = shown.mean(1, keepdim=True)
    shown = shown * (1 + 0.35 * gain) + lift * (1 - shown) + low * (1 - grey) ** 2 + high * grey**2
    linear: Tensor = shown.clamp(0, 1) ** DISPLAY_GAMMA
    return linear


def undo_tone(pictures: Tensor, rng: torch.Generator, frames: int = 1) -> Tensor:
    """Return photos `(n, 3, h, w)` with a random camera tone curve inverted: none, a shoulder or an S-curve.

    The whole picture also gets a random exposure. Each group of `frames` consecutive pictures gets the same.
    """
    n = pictures.shape[0] // frames
    shoulder = 0.9 * torch.rand(n, 1, 1, 1, generator=rng) * (torch.rand(n, 1, 1, 1, generator=rng) < 0.5)
    power = torch.exp(0.12 * torch.randn(n, 1, 1, 1, generator=rng))
    gain = torch.exp2(0.4 * torch.randn(n, 1, 1, 1, generator=rng))
    shoulder, power, gain = (values.repeat_interleave(frames, 0) for values in (shoulder, power, gain))
    x = pictures.clamp(0, 1)
    opened = x / (1 - shoulder * x**2)
    return GREY * (opened / GREY).clamp_min(1e-5) ** power * gain


def film(pictures: Tensor, rng: torch.Generator, frames: int = 1) -> Tensor:
    """Return linear views `(n, 3, h, w)`, some of them clipped as a display-referred camera would clip them."""
    n = pictures.shape[0] // frames
    gain = torch.exp2(0.5 * torch.randn(n, 1, 1, 1, generator=rng)).repeat_interleave(frames, 0)
    clips = (torch.rand(n, 1, 1, 1, generator=rng) < 0.6).repeat_interleave(frames, 0)
    exposed = pictures * gain
    clipped = torch.where(exposed > 0.6, 0.6 + 0.4 * (1 - torch.exp(-(exposed - 0.6) / 0.4)), exposed)
    return torch.where(clips, clipped, exposed.clamp_max(64.0))


def soften(matte: Tensor, rng: torch.Generator) -> Tensor:
    """Return mattes `(n, 1, h, w)` with the errors of delivered mattes: some soft, some a pixel too large or small."""
    kind = torch.rand(matte.shape[0], generator=rng)
    soft, wide = (kind >= 0.4) & (kind < 0.65), (kind >= 0.65) & (kind < 0.85)
    tight, result = kind >= 0.85, matte.clone()
    result[soft] = fn.avg_pool2d(matte[soft], 3, 1, 1)
    result[wide] = fn.max_pool2d(matte[wide], 3, 1, 1)
    result[tight] = -fn.max_pool2d(-matte[tight], 3, 1, 1)
    return result
