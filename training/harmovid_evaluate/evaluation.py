"""The evaluation: every combination of set, clip and row (a unit) is computed once and stored on disk.

    evaluation = Evaluation(out, footage, sets, makers, entrants, extras)
    for step in evaluation.run():
        ...

A unit is one row's result on one case: `results/SET/CLIP/ROW/` holds its frames (EXR, half) and its numbers,
`row.json`, written last. A run that was stopped, or is started again with more rows or measures, computes only what is
missing; results of other settings are computed again.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from harmovid.errors import HarmoVidError, InputError
from harmovid_training.files import save_json
from harmovid_training.metrics.degrade import Array

from harmovid_evaluate import cases
from harmovid_evaluate.cases import Case, fingerprint, slug
from harmovid_evaluate.entrants import Absent, Entrant
from harmovid_evaluate.footage import Footage, Material
from harmovid_evaluate.measures import MEASURES, Extras, Judged, Measure, Result
from harmovid_evaluate.testsets import ClipSet, Makers, NotThisClip, make

ROW = "row.json"
HELD = 3
"""Clips in memory at once: the current one, and two whose background may be used."""
VERSION = 2
"""Version of the measures' definitions; after a change all rows are measured again."""


@dataclass(frozen=True)
class Row:
    """One unit's numbers.

    Attributes:
        scores: by `Measure.key`.
        seconds: run time of the method on this machine, loading included.
    """

    set: str
    clip: str
    method: str
    scores: Dict[str, float]
    seconds: float
    folder: Path


@dataclass(frozen=True)
class Step:
    """The outcome of one unit: "computed", "measured", "kept", "absent" or "failed", with the reason."""

    set: str
    clip: str
    method: str
    what: str
    why: str = ""


