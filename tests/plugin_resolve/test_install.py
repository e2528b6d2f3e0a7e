"""Into Resolve's folder of scripts and out again: nothing of the user's is lost, and all of ours goes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fakes.resolve_host.host import Host
from fakes.resolve_runs import Film
from fakes.running import RunningServer
from harmovid.cli import exits, main
from harmovid.cli.console import Console
from harmovid.errors import InputError, OutputError
from harmovid.settings import Settings
from harmovid.storage.atomic import write_whole
from harmovid_resolve import doctor, install, places
from harmovid_resolve.rows import PAGES


def contents(folder: Path) -> Dict[str, bytes]:
    """Return every file and folder under a folder, with bytes and times of files."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() + str(path.stat().st_mtime_ns).encode() if path.is_file() else b"folder"
        )
        for path in sorted(folder.rglob("*"))
    }


def scripts_of(tmp_path: Path) -> Path:
    """Return a user's folder of scripts with things in it."""
    scripts = tmp_path / "Fusion" / "Scripts"
    for name in ("Utility/mine.py", "Utility/notes.txt", "Comp/other.lua", "Edit/deep/a.py"):
        (scripts / name).parent.mkdir(parents=True, exist_ok=True)
        (scripts / name).write_text(f"# {name}\n")
    (tmp_path / "Fusion" / "Templates").mkdir()
    return scripts


def test_in_and_out_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    """To the byte, with times, after one and after two installations."""
    scripts = scripts_of(tmp_path)
    before = contents(tmp_path)
    install.install(scripts, sys.executable)
    once = contents(tmp_path)
    assert {name: once[name] for name in before} == before
    install.install(scripts, sys.executable)
    assert {name: data[:-19] for name, data in contents(tmp_path).items() if "HarmoVid" in name} == {
        name: data[:-19] for name, data in once.items() if "HarmoVid" in name
    }

    assert install.uninstall(scripts) == (True, [])
    assert contents(tmp_path) == before
    assert install.uninstall(scripts) == (False, [])


def test_folders_that_were_made_go_again(tmp_path: Path) -> None:
    """On a machine where Resolve has no folder yet, nothing stays; a folder that somebody uses meanwhile does."""
    scripts = tmp_path / "a" / "b" / "Fusion" / "Scripts"
    install.install(scripts, sys.executable)
    install.uninstall(scripts)
    assert contents(tmp_path) == {}

    install.install(scripts, sys.executable)
    (scripts / "Utility" / "mine.py").write_text("x")
    install.uninstall(scripts)
    assert [name for name in contents(tmp_path) if name.endswith(".py")] == [
        "a/b/Fusion/Scripts/Utility/mine.py"
    ]


def test_a_script_of_our_name_comes_back(tmp_path: Path) -> None:
    """What was there under the door's name is kept and put back with its time, also after a second installation."""
    scripts = scripts_of(tmp_path)
    (scripts / "Utility" / "HarmoVid.py").write_bytes(b"# somebody's own\r\n")
    os.utime(scripts / "Utility" / "HarmoVid.py", ns=(10**18, 10**18))
    before = contents(tmp_path)
    install.install(scripts, sys.executable)
    install.install(scripts, sys.executable)
    install.uninstall(scripts)

    assert contents(tmp_path) == before


def test_an_edited_door_is_kept_aside(tmp_path: Path) -> None:
    """Edits are never lost, neither by installing again nor by uninstalling, and Resolve does not list them."""
    scripts = scripts_of(tmp_path)
    install.install(scripts, sys.executable)
    door = scripts / "Utility" / "HarmoVid.py"
    door.write_text("# first edit")
    install.install(scripts, sys.executable)
    door.write_text("# second edit")
    assert install.uninstall(scripts) == (True, [door.with_name("HarmoVid.py.edited2")])

    assert not door.exists()
    assert door.with_name("HarmoVid.py.edited").read_text() == "# first edit"
    assert door.with_name("HarmoVid.py.edited2").read_text() == "# second edit"


