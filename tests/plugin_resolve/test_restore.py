"""What a step changed is put back by comparing, whatever calls answered; what cannot be put back is named."""

from __future__ import annotations

from typing import Any, List

import pytest
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import Film
from harmovid_resolve.errors import HostError
from harmovid_resolve.restore import Aspect, Kept
from harmovid_resolve.restore_deliver import Deliver, Format, Jobs, Mode, Presets
from harmovid_resolve.restore_project import CurrentTimeline, Folder, Page, Playhead, Timelines


class Value(Aspect):
    """Something that can be set, or that refuses to be."""

    name = "the value"

    def __init__(self, refuses: int = 0) -> None:
        self.now, self.refuses = "old", refuses

    def read(self) -> Any:
        """Return it."""
        return self.now

    def change(self, before: Any, now: Any) -> None:
        """Set it."""
        self.refuses -= 1
        if self.refuses >= 0:
            raise HostError("it is locked.")
        self.now = before


def aspects(film: Film) -> List[Aspect]:
    """Return what a render changes."""
    one = film.session()
    return [
        Jobs(one), Deliver(one, "kept"), Format(one), Mode(one), CurrentTimeline(one), Timelines(one), Folder(one),
        Playhead(one), Presets(one), Page(one),
    ]  # fmt: skip


def disturb(film: Film) -> None:
    """Change everything that a render changes."""
    session = film.session()
    made = session.pool.CreateEmptyTimeline("other")
    session.project.SetCurrentTimeline(made)
    session.pool.AddSubFolder(session.pool.GetRootFolder(), "elsewhere")
    session.project.SetCurrentRenderFormatAndCodec("exr", "RGBHalfZIP")
    session.project.SetCurrentRenderMode(0)
    session.project.SetRenderSettings(
        {"FormatWidth": 7, "CustomName": "theirs", "TargetDir": str(film.folder)}
    )
    session.project.SaveAsNewRenderPreset("theirs")
    session.project.SetCurrentTimeline(film.host.wrap(film.timeline))
    session.timeline().SetCurrentTimecode("01:00:00:04")
    session.project.AddRenderJob()
    session.project.SetCurrentTimeline(made)
    session.resolve.OpenPage("fusion")


def test_everything_is_put_back(film: Film) -> None:
    """Timelines, bins, queue, presets, all settings of the Deliver page and the page are as before."""
    before = snapshot(film.host)
    kept = Kept(aspects(film))
    disturb(film)
    assert len(difference(before, snapshot(film.host))) > 5
    assert kept.put_back() == []
    left = difference(before, snapshot(film.host))
    assert [line for line in left if not line.startswith("/pool/folders")] == []


def test_a_call_that_fails_while_putting_back_is_made_again(film: Film) -> None:
    """Each call of it fails once in turn; the end is the same."""
    before = snapshot(film.host)
    kept = Kept(aspects(film))
    disturb(film)
    start = len(film.host.injector.calls)
    assert kept.put_back() == []
    count = len(film.host.injector.calls) - start
    for number in range(1, count + 1, 3):
        again = Kept(aspects(film))
        film.host.resolve().OpenPage("edit")
        film.host.injector.fail_at = len(film.host.injector.calls) + number
        assert again.put_back() == []
        film.host.injector.fail_at = None
    left = difference(before, snapshot(film.host))
    assert [line for line in left if not line.startswith("/pool/folders")] == []


def test_what_cannot_be_put_back_is_named() -> None:
    """It is tried a few times in each of two rounds; what stays different has a sentence, the others are put back."""
    first, second = Value(refuses=100), Value(refuses=1)
    kept = Kept([first, second])
    first.now = second.now = "new"
    assert kept.put_back() == ["the value could not be put back: it is locked."]
    assert (first.now, second.now) == ("new", "old")


def test_a_page_takes_a_moment(film: Film) -> None:
    """Resolve names the page before for a while after it was told to turn: that is waited for."""
    film.host.quirks.page_lag = 3
    kept = Kept([Page(film.session())])
    film.host.resolve().OpenPage("media")
    assert kept.put_back() == []
    assert film.host.page == "color"


@pytest.mark.parametrize("how", ["false", "performed-false"])
def test_what_cannot_be_remembered_stops_before_anything_changes(film: Film, how: str) -> None:
    """When the settings of the Deliver page cannot be saved, the page is as before, and no preset is left of it."""
    before, injector = snapshot(film.host), film.host.injector
    Kept(aspects(film)).put_back()
    place = injector.names().index("Project.SaveAsNewRenderPreset")
    injector.calls.clear()
    injector.fail_at, injector.how = place + 1, how
    with pytest.raises(HostError, match="refused SaveAsNewRenderPreset"):
        Kept(aspects(film))
    assert difference(before, snapshot(film.host)) == []
