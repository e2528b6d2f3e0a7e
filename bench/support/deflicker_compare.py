"""One synthetic flicker on one clip, through every method: the best setting of each, compared with the truth."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from harmovid_evaluate.clips import Clip
from harmovid_evaluate.methods import Method, Run
from harmovid_server.engines.deflicker.colour_terms import terms
from harmovid_training.metrics.degrade import Degradation, to_stops
from harmovid_training.metrics.quality import Judge, laplacian_energy, view
from harmovid_training.metrics.structure import Motion, ssim
from harmovid_training.metrics.traces import local_roughness_stops, roughness_stops

Array = npt.NDArray[np.float32]

OURS = "HarmoVid"
FFMPEG_PREFIX = "ffmpeg"
PEER_PREFIX = "peer"
ORACLE = "oracle"
"""The best transform of each frame, in the family that engine and reference methods use, fitted to the truth."""
CHOOSING_STRIDE = 3
"""The best setting is chosen on every third row and column; its result is then measured on whole pictures."""


@dataclass
class Row:
    """One clip, one test: the numbers of every method, by its name.

    Attributes:
        said: the engine's report of the middle frame.
        ms: wall time per frame of the engine at this size, applying included.
    """

    clip: str
    test: str
    seed: int = 1
    scores: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    ms: float = 0.0

    def margin_over(self, prefix: str) -> Optional[float]:
        """By how many dB of `psnr_g` the engine is better than the best method with this prefix; None without one."""
        found = [each["psnr_g"] for name, each in self.scores.items() if name.startswith(prefix)]
        return float(self.scores[OURS]["psnr_g"] - max(found)) if found else None

    @property
    def margin(self) -> Optional[float]:
        """By how many dB the engine is better than the better of ffmpeg's filters."""
        return self.margin_over(FFMPEG_PREFIX)

    @property
    def margin_over_peers(self) -> Optional[float]:
        """By how many dB the engine is better than the best reference method."""
        return self.margin_over(PEER_PREFIX)

    def to_dict(self) -> Dict[str, Any]:
        """Return the row as a part of the JSON line."""
        scores = {name: _rounded(each) for name, each in self.scores.items()}
        ffmpeg, peers = (
            None if each is None else round(each, 3) for each in (self.margin, self.margin_over_peers)
        )
        return {"clip": self.clip, "test": self.test, "seed": self.seed, "margin_db": ffmpeg,
                "margin_over_peers_db": peers, "scores": scores, "ms": round(self.ms, 1),
                "said": dict(self.said)}  # fmt: skip


def thinned(clip: Array) -> Array:
    """Return every `CHOOSING_STRIDE`-th row and column of a clip `(T, H, W, ...)`."""
    return np.ascontiguousarray(clip[:, ::CHOOSING_STRIDE, ::CHOOSING_STRIDE])


class Truth:
    """A clean clip, with values that are computed once for all its tests.

    Args:
        clip: the truth.
        workers: number of settings that are tried in parallel.
        brief: measure PSNR only.
    """

    def __init__(self, clip: Clip, workers: int = 1, brief: bool = False) -> None:
        self.clip = clip
        self._workers = workers
        self._shown = view(clip.frames)
        self._motion = None if brief else Motion(self._shown)

    def compare(
        self,
        test: Degradation,
        seed: int,
        methods: Sequence[Method],
        ours: Run,
        reports: List[Mapping[str, Any]],
    ) -> Row:
        """Degrade the clip, run every method, and return their numbers.

        Args:
            test: in foreground tests methods get the clip's mask, and results are measured inside it.
            seed: of the degradation.
            methods: to compare with.
            ours: the engine; it leaves its reports in `reports`.
        """
        frames, mask = self.clip.frames, self.clip.masks if test.foreground else None
        flickering = test.apply(frames, self.clip.masks, seed)
        judge = Judge(frames, mask)
        energy = laplacian_energy(view(flickering))
        row = Row(self.clip.name, test.name, seed)
        for method in methods:
            label, result = self._best(method, flickering, mask)
            row.scores[method.name] = {**self._numbers(judge, result, mask, energy), "setting": label}
        best = oracle(flickering, frames, mask)
        row.scores[ORACLE] = self._numbers(judge, best, mask, energy)
        start = time.perf_counter()
        result = ours(flickering, mask)
        row.ms = (time.perf_counter() - start) * 1e3 / len(frames)
        row.scores[OURS] = self._numbers(judge, result, mask, energy)
        row.said = reports[len(reports) // 2]
        return row

    def _best(self, method: Method, frames: Array, mask: Optional[Array]) -> Tuple[str, Array]:
        """Return the setting whose result is nearest to the truth, and the result; several are tried in parallel."""
        if len(method.settings) == 1:
            return method.settings[0].label, method.settings[0].run(frames, mask)
        small, thin = thinned(frames), None if mask is None else thinned(mask)
        judge = Judge(thinned(self.clip.frames), thin)
        with ThreadPoolExecutor(self._workers) as pool:
            scores = list(pool.map(lambda each: judge.psnr_g(each.run(small, thin)), method.settings))
        best = method.settings[int(np.argmax(scores))]
        return best.label, best.run(frames, mask)

    def _numbers(self, judge: Judge, result: Array, mask: Optional[Array], energy: float) -> Dict[str, Any]:
        """Return every measure of a result; `energy` is the flickering clip's, to compute the share of detail kept."""
        if self._motion is None:
            return judge.scores(result)
        shown = view(result)
        return {
            **judge.scores(result, shown),
            "ssim": ssim(shown, self._shown, mask),
            "warped": self._motion.warped_error(shown, mask),
            "rough": roughness_stops(result, mask),
            "rough_local": local_roughness_stops(result, mask),
            "detail": laplacian_energy(shown) / energy,
        }


def oracle(frames: Array, truth: Array, mask: Optional[Array]) -> Array:
    """Return the frames after the one quadratic in log2 light per frame that is nearest to the truth."""
    out = frames.copy()
    for index, (frame, wanted) in enumerate(zip(frames, truth)):
        inside = np.ones(frame.shape[:2], bool) if mask is None else mask[index] > 0
        if inside.any():
            logs = to_stops(frame[inside])
            design, seen = terms(logs.astype(np.float64)), view(wanted[inside]).mean(axis=-1, keepdims=True)
            coeffs = np.linalg.lstsq(design * seen, (to_stops(wanted[inside]) - logs) * seen, rcond=1e-6)[0]
            stops = np.clip(design @ coeffs, -8, 8) * (1.0 if mask is None else mask[index][inside][:, None])
            out[index][inside] *= np.exp2(stops).astype(np.float32)
    return out


def _rounded(numbers: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: round(each, 5) if isinstance(each, float) else each for name, each in numbers.items()}
