"""The measures of the table: name, which direction is better, what each needs, and how it is computed.

    judged = Judged(truth, reference, mask)
    scores = {each.key: each.value(judged, Result(frames)) for each in MEASURES if judged.has(each.needs)}

`truth` is the right result, `reference` the video whose motion a result should keep. Pictures are scene-linear
`(T, H, W, 3)`; all measures except `stops` and `flicker` are taken on their view (`quality.view`). "Foreground" means
weighted by the mask. LPIPS, CLIP score and RAFT need weights: `Extras` holds the measures that can be computed, and
says why the others cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from harmovid_training.metrics.degrade import Array
from harmovid_training.metrics.flows import FlowDistance, Raft, dis_flow
from harmovid_training.metrics.quality import Judge, view
from harmovid_training.metrics.structure import Motion, ssim
from harmovid_training.metrics.traces import foreground_level, roughness
from harmovid_training.metrics.weights import MetricUnavailable, named_files

from harmovid_evaluate.boundary import seam
from harmovid_evaluate.clip_score import ClipScore
from harmovid_evaluate.lpips import Lpips

TRUTH = "truth"
TWO_FRAMES = 2
"""Smallest number of frames for temporal measures."""


@dataclass(frozen=True)
class Result:
    """A method's frames `(T, H, W, 3)` scene-linear; values that several measures share are computed once."""

    frames: Array
    _kept: Dict[str, Dict[str, float]] = field(default_factory=dict, compare=False)

    @cached_property
    def shown(self) -> Array:
        """Their view."""
        return view(self.frames)

    def once(self, name: str, compute: Callable[[], Dict[str, float]]) -> Dict[str, float]:
        """Return a group of numbers that are computed together, at the first call."""
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]


class Judged:
    """What results of one clip are measured against; computed when first needed.

    Args:
        truth: the right result; None where it is unknown.
        reference: the video whose motion a result should keep.
        mask: `(T, H, W)` in 0..1, the foreground.
        raft: the optical flow of the paper's motion preservation, where its weights are available.
    """

    def __init__(
        self, truth: Optional[Array], reference: Array, mask: Array, raft: Optional[Raft] = None
    ) -> None:
        self.truth, self.mask = truth, mask
        self._reference, self._raft = reference, raft

    def has(self, needs: str) -> bool:
        """Return whether a measure with this need can be computed."""
        return needs != TRUTH or self.truth is not None

    @property
    def _known(self) -> Array:
        if self.truth is None:
            raise ValueError("this clip has no truth; ask `has` first")
        return self.truth

    @cached_property
    def truth_shown(self) -> Array:
        """The truth's view."""
        return view(self._known)

    @cached_property
    def foreground(self) -> Judge:
        """PSNR and the other measures of `Judge` inside the mask."""
        return Judge(self._known, self.mask)

    @cached_property
    def frame(self) -> Judge:
        """The same over the whole frame."""
        return Judge(self._known)

    @cached_property
    def motion(self) -> Motion:
        """The reference's motion, for the flow-warped error."""
        return Motion(view(self._reference))

    @cached_property
    def dis(self) -> FlowDistance:
        """The reference's DIS flow."""
        return FlowDistance(dis_flow, view(self._reference))

    @cached_property
    def raft(self) -> FlowDistance:
        """The reference's RAFT flow."""
        if self._raft is None:
            raise ValueError("RAFT is not available")
        return FlowDistance(self._raft, view(self._reference))


@dataclass(frozen=True)
class Measure:
    """One column.

    Attributes:
        key: its name in files, never reused for another measure.
        title: in tables.
        unit: empty for plain numbers.
        higher: whether more is better.
        digits: after the decimal point.
        needs: `TRUTH`, or nothing.
        group: heading of the column.
        value: computes it.
        identity: of the weights that it depends on.
    """

    key: str
    title: str
    unit: str
    higher: bool
    digits: int
    needs: str
    group: str
    value: Callable[[Judged, Result], float]
    identity: str = ""


FOREGROUND, FRAME, TIME, SEAM = "foreground", "whole frame", "over time", "seam"


def _of_foreground(name: str) -> Callable[[Judged, Result], float]:
    return lambda judged, result: result.once(
        FOREGROUND, lambda: judged.foreground.scores(result.frames, result.shown)
    )[name]


def _of_frame(name: str) -> Callable[[Judged, Result], float]:
    return lambda judged, result: result.once(
        FRAME, lambda: judged.frame.scores(result.frames, result.shown)
    )[name]


def _of_seam(name: str) -> Callable[[Judged, Result], float]:
    def both(judged: Judged, result: Result) -> Dict[str, float]:
        laplacian, tenengrad = seam(result.frames, judged.mask)
        return {"laplacian": laplacian, "tenengrad": tenengrad}

    return lambda judged, result: result.once(SEAM, lambda: both(judged, result))[name]