def test_a_foreign_folder_is_not_touched(tmp_path: Path) -> None:
    """A folder of our name that we did not write stops the installation, and nothing is made."""
    scripts = scripts_of(tmp_path)
    (tmp_path / "Fusion" / "HarmoVid").mkdir()
    (tmp_path / "Fusion" / "HarmoVid" / "precious").write_text("x")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is not HarmoVid's"):
        install.install(scripts, sys.executable)

    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["HarmoVid", "Scripts/Utility/HarmoVid.py/deep"])
def test_a_foreign_file_or_folder_in_the_way_stops_before_anything_is_made(tmp_path: Path, name: str) -> None:
    """A file where our folder belongs, or a folder where the door belongs, is named; nothing is left half done."""
    scripts = scripts_of(tmp_path)
    strange = tmp_path / "Fusion" / name
    strange.parent.mkdir(exist_ok=True)
    strange.write_text("x")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is not HarmoVid's"):
        install.install(scripts, sys.executable)

    assert contents(tmp_path) == before


@pytest.mark.parametrize("target", ["../../mine.py", "../../nowhere.py"])
def test_a_link_of_our_name_comes_back_as_a_link(tmp_path: Path, target: str) -> None:
    """A door that is a link to a script elsewhere, or to nothing, is that link again; what it leads to is untouched."""
    scripts = scripts_of(tmp_path)
    (tmp_path / "Fusion" / "mine.py").write_text("# mine")
    door = scripts / "Utility" / "HarmoVid.py"
    door.symlink_to(target)
    install.install(scripts, sys.executable)
    assert not door.is_symlink()
    assert (tmp_path / "Fusion" / "mine.py").read_text() == "# mine"
    install.uninstall(scripts)

    assert os.readlink(door) == target


