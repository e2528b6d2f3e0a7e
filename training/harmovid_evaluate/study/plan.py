"""Who sees what: samples of a study, and each participant's own order of clips and of methods.

    study = Study(samples, seed=0, clips=10)
    shown = study.shown(number=3)           # the fourth participant's clips, each with its methods in their order

The order is a function of the study's seed and the participant's number, so it need not be stored to be known.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from harmovid.errors import InputError

from harmovid_evaluate.cases import fingerprint
from harmovid_evaluate.entrants import AS_IS, ORIGINAL
from harmovid_evaluate.table import Report

QUESTIONS: Tuple[Tuple[str, str, str], ...] = (
    ("temporal", "Temporal consistency", "Motion is smooth and light is stable, without flicker."),
    (
        "identity",
        "Identity preservation",
        "The subject looks like the one before: same face, same materials.",
    ),
    ("harmonization", "Harmonization", "The subject sits naturally in the light of its background."),
)
"""Key, title and help of each question; participants choose all acceptable methods (the paper, section 4.2)."""
LETTERS = "ABCDEFGHJKLM"
FEWEST_METHODS = 2


@dataclass(frozen=True)
class Sample:
    """A clip of a set, and the methods that are judged on it, by name."""

    set: str
    clip: str
    methods: Tuple[str, ...]

    @property
    def key(self) -> str:
        """Name in the store."""
        return f"{self.set}/{self.clip}"


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        samples: all of them.
        seed: of all orders.
        clips: how many each participant sees.
    """

    samples: Tuple[Sample, ...]
    seed: int
    clips: int

    @property
    def key(self) -> str:
        """Fingerprint: answers of one study are not mixed with another's."""
        return fingerprint(self.as_dict())

    def as_dict(self) -> Dict[str, Any]:
        """Return plain values, as they are stored."""
        return {"samples": [asdict(each) for each in self.samples], "seed": self.seed, "clips": self.clips}

    def shown(self, number: int) -> List[Sample]:
        """Return what participant `number` sees, in that order, each sample's methods in the order of the letters."""
        rng = np.random.default_rng([self.seed, number])
        chosen = [self.samples[int(k)] for k in rng.permutation(len(self.samples))[: self.clips]]
        return [
            Sample(
                each.set, each.clip, tuple(each.methods[int(k)] for k in rng.permutation(len(each.methods)))
            )
            for each in chosen
        ]


def make_study(
    report: Report, sets: Sequence[str] = (), methods: Sequence[str] = (), seed: int = 0, clips: int = 10
) -> Study:
    """Return the study of a finished evaluation.

    Args:
        sets: to take; all where empty.
        methods: to judge; all but the composite as it is and the original where empty.

    Raises:
        InputError: unknown names, or no clip with two methods.
    """
    there = {row["method"] for one_set in report["sets"] for row in one_set["rows"]}
    names = {one_set["name"] for one_set in report["sets"]}
    for wanted, known, what in ((sets, names, "test set"), (methods, there, "method")):
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise InputError(
                f"the evaluation has no {what} {unknown[0]!r}.", fix=f"There are: {', '.join(sorted(known))}."
            )
    taken = set(methods) or there - {AS_IS, ORIGINAL}
    samples = []
    for one_set in report["sets"]:
        for clip in one_set["clips"] if not sets or one_set["name"] in sets else ():
            able = [
                row["method"] for row in one_set["rows"] if row["method"] in taken and clip in row["clips"]
            ]
            if len(able) > len(LETTERS):
                raise InputError(
                    f"{len(able)} methods are too many for one screen.", fix="Name some with --method."
                )
            if len(able) >= FEWEST_METHODS:
                samples.append(Sample(one_set["name"], clip, tuple(able)))
    if not samples or clips < 1:
        raise InputError(
            "there is nothing to compare: no clip has results of two methods.",
            fix="Run the evaluation with more methods first.",
        )
    return Study(tuple(samples), seed, min(clips, len(samples)))
