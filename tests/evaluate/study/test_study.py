"""The study's plan, store and summary: reproducible orders, durable answers, correct intervals."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from harmovid.errors import InputError
from harmovid_evaluate.entrants import AS_IS, ORIGINAL
from harmovid_evaluate.study import summary
from harmovid_evaluate.study.plan import QUESTIONS, Sample, Study, make_study
from harmovid_evaluate.study.store import Answer, Store, StudyContents, read_study
from scipy.stats import binomtest

METHODS = ("one", "two", "three")
STUDY = Study(tuple(Sample("lut", f"clip-{k}", METHODS) for k in range(6)), seed=5, clips=4)


def report(**rows: list[str]) -> dict:
    """Return the part of a report that a study is made of: clips by method, of one set."""
    clips = sorted({clip for there in rows.values() for clip in there})
    made = [{"method": name, "clips": {clip: {} for clip in there}} for name, there in rows.items()]
    return {"sets": [{"name": "lut", "clips": clips, "rows": made}]}


def test_orders_can_be_made_again_and_differ_between_people() -> None:
    """Seed and number give the order; people see different clips first, and every letter hides every method."""
    assert STUDY.shown(3) == STUDY.shown(3)
    first, letter = Counter(), Counter()
    for number in range(200):
        shown = STUDY.shown(number)
        assert len({each.clip for each in shown}) == 4
        assert all(set(each.methods) == set(METHODS) for each in shown)
        first[shown[0].clip] += 1
        letter[shown[0].methods[0]] += 1
    assert len(first) == 6
    # 200 draws of a sixth and a third: six standard deviations either way.
    assert all(2 < count < 66 for count in first.values())
    assert all(27 < count < 107 for count in letter.values())


def test_a_study_takes_what_can_be_compared() -> None:
    """Clips need two methods; the input and the original are not judged unless they are named."""
    given = report(**{AS_IS: ["a", "b"], ORIGINAL: ["a", "b"], "one": ["a", "b"], "two": ["a"]})
    assert [(each.clip, each.methods) for each in make_study(given).samples] == [("a", ("one", "two"))]
    named = make_study(given, methods=("one", AS_IS))
    assert [each.clip for each in named.samples] == ["a", "b"]
    with pytest.raises(InputError, match="no method 'magic'"):
        make_study(given, methods=("magic",))
    with pytest.raises(InputError, match="no test set 'night'"):
        make_study(given, sets=("night",))
    with pytest.raises(InputError, match="nothing to compare"):
        make_study(report(one=["a"]))


def test_answers_stay_and_are_replaced(tmp_path: Path) -> None:
    """What was answered is there after the file is opened again; a later answer takes the earlier one's place."""
    store = Store(tmp_path / "study.sqlite", STUDY)
    person, other = store.begin(), store.begin()
    assert (person.number, other.number) == (0, 1)
    store.answer(person, "lut/clip-1", {"temporal": ["one"], "identity": []})
    store.answer(person, "lut/clip-1", {"temporal": ["two", "three"]})
    again = Store(tmp_path / "study.sqlite", STUDY)
    assert again.find(person.token) == person
    assert again.find("nobody") is None
    assert again.of(person) == {"lut/clip-1": {"temporal": ["three", "two"], "identity": []}}
    assert again.of(other) == {}
    with sqlite3.connect(tmp_path / "study.sqlite") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_studys_file_is_refused(tmp_path: Path) -> None:
    """Answers of other clips or another seed are never mixed in; a missing and a broken file are errors."""
    Store(tmp_path / "study.sqlite", STUDY)
    with pytest.raises(InputError, match="another study"):
        Store(tmp_path / "study.sqlite", Study(STUDY.samples, 6, 4))
    with pytest.raises(InputError, match="no study at"):
        read_study(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("text, and more of it than a header has " * 20)
    with pytest.raises(InputError, match="is no study"):
        read_study(tmp_path / "text.sqlite")


CHILD = """
import sys
from pathlib import Path
from harmovid_evaluate.study.plan import Sample, Study
from harmovid_evaluate.study.store import Store
study = Study(tuple(Sample("lut", f"clip-{k}", ("one", "two", "three")) for k in range(6)), seed=5, clips=4)
store = Store(Path(sys.argv[1]), study)
person = store.begin()
print(person.token, flush=True)
for k in range(100000):
    store.answer(person, f"lut/clip-{k % 6}", {"temporal": ["one"] * (k % 2), "identity": [str(k)]})
    print(k, flush=True)
"""


@pytest.mark.fault
def test_a_killed_server_loses_no_confirmed_answer(tmp_path: Path) -> None:
    """A process that is killed while it writes leaves every answer that it had confirmed."""
    path = tmp_path / "study.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        token = child.stdout.readline().strip()
        for _ in range(8):
            last = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        rest = [int(line) for line in child.stdout.read().split()]
    confirmed = max([last, *rest])
    store = Store(path, STUDY)
    person = store.find(token)
    assert person is not None
    latest = max(int(found["identity"][0]) for found in store.of(person).values())
    assert latest >= confirmed


@pytest.mark.parametrize(("chosen", "shown"), [(0, 10), (10, 10), (3, 7), (81, 263), (1, 2)])
def test_wilsons_interval_is_scipys(chosen: int, shown: int) -> None:
    """The interval is that of an independent implementation."""
    expected = binomtest(chosen, shown).proportion_ci(0.95, method="wilson")
    assert summary.wilson(chosen, shown) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_bootstrap_knows_that_people_differ() -> None:
    """If each of ten people always chooses a method or never, the bootstrap is over twice as wide as Wilson's interval;
    if all choose it equally often its width is 0."""
    split = summary.bootstrap([10] * 5 + [0] * 5, [10] * 10)
    low, high = summary.wilson(50, 100)
    assert split[1] - split[0] > 2 * (high - low)
    alike = summary.bootstrap([5] * 10, [10] * 10)
    assert alike == (0.5, 0.5)
    assert summary.bootstrap([], []) == (0.0, 1.0)


def test_the_summary_counts_what_was_chosen() -> None:
    """Shares are relative to how often a method was shown; names are escaped in the page; an unjudged method says
    so."""
    answers = [
        Answer(0, "lut/clip-0", "temporal", ["one", "two"]),
        Answer(0, "lut/clip-1", "temporal", []),
        Answer(1, "lut/clip-0", "temporal", ["one"]),
    ]
    found = summary.summarise(StudyContents(STUDY, begun=3, finished=0, answers=answers))
    rows = {row["method"]: row["temporal"] for row in found["rows"]}
    assert [(rows[name]["chosen"], rows[name]["shown"]) for name in METHODS] == [(2, 3), (1, 3), (0, 3)]
    assert found["participants"] == {"begun": 3, "finished": 0, "answered": 2}
    assert "67 % [" in summary.markdown(found)
    assert "not judged" in summary.markdown(found)
    assert json.loads(json.dumps(found)) is not None
    harm = Study((Sample("lut", "a", ("<img>", "b")),), 0, 1)
    text = summary.section(summary.summarise(StudyContents(harm, 0, 0, [])))
    assert "<img>" not in text
    assert len(QUESTIONS) == text.count("not judged") / 2