MEASURES: Tuple[Measure, ...] = (
    Measure("psnr", "PSNR", "dB", True, 2, TRUTH, FOREGROUND, _of_foreground("psnr")),
    Measure("psnr_g", "PSNR, one look free", "dB", True, 2, TRUTH, FOREGROUND, _of_foreground("psnr_g")),
    Measure(
        "ssim", "SSIM", "", True, 4, TRUTH, FOREGROUND,
        lambda judged, result: ssim(result.shown, judged.truth_shown, judged.mask),
    ),
    Measure("rmse", "RMSE", "", False, 4, TRUTH, FOREGROUND, _of_foreground("rmse")),
    Measure("stops", "RMSE of light", "stops", False, 3, TRUTH, FOREGROUND, _of_foreground("stops")),
    Measure("psnr_frame", "PSNR", "dB", True, 2, TRUTH, FRAME, _of_frame("psnr")),
    Measure(
        "ssim_frame", "SSIM", "", True, 4, TRUTH, FRAME,
        lambda judged, result: ssim(result.shown, judged.truth_shown),
    ),
    Measure("rmse_frame", "RMSE", "", False, 4, TRUTH, FRAME, _of_frame("rmse")),
    Measure(
        "flicker", "flicker", "stops", False, 4, "", TIME,
        lambda judged, result: roughness(foreground_level(result.frames, judged.mask)),
    ),
    Measure(
        "warped", "flow-warped error", "", False, 4, "", TIME,
        lambda judged, result: judged.motion.warped_error(result.shown, judged.mask),
    ),
    Measure(
        "motion_dis", "motion preservation, DIS", "px", False, 3, "", TIME,
        lambda judged, result: judged.dis(result.shown, judged.mask),
    ),
    Measure("laplacian", "Laplacian variance", "", True, 0, "", SEAM, _of_seam("laplacian")),
    Measure("tenengrad", "Tenengrad", "", True, 0, "", SEAM, _of_seam("tenengrad")),
)  # fmt: skip
"""The measures that need no weights; they always run."""


@dataclass(frozen=True)
class Extras:
    """The measures that need weights, and why some are missing.

    Attributes:
        measures: those that can be computed.
        missing: one sentence for each of the others.
        raft: for `Judged`.
    """

    measures: Tuple[Measure, ...] = ()
    missing: Tuple[str, ...] = ()
    raft: Optional[Raft] = None


def load_extras(lpips: Sequence[str] = (), clip: str = "", raft: str = "") -> Extras:
    """Return the measures for the weights that the user named: LPIPS and RAFT by `weights.KNOWN` or by files, a CLIP
    model by name or folder."""
    measures: List[Measure] = []
    missing: List[str] = []
    flow: Optional[Raft] = None

    def attempt(name: str, given: object, flag: str, load: Callable[[], None]) -> None:
        if not given:
            missing.append(f"{name} was left out: no weights were named ({flag}).")
            return
        try:
            load()
        except MetricUnavailable as error:
            missing.append(f"{name} was left out. {error}")

    def of_lpips() -> None:
        measures.extend(
            lpips_measures(Lpips.from_files([file for name in lpips for file in named_files(str(name))]))
        )

    def of_clip() -> None:
        measures.append(clip_measure(ClipScore.load(clip)))

    def of_raft() -> None:
        nonlocal flow
        flow = Raft.from_file(named_files(str(raft))[0])
        measures.append(raft_measure(flow))

    attempt("LPIPS", lpips, "--lpips alex or vgg, or FILE twice: features and linear layers", of_lpips)
    attempt("CLIP score", clip, "--clip NAME or folder", of_clip)
    attempt("Motion preservation with RAFT", raft, "--raft raft-large, raft-small or FILE", of_raft)
    return Extras(tuple(measures), tuple(missing), flow)


def lpips_measures(distance: Lpips) -> Tuple[Measure, ...]:
    """Return LPIPS of the foreground and of the frame."""
    return (
        Measure(
            "lpips", "LPIPS", "", False, 4, TRUTH, FOREGROUND,
            lambda judged, result: distance(result.shown, judged.truth_shown, judged.mask), distance.identity,
        ),
        Measure(
            "lpips_frame", "LPIPS", "", False, 4, TRUTH, FRAME,
            lambda judged, result: distance(result.shown, judged.truth_shown), distance.identity,
        ),
    )  # fmt: skip


def clip_measure(score: ClipScore) -> Measure:
    """Return the CLIP score."""
    return Measure(
        "clip",
        "CLIP score",
        "",
        True,
        4,
        "",
        TIME,
        lambda judged, result: score(result.shown),
        score.identity,
    )


def raft_measure(flow: Raft) -> Measure:
    """Return the paper's motion preservation."""
    return Measure(
        "motion_raft", "motion preservation, RAFT", "px", False, 3, "", TIME,
        lambda judged, result: judged.raft(result.shown, judged.mask), flow.identity,
    )  # fmt: skip
