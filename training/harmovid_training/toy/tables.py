"""The toy's tables: Table 2 in small (deflickering), Table 3 in small (ablation of the stages) on three sets, sampler
steps, and, where real clips are given, the paper's two LUT sets on them.

Numbers are of the foreground only, means over clips with 95 % bootstrap intervals, against exact truth. "Field" rows
apply a network's change of light to the input's own pixels, as the product does; "confident" rows apply it at the
strength of `confidence.py`. Flicker is the roughness of the foreground's mean log2 light over time (second differences,
stops); DIS motion is the distance of optical flows from the truth's, in pixels.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Iterable, Sequence

import numpy as np
from tqdm import tqdm

from harmovid_training.clips.index import Index
from harmovid_training.files import save_json
from harmovid_training.inference.shot import Settings
from harmovid_training.models.codec import Codec
from harmovid_training.models.model import ConditionedModel
from harmovid_training.stages import pairs
from harmovid_training.stages.engine_frames import Servers
from harmovid_training.toy import comparisons
from harmovid_training.toy.cases import Case, look_case, lut_case, relit_case, stage_one_case, with_engine
from harmovid_training.toy.classical import COLUMNS, Measures
from harmovid_training.toy.confidence import (
    CERTAIN,
    Confidence,
    Known,
    applied,
    carried,
    fitted,
    known,
    slow_change,
)
from harmovid_training.toy.intervals import interval
from harmovid_training.toy.recipe import Toy, run_sample
from harmovid_training.toy.shots import CALIBRATION, HELD_OUT, RealShots, looked, toy_shot

LOOK_FRAMES = 17
"""Frames of a clip of the one-look sets."""


@dataclass(frozen=True)
class Row:
    """A network in a table.

    Attributes:
        shown: which of `pixels`, `field`, `confident` are rows.
        stage_two: whether it is the deflicker network, whose input is stage 1's clip.
    """

    name: str
    model: ConditionedModel
    settings: Settings
    confidence: Confidence = CERTAIN
    shown: tuple[str, ...] = ("pixels", "field")
    stage_two: bool = False

    def answer(self, case: Case, codec: Codec) -> np.ndarray:
        """Return the network's own pixels."""
        sample = case.stage_two if self.stage_two and case.stage_two is not None else case.sample
        return run_sample(self.model, codec, sample, self.settings)


@dataclass(frozen=True)
class Table:
    """A title, and for each method one row of values per clip."""

    title: str
    rows: dict[str, list[tuple[float, ...]]]

    def markdown(self) -> str:
        """Return means with intervals, and below them paired differences, as Markdown."""
        count = len(next(iter(self.rows.values())))
        head = "| " + " | ".join(("method", *COLUMNS)) + " |"
        lines = [f"### {self.title} ({count} clips)", "", head, "|---" * (len(COLUMNS) + 1) + "|"]
        lines += [_line(name, np.array(values)) for name, values in self.rows.items()]
        lines += [
            _line(f"*{one} minus {other}*", np.array(self.rows[one]) - np.array(self.rows[other]))
            for one, other in comparisons.compared(self.rows)
        ]
        return "\n".join(lines) + "\n"


def _line(name: str, values: np.ndarray) -> str:
    told = []
    for column, of_clips in zip(COLUMNS, values.T):
        digits = 2 if column.startswith("PSNR") else 3
        mean, low, high = (f"{value:.{digits}f}" for value in interval(of_clips))
        told.append(f"{mean} ({low}, {high})")
    return f"| {name} | " + " | ".join(told) + " |"


def measured(title: str, cases: Iterable[Case], codec: Codec, networks: Sequence[Row]) -> Table:
    """Return the table of classical methods and networks."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    for case in tqdm(cases, desc=title):
        measure = Measures(case.truth, case.mask)
        for name, result in case.plain.items():
            rows.setdefault(name, []).append(measure(result))
        for row in networks:
            made = row.answer(case, codec)
            for kind in row.shown:
                result = made
                if kind == "field":
                    result = carried(case.given, made, case.mask)
                elif kind == "confident":
                    slow = slow_change(case.given, made, case.mask)
                    result = applied(case.given, slow, row.confidence, case.mask)
                rows.setdefault(f"{row.name}, {kind}", []).append(measure(result))
    return Table(title, rows)


def table_two(toy: Toy) -> list[Table]:
    """Return Table 2 in small: per-frame LUTs, and stage 1's flicker, before and after deflickering, by networks, a
    classical method, and the product's own deflicker engine."""
    scale, codec, stage_one = toy.scale, toy.vae(), toy.stage_one()
    rows = _deflickers(toy)
    seeds, frames = _held_out(toy), scale.test_frames
    luts = (lut_case(toy_shot(seed, frames), seed) for seed in seeds)
    steady = (stage_one_case(seed, frames, stage_one) for seed in seeds)
    with Servers() as servers:
        return [
            measured(comparisons.LUTS, with_engine(luts, servers), codec, rows),
            measured(comparisons.STAGE_ONE, with_engine(steady, servers), codec, rows),
        ]


def table_three(toy: Toy) -> list[Table]:
    """Return Table 3 in small: the ablation of stages 2 and 3 on composites in another light, and the one-step networks
    on clips with one strong and one mild look."""
    scale, codec, stage_one = toy.scale, toy.vae(), toy.stage_one()
    once, many = _stages(toy)
    seeds = _held_out(toy)
    cases = (relit_case(seed, scale.test_frames, stage_one, codec) for seed in seeds)
    tables = [measured(comparisons.STAGES, cases, codec, [*once, *many])]
    for strong, title in ((True, comparisons.STRONG), (False, comparisons.MILD)):
        looks = (look_case(seed, min(LOOK_FRAMES, scale.test_frames), stage_one, strong) for seed in seeds)
        rows = [replace(row, shown=("field", "confident")) for row in once]
        tables.append(measured(title, looks, codec, rows))
    return tables


