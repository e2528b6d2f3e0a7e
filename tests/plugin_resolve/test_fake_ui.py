"""The stand-in for UIManager: known elements, attributes and events alone, and a loop that the user drives."""

from __future__ import annotations

import threading
from typing import Any, Callable, List, Tuple

import pytest
from fakes.resolve_host.host import Host


class Panel:
    """A small window, as a plugin would make it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.ui, self.bmd = host.fusion().UIManager, host.bmd()
        self.dispatcher = self.bmd.UIDispatcher(self.ui)
        ui = self.ui
        rows = [
            ui.Label({"ID": "said", "Text": "Nothing yet", "Weight": 0}),
            ui.HGroup(
                {"Weight": 1}, [ui.ComboBox({"ID": "task"}), ui.CheckBox({"ID": "grade", "Text": "Graded"})]
            ),
            ui.SpinBox({"ID": "handles", "Minimum": 0, "Maximum": 48, "Value": 8}),
            ui.LineEdit({"ID": "folder", "PlaceholderText": "Folder", "Events": {"ReturnPressed": True}}),
            ui.VGap(2),
            ui.Button({"ID": "go", "Text": "Go", "Enabled": False}),
        ]
        self.window = self.dispatcher.AddWindow({"ID": "panel", "WindowTitle": "HarmoVid"}, ui.VGroup(rows))
        self.items = self.window.GetItems()
        self.seen: List[Tuple[str, Any]] = []
        for name, event in (("go", "Clicked"), ("task", "CurrentIndexChanged"), ("handles", "ValueChanged")):
            setattr(self.window.On[name], event, self.note)
        self.window.On.folder.TextChanged = self.note
        self.window.On.panel.Close = lambda event: self.dispatcher.ExitLoop(3)

    def note(self, event: Any) -> None:
        """Remember an event."""
        self.seen.append((event["who"], event["what"]))

    def run(self, *does: Callable[[], Any]) -> Any:
        """Show the window and let the user do things, then close it."""
        for each in (*does, lambda: self.host.user.close("panel")):
            self.host.user.does(each)
        self.window.Show()
        return self.dispatcher.RunLoop()


@pytest.fixture
def panel() -> Panel:
    """Return the window, not shown yet."""
    return Panel(Host())


def test_the_user_works_with_it(panel: Panel) -> None:
    """Choosing, entering, typing and clicking change values and call handlers; the loop returns its code."""
    panel.items["task"].AddItems(["Deflicker", "Harmonize"])
    panel.items["go"].Enabled = True
    user = panel.host.user
    code = panel.run(
        lambda: user.choose("task", "Harmonize"),
        lambda: user.enter("handles", 99),
        lambda: user.type("folder", "/shots"),
        lambda: user.click("grade"),
        lambda: user.click("go"),
    )
    assert code == 3
    assert (panel.items["task"].CurrentText, panel.items["task"].CurrentIndex) == ("Harmonize", 1)
    assert panel.items["handles"].Value == 48
    assert panel.items["grade"].Checked is True
    assert panel.window.Find("folder").Text == "/shots"
    assert panel.seen[1:] == [
        ("task", "CurrentIndexChanged"),
        ("handles", "ValueChanged"),
        ("folder", "TextChanged"),
        ("go", "Clicked"),
    ]
    assert panel.seen[0] == ("task", "CurrentIndexChanged"), "the first entry selects itself"


def test_what_is_disabled_or_hidden_cannot_be_used(panel: Panel) -> None:
    """A click on a disabled button, or on one in a window that is not shown, is the test's own error."""
    with pytest.raises(LookupError, match="no window that is shown"):
        panel.host.user.click("go")
    panel.window.Show()
    with pytest.raises(LookupError, match="disabled"):
        panel.host.user.click("go")


@pytest.mark.parametrize(
    "misuse",
    [
        lambda p: p.ui.ProgressBar({"ID": "x"}),
        lambda p: p.ui.Label({"Txt": "x"}),
        lambda p: p.ui.Label({"Text": 3}),
        lambda p: p.ui.SpinBox({"Value": True}),
        lambda p: setattr(p.items["go"], "Caption", "x"),
        lambda p: p.items["go"].Caption,
        lambda p: p.items["said"].Click(),
        lambda p: p.window.On.gone,
        lambda p: setattr(p.window.On.go, "Pushed", print),
        lambda p: p.dispatcher.AddWindow({"WindowTitle": "no ID"}, []),
        lambda p: p.dispatcher.AddWindow({"ID": "w"}, [p.ui.Label({"ID": "a"}), p.ui.Label({"ID": "a"})]),
        lambda p: p.bmd.UIDispatcher(None),
        lambda p: p.items["task"].AddItems([1, 2]),
    ],
)
def test_what_the_manual_does_not_name_is_refused(panel: Panel, misuse: Any) -> None:
    """Elements, attributes, functions, events and types that are not described raise, and are noted."""
    with pytest.raises(TypeError):
        misuse(panel)
    assert len(panel.host.violations) == 1


def test_events_that_are_off_do_not_fire(panel: Panel) -> None:
    """Only some events are on by default; `Events` switches others on, and these off."""
    ui, seen = panel.ui, []
    slider = ui.Slider({"ID": "a", "Events": {"ValueChanged": False}})
    field = ui.LineEdit({"ID": "b"})
    window = panel.dispatcher.AddWindow({"ID": "w"}, [slider, field])
    window.On.a.ValueChanged = seen.append
    window.On.b.ReturnPressed = seen.append
    slider.Value = 5
    field.fire_("ReturnPressed")
    assert seen == []
    slider.Events = {"ValueChanged": True}
    field.Events = {"ReturnPressed": True}
    slider.Value = 6
    field.fire_("ReturnPressed")
    assert [each["what"] for each in seen] == ["ValueChanged", "ReturnPressed"]


def test_a_timer_rings_while_the_loop_runs(panel: Panel) -> None:
    """The dispatcher's Timeout is called, and the user can wait for what that brings."""
    rang = threading.Event()
    timer = panel.ui.Timer({"ID": "tick", "Interval": 1})
    panel.dispatcher.On.Timeout = lambda event: rang.set()
    timer.Start()
    panel.host.user.waits_for(rang.is_set)
    assert panel.run() == 3
    timer.Stop()


def test_events_come_from_other_threads(panel: Panel) -> None:
    """Whatever is asked of the user in another thread happens in the loop's."""
    thread = threading.Thread(target=lambda: panel.host.user.does(lambda: panel.host.user.close("panel")))
    thread.start()
    panel.window.Show()
    assert panel.dispatcher.RunLoop() == 3
    thread.join()


def test_a_tree_has_rows(panel: Panel) -> None:
    """Items are made by the tree, with text by column."""
    tree = panel.ui.Tree({"ID": "jobs", "ColumnCount": 2})
    item = tree.NewItem()
    item.Text[0], item.Text[1] = "sh010", "done"
    tree.AddTopLevelItem(item)
    assert tree.TopLevelItemCount() == 1
    assert tree.TopLevelItem(0).Text[1] == "done"


def test_without_a_window_there_is_no_manager() -> None:
    """-nogui has no UIManager, and RequestDir gives nothing; with one the user picks, or cancels."""
    assert Host(gui=False).fusion().UIManager is None
    assert Host(gui=False).fusion().RequestDir("/") is None
    host = Host()
    assert host.fusion().RequestDir("/") is None
    host.requested_folder = "/shots"
    assert host.fusion().RequestDir("/") == "/shots"
    assert host.fusion().NoSuchThing is None