@pytest.mark.parametrize("own", ["", "# somebody's own"])
def test_an_installation_that_fails_leaves_nothing(
    tmp_path: Path, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A menu folder that cannot be written, found out at the last step, leaves the folder as it was."""
    scripts = scripts_of(tmp_path)
    door = scripts / "Utility" / "HarmoVid.py"
    if own:
        door.write_text(own)
    before = contents(tmp_path)

    def read_only(path: str, data: bytes) -> None:
        if path == str(door):
            raise PermissionError(13, "Permission denied")
        write_whole(path, data)

    monkeypatch.setattr(install, "write_whole", read_only)
    with pytest.raises(OutputError, match="cannot be written"):
        install.install(scripts, sys.executable)

    assert contents(tmp_path) == before


@pytest.mark.parametrize("own", ["", "# somebody's own"])
def test_an_installation_that_was_killed_costs_nobodys_script(tmp_path: Path, own: str) -> None:
    """With only its first manifest on the disk it is taken out, or installed again, and the user's own script stays."""
    scripts = scripts_of(tmp_path)
    door = scripts / "Utility" / "HarmoVid.py"
    if own:
        door.write_text(own)
    before = contents(tmp_path)
    data = install.data_folder(scripts)

    def killed() -> None:
        data.mkdir()
        (data / install.MANIFEST).write_text(json.dumps({"made": [str(data)]}))

    killed()
    assert install.uninstall(scripts) == (True, [])
    assert contents(tmp_path) == before
    killed()
    install.install(scripts, sys.executable)
    assert install.uninstall(scripts) == (True, [])
    assert contents(tmp_path) == before


def test_a_program_that_is_no_python_is_refused(tmp_path: Path) -> None:
    """`--python /bin/true` ends well and imports nothing."""
    program = tmp_path / "true"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    with pytest.raises(InputError, match="it is no Python"):
        install.check_python(str(program))


def test_the_command_and_its_answers(tmp_path: Path) -> None:
    """`harmovid plugin install resolve` and `uninstall`, found by their entry point, say what they did and where."""
    scripts, said = scripts_of(tmp_path), io.StringIO()
    words = ["--scripts-dir", str(scripts)]
    assert main(["plugin", "install", "resolve", *words]) == 0
    settings = json.loads((tmp_path / "Fusion" / "HarmoVid" / "settings.json").read_text())
    assert settings["python"] == sys.executable
    assert install.run("uninstall", words, Console(out=said)) == 0
    assert f"removed from {scripts}" in said.getvalue()
    with pytest.raises(InputError, match="cannot run HarmoVid"):
        install.run("install", [*words, "--python", "/bin/false"], Console(out=said))


def test_the_answer_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` behind the host's name is one object on stdout, for an unknown flag, too."""
    words = ["resolve", "--scripts-dir", str(scripts_of(tmp_path)), "--json"]
    for action, removed in (("install", None), ("uninstall", True), ("uninstall", False)):
        assert main(["plugin", action, *words]) == 0
        assert json.loads(capsys.readouterr().out).get("removed") is removed
    assert main(["plugin", "install", *words, "--pyhton", "x"]) == exits.USAGE
    assert "--python" in json.loads(capsys.readouterr().out)["error"]["fix"]


@pytest.mark.parametrize("damage", [b"", b"\xff{", b"[]", None])
def test_a_damaged_note_of_the_installation_stops_nothing(tmp_path: Path, damage: bytes | None) -> None:
    """Installing over it and uninstalling work, whether the file is cut off, no JSON or gone; a kept script is back."""
    scripts = scripts_of(tmp_path)
    (scripts / "Utility" / "HarmoVid.py").write_bytes(b"# somebody's own")
    before = contents(tmp_path)
    note = install.data_folder(scripts) / install.MANIFEST
    for again in (False, True):
        install.install(scripts, sys.executable)
        note.unlink() if damage is None else note.write_bytes(damage)
        if again:
            install.install(scripts, sys.executable)
        assert install.uninstall(scripts) == (True, [])
        assert contents(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_for_all_users_everybody_can_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask of the administrator's shell; the user's own folder keeps to it."""
    folders = {"--all-users": tmp_path / "all" / "Scripts", "--scripts-dir": tmp_path / "own" / "Scripts"}
    monkeypatch.setattr(places, "all_users_scripts", lambda *_: folders["--all-users"])
    before = os.umask(0o077)
    try:
        assert main(["plugin", "install", "resolve", "--all-users"]) == 0
        assert main(["plugin", "install", "resolve", "--scripts-dir", str(folders["--scripts-dir"])]) == 0
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    for flag, scripts in folders.items():
        made = [scripts.parent, *scripts.parent.rglob("*")]
        assert {path.stat().st_mode & 0o044 for path in made} == {0o044 if flag == "--all-users" else 0}, flag


def test_the_door_opens_in_a_bare_python(tmp_path: Path) -> None:
    """In a Python without any package, without `__file__`: the copied part is imported and says what is missing."""
    scripts = scripts_of(tmp_path)
    install.install(scripts, sys.executable)
    code = (
        "import sys; source = open(sys.argv[1]).read()\n"
        "exec(compile(source, '<string>', 'exec'), {'__name__': '__main__', 'resolve': None})\n"
        "print('harmovid' in sys.modules, 'numpy' in sys.modules)"
    )
    words = [sys.executable, "-S", "-E", "-c", code, str(scripts / "Utility" / "HarmoVid.py")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()

    assert said[0].startswith("HarmoVid: no DaVinci Resolve answers")
    assert said[1] == "False False"


@pytest.mark.parametrize("damage", ["settings", "package", "json"])
def test_a_broken_installation_says_what_to_run(tmp_path: Path, damage: str) -> None:
    """The door raises nothing into Resolve, whatever of the installation is gone."""
    scripts = scripts_of(tmp_path)
    install.install(scripts, sys.executable)
    data = tmp_path / "Fusion" / "HarmoVid"
    if damage == "settings":
        (data / "settings.json").unlink()
    elif damage == "json":
        (data / "settings.json").write_text("{")
    else:
        (data / "python" / "harmovid_resolve" / "start.py").unlink()
    door = scripts / "Utility" / "HarmoVid.py"
    code = "import sys; exec(compile(open(sys.argv[1]).read(), '<string>', 'exec'), {'__name__': '__main__'})"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code, str(door)], capture_output=True, text=True)

    assert done.returncode == 0
    assert "harmovid plugin install resolve" in done.stdout
    assert done.stderr == ""


def test_the_door_in_resolves_menu(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run from the stand-in's menu, the door opens the panel with the real client process, and it closes."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HARMOVID_SERVER", "tcp://127.0.0.1:9")
    scripts = tmp_path / "Fusion" / "Scripts"
    install.install(scripts, sys.executable)
    user, seen = film.host.user, []
    user.waits_for(lambda: "Asking" not in user.find("line").values_["Text"])
    user.does(lambda: seen.append(user.find("line").values_["Text"]))
    user.does(lambda: [user.close(window.values_["ID"]) for window in user.windows if window.shown_])
    film.host.run_menu_script(scripts / "Utility" / "HarmoVid.py")

    assert capsys.readouterr().out == ""
    assert "127.0.0.1:9" in seen[0]


def test_every_system_has_its_folders() -> None:
    """The user's folder and that of all users, as Blackmagic's README has them."""
    given = {"APPDATA": "C:/Users/a/AppData/Roaming", "PROGRAMDATA": "C:/ProgramData"}
    assert places.user_scripts("win32", given).as_posix() == (
        "C:/Users/a/AppData/Roaming/Blackmagic Design/DaVinci Resolve/Support/Fusion/Scripts"
    )
    assert places.all_users_scripts("win32", given).as_posix().endswith("DaVinci Resolve/Fusion/Scripts")
    assert places.user_scripts("darwin", {}).as_posix().endswith("Library/Application Support/Blackmagic Design/"
                                                                 "DaVinci Resolve/Fusion/Scripts")  # fmt: skip
    assert places.user_scripts("linux", {}).as_posix().endswith(".local/share/DaVinciResolve/Fusion/Scripts")
    assert str(places.all_users_scripts("linux", {})) == "/opt/resolve/Fusion/Scripts"


class Commands:
    """Answers commands in place of a system."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers

    def __call__(self, words: List[str], **_: Any) -> subprocess.CompletedProcess[str]:
        """Answer a command."""
        said = self.answers.get(Path(words[0]).name)
        return subprocess.CompletedProcess(words, 0 if said is not None else 1, said or "", "")


def test_which_python_resolve_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHON3HOME of launchctl with bin/python3, /usr/local on macOS; an installed or named one on Windows."""
    (tmp_path / "home" / "bin").mkdir(parents=True)
    (tmp_path / "home" / "bin" / "python3").write_text("")
    monkeypatch.setattr(places, "MAC_DEFAULT", str(tmp_path / "none"))

    mac = places.find_python("darwin", {}, Commands(launchctl=str(tmp_path / "home"), python3="3 11"))
    assert (mac.path, mac.version) == (str(tmp_path / "home" / "bin" / "python3"), (3, 11))
    wrong = places.find_python("darwin", {}, Commands(launchctl=str(tmp_path)))
    assert "there is no bin/python3" in wrong.how
    nothing = places.find_python("darwin", {}, Commands(launchctl=""))
    assert "no PYTHON3HOME" in nothing.how
    windows = places.find_python("win32", {"FUSION_PYTHON3_HOME": "C:/Python311"}, Commands())
    assert windows.path.endswith("python.exe")
    assert "for all users" in places.find_python("win32", {}, Commands()).how


@pytest.mark.parametrize(
    ("path", "version", "status", "what"),
    [
        ("", (0, 0), "fail", "for all users"), ("/p", (0, 0), "warn", "cannot be asked"),
        ("/p", (3, 8), "fail", "needs 3.9"), ("/p", (3, 11), "ok", "version 3.11"),
        ("/p", (3, 14), "ok", "before 20.3"),
    ],
)  # fmt: skip
def test_the_doctor_judges_it(path: str, version: Any, status: str, what: str) -> None:
    """None, one that is too old, one that cannot be asked, one that fits."""
    finding = doctor.judged(places.FoundPython(path, "none is installed for all users", version), "win32")

    assert finding.status == status
    assert what in finding.detail
    assert finding.fix or status == "ok"


def test_the_doctor_on_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Resolve, a Resolve without the plugin, the plugin, a door that is gone, a Python that is gone."""
    scripts = tmp_path / "here" / "Fusion" / "Scripts"
    monkeypatch.setattr(places, "user_scripts", lambda *_: scripts)
    monkeypatch.setattr(places, "all_users_scripts", lambda *_: tmp_path / "all" / "Fusion" / "Scripts")

    def said() -> Any:
        return next(iter(doctor.plugin(Settings())))

    assert (said().status, list(doctor.python_of_resolve(Settings()))) == ("ok", [])
    scripts.parent.mkdir(parents=True)
    assert (said().status, said().fix) == ("warn", doctor.INSTALL)
    install.install(scripts, sys.executable)
    assert said().status == "ok"
    assert f"jobs run in {sys.executable}" in said().detail
    assert len(list(doctor.python_of_resolve(Settings()))) == 1
    part = install.data_folder(scripts) / "python" / "harmovid_resolve" / "contract.py"
    part.write_text(part.read_text() + "# of an older version\n")
    assert (said().status, said().fix) == ("warn", doctor.INSTALL)
    install.install(scripts, sys.executable)
    assert said().status == "ok"
    settings = install.data_folder(scripts) / install.SETTINGS
    settings.write_text(json.dumps({"python": "/nowhere/python"}))
    assert (said().status, "cannot run HarmoVid" in said().detail) == ("fail", True)
    (scripts / "Utility" / "HarmoVid.py").unlink()
    assert "is gone" in said().detail


def test_the_free_edition_from_21_1_lists_no_door(tmp_path: Path) -> None:
    """There the menu does not show it: nothing the plugin could say, the page has to."""
    install.install(tmp_path / "Scripts", sys.executable)
    with pytest.raises(LookupError):
        Host(version=(21, 1), studio=False, folder=tmp_path).run_menu_script(
            tmp_path / "Scripts/Utility/HarmoVid.py"
        )


def test_from_the_menu_to_a_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The installed door, a user at the panel, the real client process and a real server: the clip gets a take."""
    film, scripts = Film(tmp_path / "film"), tmp_path / "Fusion" / "Scripts"
    (tmp_path / "film").mkdir(exist_ok=True)
    install.install(scripts, sys.executable)
    user, out = film.host.user, tmp_path / "out"
    with RunningServer(tmp_path_factory.mktemp("server"), "--codecs", "1", echo=False) as server:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("HARMOVID_SERVER", server.endpoint)
        user.waits_for(lambda: user.find("line").values_["Text"].startswith("Ready"))
        film.host.requested_folder = str(out)
        user.does(lambda: user.type("luma", "0.9"))
        user.does(lambda: user.find("tabs").set_index_(PAGES.index("Output")))
        user.does(lambda: user.click("folder_browse"))
        user.does(lambda: user.type("colour_space", "ACEScg"))
        user.does(lambda: user.find("tabs").set_index_(0))
        user.does(lambda: user.click("start"))
        user.waits_for(lambda: "clips are back" in user.find("line").values_["Text"])
        user.does(lambda: user.find("tabs").set_index_(PAGES.index("History")))
        user.waits_for(lambda: user.find("stills").values_["Enabled"])
        user.does(lambda: user.click("stills"))
        user.waits_for(lambda: "before." in user.find("line").values_["Text"])
        user.does(lambda: [user.close(window.values_["ID"]) for window in user.windows if window.shown_])
        film.host.run_menu_script(scripts / "Utility" / "HarmoVid.py")

    assert film.host.violations == []
    assert len(film.item.takes) == 2
    (version,) = out.glob("*/v001")
    assert len(list(version.glob("*_v001.*.exr"))) == 6
    assert len(list(version.glob("*.png"))) == 2
