"""One clip through every method: dB gained over the unchanged composite, and further measures of our engine."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from harmovid.pixels.field import LightingField
from harmovid_evaluate.boundary import seam
from harmovid_evaluate.clips import Clip
from harmovid_evaluate.harmonize_looks import LOOKS
from harmovid_evaluate.harmonize_methods import CLASSICAL, ORACLES
from harmovid_training.metrics.degrade import Array, to_stops
from harmovid_training.metrics.quality import psnr, stops_rmse, view
from harmovid_training.metrics.structure import Motion, ssim

from .harmonize_engine import Layers, applied, engine_fields, steps

STATISTICS = "harmonize-statistics"
OURS, GLOBAL, PER_FRAME = "ours", "ours, global only", "ours, per frame"
VARIANTS = ("cautious", "bold")
"""Variants in addition to the default."""
NOTHING_MORE: Mapping[str, Layers] = MappingProxyType({})
ORACLE_GAIN = "oracle gain"
DARKEST_STOPS = -8.0
"""Temporal error in stops counts light from here up, from middle grey: below is noise."""


@dataclass
class Row:
    """One clip under one look: dB gained by every method, and further measures of our engine."""

    clip: str
    look: str
    source_db: float
    gains: Dict[str, float] = field(default_factory=dict)
    facts: Dict[str, float] = field(default_factory=dict)
    shown: Tuple[Array, ...] = ()


@dataclass(frozen=True)
class Contest:
    """The loaded engines by name, the name of ours, and whether to take slow measures and to leave out other
    methods."""

    engines: Dict[str, Any]
    ours: str
    full: bool
    alone: bool = False

    def uniform(self, clip: Clip, look: str, seed: int, motion: Optional[Motion]) -> Row:
        """Give the clip's foreground a look and remove it by every method."""
        truth, mask = clip.frames, masks_of(clip)
        changed = LOOKS[look](
            truth, np.random.default_rng([seed, sorted(LOOKS).index(look), zlib.crc32(clip.name.encode())])
        )
        composite = np.where(mask[..., None] > 0, truth + (changed - truth) * mask[..., None], truth)
        return self.compare(clip, look, composite.astype(np.float32), motion)

    def compare(
        self,
        clip: Clip,
        look: str,
        composite: Array,
        motion: Optional[Motion],
        more: Mapping[str, Layers] = NOTHING_MORE,
    ) -> Row:
        """Correct a composite towards `clip.frames` by every method; `more` are further layers for our engine, each set
        by the name of its row."""
        truth, mask = clip.frames, masks_of(clip)
        row = Row(clip.name, look, psnr(composite, truth, mask))

        def judge(method: str, result: Array) -> Array:
            row.gains[method] = psnr(result, truth, mask) - row.source_db
            return result

        ours = self.engines[self.ours]
        started = time.process_time()
        fields = engine_fields(ours, composite, mask)
        row.facts["ms_per_frame"] = 1000 * (time.process_time() - started) / len(truth)
        result = judge(OURS, applied(composite, mask, fields))
        for variant in self._variants:
            other = engine_fields(ours, composite, mask, variant=variant)
            judge(f"ours, {variant}", applied(composite, mask, other))
        for name, layers in more.items():
            if set(layers) <= {layer.name for layer in ours.info.layers}:
                judge(name, applied(composite, mask, engine_fields(ours, composite, mask, layers=layers)))
        judge(GLOBAL, applied(composite, mask, fields, global_only=True))
        oracle = judge(ORACLE_GAIN, ORACLES[ORACLE_GAIN](composite, mask, truth))
        row.shown = tuple(one[len(one) // 2 :][:1] for one in (composite, oracle, result, truth))
        if self.alone:
            return row
        for method, run in CLASSICAL.items():
            judge(method, run(composite, mask))
        for method in set(ORACLES) - {ORACLE_GAIN}:
            judge(method, ORACLES[method](composite, mask, truth))
        statistics = engine_fields(self.engines[STATISTICS], composite, mask)
        judge(STATISTICS, applied(composite, mask, statistics))
        alone = engine_fields(ours, composite, mask, per_frame=True)
        by_frame = judge(PER_FRAME, applied(composite, mask, alone))
        row.facts.update(_steadiness(composite, mask, fields, alone))
        row.facts.update(
            stops_rmse=stops_rmse(result, truth, mask), source_stops_rmse=stops_rmse(composite, truth, mask),
            ssim=ssim(view(result), view(truth), mask), source_ssim=ssim(view(composite), view(truth), mask),
        )  # fmt: skip
        if motion is not None:
            row.facts.update(_moving(composite, result, by_frame, mask, motion))
        if self.full:
            row.facts.update(_borders(composite, result, truth, mask))
        return row

    @property
    def _variants(self) -> Tuple[str, ...]:
        """The confidence variants of our engine; engines other than the default may have none."""
        known = {option.name: option.choices for option in self.engines[self.ours].info.options}
        return tuple(one for one in VARIANTS if one in known.get("variant", ()))

    def untouched(self, clip: Clip) -> Dict[str, Any]:
        """Return how our engine changes a composite that is right: RMS stops over the foreground, and its PSNR."""
        mask = masks_of(clip)
        fields = engine_fields(self.engines[self.ours], clip.frames, mask)
        size, _ = steps(clip.frames, mask, fields)
        result = applied(clip.frames, mask, fields)
        return {"clip": clip.name, "stops": round(size, 3), "psnr": round(psnr(result, clip.frames, mask), 2)}


def masks_of(clip: Clip) -> Array:
    """Return a clip's masks; harmonizing needs them."""
    if clip.masks is None:
        raise SystemExit(f"{clip.name} has no masks; harmonizing needs them.")
    return clip.masks


def _steadiness(
    composite: Array, mask: Array, fields: List[LightingField], alone: List[LightingField]
) -> Dict[str, float]:
    size, change = steps(composite, mask, fields)
    return {"field_stops": size, "field_change": change, "change_per_frame": steps(composite, mask, alone)[1]}


def _moving(
    composite: Array, result: Array, by_frame: Array, mask: Array, motion: Motion
) -> Dict[str, float]:
    """Return flow-warped errors in stops, which do not depend on a steady gain: source, ours, frame by frame."""
    return {
        name: motion.warped_error(np.maximum(to_stops(clip), DARKEST_STOPS).astype(np.float32), mask)
        for name, clip in (
            ("source_warped_stops", composite), ("warped_stops", result), ("warped_stops_per_frame", by_frame),
        )
    }  # fmt: skip


def _borders(composite: Array, result: Array, truth: Array, mask: Array) -> Dict[str, float]:
    """Return the whole frame's PSNR and the sharpness of the seam."""
    laplacian, tenengrad = seam(result, mask)
    source_laplacian, source_tenengrad = seam(composite, mask)
    return {
        "frame_psnr": psnr(result, truth), "source_frame_psnr": psnr(composite, truth),
        "seam_laplacian": laplacian, "source_seam_laplacian": source_laplacian,
        "seam_tenengrad": tenengrad, "source_seam_tenengrad": source_tenengrad,
    }  # fmt: skip