def table_steps(toy: Toy) -> list[Table]:
    """Return the table of sampler steps: the many-step network at several numbers of steps, and the student."""
    scale, codec, model, stage_one = toy.scale, toy.vae(), toy.harmovid(), toy.stage_one()
    seeds = _held_out(toy)[: max(scale.test_scenes // 4, 1)]
    cases = (relit_case(seed, scale.test_frames, stage_one, codec) for seed in seeds)
    rows = [
        Row(f"DDIM, {steps} steps", model, replace(scale.sampling, steps=steps))
        for steps in scale.compared_steps
    ]
    return [
        measured(comparisons.STEPS, cases, codec, [*rows, Row("student, 1 step", toy.student(), scale.once)])
    ]


def tables_real(toy: Toy, clips: Index) -> list[Table]:
    """Return the paper's two LUT sets on held-out real clips, one window of each: per-frame LUTs with the deflicker
    networks, one LUT with the full recipe."""
    scale, codec, stage_one = toy.scale, toy.vae(), toy.stage_one()
    made = RealShots(clips, scale.test_frames, scale.seed)
    shots = [made(number) for number in range(len(clips.clips))]
    full = _stages(toy)[0][-1]
    luts = (lut_case(shot, seed) for seed, shot in enumerate(shots))
    looks = (_real_look(shot, seed, stage_one) for seed, shot in enumerate(shots))
    return [
        measured("Real clips: per-frame LUT", luts, codec, _deflickers(toy)),
        measured("Real clips: one LUT", looks, codec, [full]),
    ]


def believed(toy: Toy, rows: Sequence[Row]) -> list[Row]:
    """Return networks with their confidences, fitted on calibration scenes and stored beside the tables."""
    paths = [
        toy.folder / "confidence" / f"{row.name.replace(' ', '-').replace(':', '')}.json" for row in rows
    ]
    missing = [(row, path) for row, path in zip(rows, paths) if not path.is_file()]
    clips: dict[Path, list[Known]] = {path: [] for _, path in missing}
    codec, stage_one, frames = toy.vae(), toy.stage_one(), toy.scale.frames
    for seed in tqdm(
        range(CALIBRATION, CALIBRATION + toy.scale.calibration_scenes if missing else CALIBRATION)
    ):
        cases = [relit_case(seed, frames, stage_one, codec)]
        cases += [look_case(seed, frames, stage_one, strong) for strong in (True, False)]
        for case, mild in zip(cases, (False, False, True)):
            for row, path in missing:
                slow = slow_change(case.given, row.answer(case, codec), case.mask)
                clips[path].append(known(case.given, slow, case.mask, case.truth, mild))
    for path, found in clips.items():
        save_json(path, asdict(fitted(found)))
    told = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    return [replace(row, confidence=Confidence(**one)) for row, one in zip(rows, told)]


def _stages(toy: Toy) -> tuple[list[Row], list[Row]]:
    """Return the rows of Table 3: the one-step networks, and those of the paper's own loss; the full recipe last."""
    scale = toy.scale
    shown = ("pixels", "field", "confident")
    once = [
        Row(
            f"{comparisons.NO_THREE}, {comparisons.ONCE}",
            toy.deflicker_student(),
            scale.once,
            shown=shown,
            stage_two=True,
        ),
        Row(f"{comparisons.NO_TWO}, {comparisons.ONCE}", toy.no_stage_two(), scale.once, shown=shown),
        Row(f"{comparisons.FULL}, {comparisons.ONCE}", toy.student(), scale.once, shown=shown),
    ]
    many = [
        Row(
            f"{comparisons.NO_THREE}, {comparisons.PAPERS}",
            toy.deflicker(),
            scale.sampling,
            shown=shown[1:],
            stage_two=True,
        ),
        Row(
            f"{comparisons.NO_TWO}, {comparisons.PAPERS}",
            toy.no_stage_two_many(),
            scale.sampling,
            shown=shown[1:],
        ),
        Row(f"{comparisons.FULL}, {comparisons.PAPERS}", toy.harmovid(), scale.sampling, shown=shown[1:]),
    ]
    rows = believed(toy, [*once, *many])
    return rows[: len(once)], rows[len(once) :]


def _real_look(shot: pairs.Shot, seed: int, stage_one: object) -> Case:
    given = replace(shot, real=looked(shot, seed, strong=False), background=shot.plate)
    sample = pairs.real_to_synthetic(replace(given, steady=given.real))
    made = pairs.composite(given.real, shot.plate, shot.mask)
    return Case(shot.real, shot.mask, made, sample, {comparisons.GIVEN: made})


def _deflickers(toy: Toy) -> list[Row]:
    return [
        Row(f"{comparisons.NETWORK}, {comparisons.PAPERS}", toy.deflicker(), toy.scale.sampling),
        Row(f"{comparisons.NETWORK}, {comparisons.ONCE}", toy.deflicker_student(), toy.scale.once),
    ]


def _held_out(toy: Toy) -> list[int]:
    return list(range(HELD_OUT, HELD_OUT + toy.scale.test_scenes))