@dataclass
class Evaluation:
    """See the module.

    Attributes:
        rows: of all finished units, in the order of sets, clips and entrants.
        notes: sentences for the report: what could not be made or measured, and why.
        failures: units that failed.
    """

    out: Path
    footage: Sequence[Footage]
    sets: Sequence[ClipSet]
    makers: Makers
    entrants: Sequence[Entrant]
    extras: Extras = field(default_factory=Extras)
    lines: int = 240
    count: int = 40
    rows: List[Row] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    failures: List[Step] = field(default_factory=list)
    _materials: Dict[str, Material] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        cases.unique_slugs([each.name for each in self.footage])
        cases.unique_slugs([each.name for each in self.entrants])
        self.measures: Tuple[Measure, ...] = (*MEASURES, *self.extras.measures)

    def total(self) -> int:
        """Return the largest possible number of units."""
        per_set = [sum(each.task in entrant.tasks for entrant in self.entrants) for each in self.sets]
        return sum(per_set) * len(self.footage)

    def run(self) -> Iterator[Step]:
        """Compute what is missing; yield once per unit. A failure is noted and does not stop the other units."""
        for each in self.sets:
            for footage in self.footage:
                able = [entrant for entrant in self.entrants if each.task in entrant.tasks]
                try:
                    folder = self._case_folder(each, footage)
                except NotThisClip as error:
                    self._note(f"{each.title}: {error}")
                    yield from (Step(each.name, footage.name, one.name, "absent", str(error)) for one in able)
                    continue
                yield from self._units(each, footage, folder, able)
            self._materials.clear()

    def _units(
        self, each: ClipSet, footage: Footage, folder: Path, able: Sequence[Entrant]
    ) -> Iterator[Step]:
        case: Optional[Case] = None
        judged: Optional[Judged] = None
        key = str(cases.read_head(folder)["key"])
        for entrant in able:
            place = self.out / "results" / slug(each.name) / slug(footage.name) / slug(entrant.name)
            try:
                kept = self._kept(place, key, entrant)
                if kept is None or self._lacking(kept):
                    if case is None:
                        case = cases.load_case(folder)
                        judged = Judged(case.truth, case.reference, case.mask, self.extras.raft)
                    what = "computed" if kept is None else "measured"
                    kept = self._unit(place, entrant, case, judged, kept)
                else:
                    what = "kept"
            except Absent as error:
                self._note(f"{each.title}, {entrant.name}: {error}")
                yield Step(each.name, footage.name, entrant.name, "absent", str(error))
                continue
            except HarmoVidError as error:
                step = Step(each.name, footage.name, entrant.name, "failed", str(error))
                self.failures.append(step)
                self._note(f"{each.title}, {footage.name}: {entrant.name} failed. {error}")
                yield step
                continue
            scores = {name: kept["scores"][name][0] for name in self._keys(kept)}
            self.rows.append(Row(each.name, footage.name, entrant.name, scores, kept["seconds"], place))
            yield Step(each.name, footage.name, entrant.name, what)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _case_folder(self, each: ClipSet, footage: Footage) -> Path:
        """Return the case's folder; it is made unless it exists with the same fingerprint."""
        folder = self.out / "inputs" / slug(each.name) / slug(footage.name)
        borrowed = [one.digest for one in self.footage] if each.name == "harmonized" else []
        head = {
            "set": each.name, "clip": footage.name, "task": each.task,
            "made": self.makers.describe(each.name), "lines": self.lines, "most_frames": self.count,
        }  # fmt: skip
        key = fingerprint(cases.FORMAT, head, footage.digest, borrowed)
        if cases.read_head(folder).get("key") != key:
            others = (self._material(one) for one in self.footage) if borrowed else iter(())
            made = make(each.name, self._material(footage), others, self.makers)
            cases.save_case(folder, {**head, "key": key}, made)
        return folder

    def _material(self, footage: Footage) -> Material:
        if footage.name not in self._materials:
            while len(self._materials) >= HELD:
                del self._materials[next(iter(self._materials))]
            self._materials[footage.name] = footage.load()
        return self._materials[footage.name]

    def _kept(self, place: Path, key: str, entrant: Entrant) -> Optional[Dict[str, Any]]:
        """Return an earlier run's unit, if it was made from the same case by the same method."""
        try:
            kept = json.loads((place / ROW).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        fits = isinstance(kept, dict) and (kept.get("case"), kept.get("method")) == (key, entrant.key)
        return kept if fits and cases.frames_there(place, kept["frames"]) else None

    def _lacking(self, kept: Dict[str, Any]) -> List[Measure]:
        """Return the measures for which the unit has no number, or one computed with other weights."""
        return [
            each
            for each in self.measures
            if (kept["truth"] or not each.needs)
            and kept["scores"].get(each.key, [None, None])[1] != _identity(each)
        ]

    def _keys(self, kept: Dict[str, Any]) -> List[str]:
        return [each.key for each in self.measures if each.key in kept["scores"]]

    def _unit(
        self,
        place: Path,
        entrant: Entrant,
        case: Case,
        judged: Optional[Judged],
        kept: Optional[Dict[str, Any]],
    ) -> Dict[str, Any]:
        """Compute the frames unless they exist, compute missing measures, and write `row.json`."""
        if kept is None:
            begun = time.monotonic()
            frames = entrant.run(case)
            seconds = time.monotonic() - begun
            _check(frames, case, entrant.name)
            kept = {
                "set": case.set, "clip": case.clip, "row": entrant.name, "case": case.key, "method": entrant.key,
                "frames": len(frames), "truth": case.truth is not None, "seconds": round(seconds, 3), "scores": {},
            }  # fmt: skip
            _save_frames(place, frames)
        result = Result(cases.load_frames(place))
        for each in self._lacking(kept):
            if judged is not None:
                kept["scores"][each.key] = [each.value(judged, result), _identity(each)]
        save_json(place / ROW, kept)
        return kept


def _identity(measure: Measure) -> str:
    return f"{VERSION} {measure.identity}".strip()


def _check(frames: Array, case: Case, name: str) -> None:
    if frames.shape != case.composite.shape:
        raise InputError(f"{name} gave frames of {frames.shape} for {case.composite.shape}.")
    if not np.isfinite(frames).all():
        bad = int(np.flatnonzero(~np.isfinite(frames).all((1, 2, 3)))[0])
        raise InputError(f"{name} gave values that are no numbers, first in frame {bad}.")


def _save_frames(place: Path, frames: Array) -> None:
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    cases.save_clip(part, frames)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    part.replace(place)
