"""One synthetic flicker on one clip, through every method: the best setting of each, compared with the truth."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import numpy.typing as npt
from harmovid_evaluate.clips import Clip
from harmovid_evaluate.methods import Method, Run, Setting
from harmovid_training.metrics.degrade import Degradation, to_stops
from harmovid_training.metrics.quality import Judge, laplacian_energy, view
from harmovid_training.metrics.structure import Motion, ssim
from harmovid_training.metrics.traces import local_roughness_stops, roughness_stops

from support.results_cache import ResultsCache

Array = npt.NDArray[np.float32]

OURS = "HarmoVid"
FFMPEG_PREFIX = "ffmpeg"
PEER_PREFIX = "peer"
ORACLE = "oracle"
"""The best transform of each frame, in the family that engine and reference methods use, fitted to the truth."""
BRIEF_STRIDE = 2
"""In a brief run results are measured on every second row and column."""
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


def thinned(clip: Array, stride: int = CHOOSING_STRIDE) -> Array:
    """Return every `stride`-th row and column of a clip `(T, H, W, ...)`."""
    return np.ascontiguousarray(clip[:, ::stride, ::stride])


@dataclass(frozen=True)
class Caches:
    """Where results are kept: those of the engine, of all other methods, and of the other tests."""

    ours: ResultsCache
    others: ResultsCache
    extras: ResultsCache


class Truth:
    """A clean clip, with values that are computed once for all its tests.

    Args:
        clip: the truth.
        workers: number of settings that are tried in parallel.
        brief: measure PSNR only.
        caches: where results are kept.
    """

    def __init__(self, clip: Clip, workers: int, caches: Caches, *, brief: bool = False) -> None:
        self.clip = clip
        self.workers, self.brief, self._caches = workers, brief, caches
        self._digest = sha256(clip.frames.tobytes()).hexdigest()

    @cached_property
    def shown(self) -> Array:
        """The clip as it is viewed."""
        return view(self.clip.frames)

    @cached_property
    def motion(self) -> Motion:
        """The clip's motion."""
        return Motion(self.shown)

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
        case = _Case(self, test, seed)
        key = {"clip": self._digest, "test": test.name, "seed": seed, "brief": self.brief}
        row = Row(self.clip.name, test.name, seed)
        for method in methods:
            what = {**key, "method": method.name, "settings": [each.label for each in method.settings]}
            row.scores[method.name] = self._caches.others.result(what, partial(case.best, method))
        row.scores[ORACLE] = self._caches.others.result({**key, "method": ORACLE}, case.oracle)
        found = self._caches.ours.result(key, partial(case.ours, ours, reports))
        row.scores[OURS], row.said, row.ms = found["scores"], found["said"], found["ms"]
        return row


class _Case:
    """One synthetic flicker on one clip, made when the first method needs it."""

    def __init__(self, truth: Truth, test: Degradation, seed: int) -> None:
        self._truth, self._test, self._seed = truth, test, seed
        self._mask = truth.clip.masks if test.foreground else None

    @cached_property
    def _frames(self) -> Array:
        clip = self._truth.clip
        return self._test.apply(clip.frames, clip.masks, self._seed)

    @cached_property
    def _judge(self) -> Judge:
        mask = None if self._mask is None else thinned(self._mask, self._stride)
        return Judge(thinned(self._truth.clip.frames, self._stride), mask)

    @property
    def _stride(self) -> int:
        return BRIEF_STRIDE if self._truth.brief else 1

    def best(self, method: Method) -> Dict[str, Any]:
        """Return the numbers of the setting whose result is nearest to the truth."""
        setting = self._best(method)
        return {**self._numbers(setting.run(self._frames, self._mask)), "setting": setting.label}

    def _best(self, method: Method) -> Setting:
        if len(method.settings) == 1:
            return method.settings[0]
        small, thin = thinned(self._frames), None if self._mask is None else thinned(self._mask)
        judge = Judge(thinned(self._truth.clip.frames), thin)
        with ThreadPoolExecutor(self._truth.workers) as pool:
            scores = list(pool.map(lambda each: judge.psnr_g(each.run(small, thin)), method.settings))
        return method.settings[int(np.argmax(scores))]

    def oracle(self) -> Dict[str, Any]:
        """Return the numbers of `oracle`."""
        return self._numbers(oracle(self._frames, self._truth.clip.frames, self._mask))

    def ours(self, run: Run, reports: List[Mapping[str, Any]]) -> Dict[str, Any]:
        """Return the numbers of the engine, its report of the middle frame, and its time."""
        frames = self._frames
        start = time.perf_counter()
        result = run(frames, self._mask)
        ms = (time.perf_counter() - start) * 1e3 / len(frames)
        return {"scores": self._numbers(result), "said": dict(reports[len(reports) // 2]), "ms": ms}

    def _numbers(self, result: Array) -> Dict[str, Any]:
        """Return every measure of a result."""
        if self._truth.brief:
            return dict(self._judge.scores(thinned(result, self._stride)))
        shown = view(result)
        return {
            **self._judge.scores(result, shown),
            "ssim": ssim(shown, self._truth.shown, self._mask),
            "warped": self._truth.motion.warped_error(shown, self._mask),
            "rough": roughness_stops(result, self._mask),
            "rough_local": local_roughness_stops(result, self._mask),
            "detail": laplacian_energy(shown) / self._energy,
        }

    @cached_property
    def _energy(self) -> float:
        """The flickering clip's, to compute the share of detail that is kept."""
        return float(laplacian_energy(view(self._frames)))


def oracle(frames: Array, truth: Array, mask: Optional[Array]) -> Array:
    """Return the frames after the one quadratic in log2 light per frame that is nearest to the truth."""
    out = frames.copy()
    for index, (frame, wanted) in enumerate(zip(frames, truth)):
        inside = np.ones(frame.shape[:2], bool) if mask is None else mask[index] > 0
        if inside.any():
            logs = to_stops(frame[inside])
            design, seen = (
                _quadratic(logs.astype(np.float64)),
                view(wanted[inside]).mean(axis=-1, keepdims=True),
            )
            coeffs = np.linalg.lstsq(design * seen, (to_stops(wanted[inside]) - logs) * seen, rcond=1e-6)[0]
            stops = np.clip(design @ coeffs, -8, 8) * (1.0 if mask is None else mask[index][inside][:, None])
            out[index][inside] *= np.exp2(stops).astype(np.float32)
    return out


def _quadratic(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the ten terms of a quadratic with cross terms of `(n, 3)` colours."""
    r, g, b = logs.T
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, r * b, g * b], axis=-1)


def _rounded(numbers: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: round(each, 5) if isinstance(each, float) else each for name, each in numbers.items()}
