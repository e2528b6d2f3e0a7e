"""`harmovid` as its users use it: real engines, real EXRs, a private server or one with keys."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.running import RunningServer
from harmovid.cli import main
from harmovid.pixels import exr

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux"),
    pytest.mark.usefixtures("own_settings"),
]
FRAMES = range(1001, 1007)
DISPLAY = (0, 0, 48, 32)


def write_frame(path: Path, red: float, green: float, blue: float, alpha: float | None = None) -> None:
    """Write one frame with overscan, a gentle texture, a highlight, an id channel and, if wanted, an alpha."""
    window = (-4, -2, 52, 34)
    rng = np.random.default_rng(7)
    texture = rng.uniform(0.6, 1.4, (36, 56)).astype(np.float32)
    texture[10:14, 10:14] = 20.0
    channels: dict[str, Any] = {
        name: (texture * value).astype(np.float16) for name, value in zip("RGB", (red, green, blue))
    }
    channels["id"] = rng.integers(0, 2**32, texture.shape, dtype=np.uint32)
    if alpha is not None:
        channels["A"] = np.zeros(texture.shape, np.float16)
        channels["A"][8:28, 12:44] = alpha
        for name in "RGB":
            channels[name] = channels[name] * (channels["A"] > 0)
    exr.write(exr.make_frame(exr.PartHeader.make(window, DISPLAY), channels), path)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a flickering plate, a warm dim foreground with alpha, and a cool background."""
    folder = tmp_path_factory.mktemp("shot")
    for name in ("plate", "fg", "bg"):
        (folder / name).mkdir()
    for frame in FRAMES:
        level = 0.18 * (1.25 if frame % 2 else 0.8)
        write_frame(folder / "plate" / f"plate.{frame}.exr", level, level, level)
        write_frame(folder / "fg" / f"fg.{frame}.exr", 0.10, 0.06, 0.04, alpha=1.0)
        write_frame(folder / "bg" / f"bg.{frame}.exr", 0.30, 0.36, 0.45)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yield a real server with the real engines, which may read the shot from its own root as well."""
    with RunningServer(tmp_path_factory.mktemp("server"), "--codecs", "2", echo=False) as running:
        yield running


def harmovid(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON answer of a command line."""
    code = main([*(str(word) for word in words), "--json"])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return code, json.loads(printed.out)


def level(path: Path) -> float:
    """Return the mean of a frame's green, the highlight left out."""
    green = exr.read(path).parts[0].channels["G"].astype(np.float64)
    return float(np.median(green))


def flicker(folder: Path, name: str) -> float:
    """Return the mean change from frame to frame, in stops."""
    stops = np.log2([level(folder / f"{name}.{frame}.exr") for frame in FRAMES])
    return float(np.abs(np.diff(stops)).mean())


def test_deflicker_with_a_private_server(
    shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --server the plate's flicker is gone, windows and ids are as they were, and no server is left."""
    code, answer = harmovid(
        capsys, "deflicker", shot / "plate", "-o", tmp_path / "out", "--report", tmp_path / "r"
    )

    assert (code, answer["state"]) == (0, "DONE")
    assert flicker(tmp_path / "out", "plate") < 0.2 * flicker(shot / "plate", "plate")
    before, after = (exr.read(folder / "plate.1003.exr") for folder in (shot / "plate", tmp_path / "out"))
    assert after.data_window == before.data_window
    assert after.parts[0].channels["id"].tobytes() == before.parts[0].channels["id"].tobytes()
    assert after.parts[0].channels["R"].dtype == np.float16
    assert set(json.loads((tmp_path / "r").read_text())["reports"]) == {str(frame) for frame in FRAMES}


def test_amount_0_gives_the_plate_back(
    server: RunningServer, shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--amount 0 returns every pixel bit for bit."""
    line = ("deflicker", shot / "plate", "-o", tmp_path, "--amount", 0, "--server", server.endpoint)
    assert harmovid(capsys, *line)[0] == 0

    for frame in FRAMES:
        before, after = (exr.read(folder / f"plate.{frame}.exr") for folder in (shot / "plate", tmp_path))
        for name, plane in before.parts[0].channels.items():
            assert after.parts[0].channels[name].tobytes() == plane.tobytes()


def test_harmonize_moves_the_foreground_and_leaves_its_alpha(
    server: RunningServer, shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The foreground comes back brighter towards its background, alpha and transparent pixels untouched."""
    line = ("harmonize", shot / "fg", shot / "bg", "-o", tmp_path, "--field", "--server", server.endpoint)
    code, answer = harmovid(capsys, *line, "--engine", "harmonize-statistics", "--exposure", 0.8)

    assert (code, answer["frames"]["written"]) == (0, len(FRAMES))
    before, after = (exr.read(folder / "fg.1004.exr").parts[0].channels for folder in (shot / "fg", tmp_path))
    inside = before["A"] > 0
    assert after["A"].tobytes() == before["A"].tobytes()
    assert after["R"][~inside].tobytes() == before["R"][~inside].tobytes()
    assert after["G"][inside].astype(float).mean() > 1.2 * before["G"][inside].astype(float).mean()
    assert {"harmovid.R", "harmovid.G", "harmovid.B"} <= set(after)


def test_a_measure_mask_says_which_part_of_the_background_counts(
    server: RunningServer, shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it as without a mask; none of it leaves the foreground alone; an engine without the layer says so."""
    window = (-4, -2, 52, 34)
    for name, white in (("all", 1.0), ("none", 0.0)):
        plane = np.full((36, 56), white, np.float16)
        exr.write(
            exr.make_frame(exr.PartHeader.make(window, DISPLAY), {"Y": plane}), tmp_path / f"{name}.exr"
        )
    line = ("harmonize", shot / "fg", shot / "bg", "--server", server.endpoint)
    reds = {}
    for name in ("", "all", "none"):
        mask = ("--measure-mask", tmp_path / f"{name}.exr") if name else ()
        assert harmovid(capsys, *line, "-o", tmp_path / f"out-{name}", *mask)[0] == 0
        reds[name] = exr.read(tmp_path / f"out-{name}" / "fg.1003.exr").parts[0].channels["R"]
    untouched = exr.read(shot / "fg" / "fg.1003.exr").parts[0].channels["R"]
    assert reds["none"].tobytes() == untouched.tobytes()
    assert reds["all"].tobytes() == reds[""].tobytes() != untouched.tobytes()

    mask = ("--measure-mask", tmp_path / "all.exr", "--engine", "harmonize-statistics")
    code, answer = harmovid(capsys, *line, "-o", tmp_path / "refused", *mask)
    assert code == 2
    assert "--measure-mask" in answer["error"]["message"]


def test_a_composite_keeps_the_background_bit_for_bit(
    server: RunningServer, shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--output comp puts the foreground over the background, whose own pixels stay as they are."""
    line = ("harmonize", shot / "fg", shot / "bg", "-o", tmp_path / "comp.####.exr", "--output", "comp")
    assert harmovid(capsys, *line, "--server", server.endpoint)[0] == 0

    alpha = exr.read(shot / "fg" / "fg.1001.exr").parts[0].channels["A"]
    below = exr.read(shot / "bg" / "bg.1001.exr").parts[0].channels["R"]
    comp = exr.read(tmp_path / "comp.1001.exr").parts[0].channels["R"]
    assert comp[alpha == 0].tobytes() == below[alpha == 0].tobytes()
    assert (comp[alpha > 0] != below[alpha > 0]).any()


def test_bad_frames_fail_alone_with_real_engines(
    server: RunningServer, shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gap, a truncated file and a file of another size are three frame errors; the rest is written."""
    (tmp_path / "in").mkdir()
    for frame in FRAMES:
        (tmp_path / "in" / f"plate.{frame}.exr").write_bytes(
            (shot / "plate" / f"plate.{frame}.exr").read_bytes()
        )
    (tmp_path / "in" / "plate.1002.exr").unlink()
    whole = (tmp_path / "in" / "plate.1003.exr").read_bytes()
    (tmp_path / "in" / "plate.1003.exr").write_bytes(whole[: len(whole) // 2])
    small = {name: np.ones((4, 4), np.float16) for name in "RGB"}
    exr.write(exr.make_frame(exr.PartHeader.make((0, 0, 4, 4)), small), tmp_path / "in" / "plate.1005.exr")

    line = ("deflicker", tmp_path / "in", "-o", tmp_path / "out", "--frames", "1001-1006")
    code, answer = harmovid(capsys, *line, "--server", server.endpoint)

    assert code == 3
    assert [(error["frame"], error["code"]) for error in answer["failed"]] == [
        (1002, "frame_missing"),
        (1003, "frame_unreadable"),
        (1005, "frame_mismatch"),
    ]
    assert all(error["fix"] for error in answer["failed"])
    assert sorted(path.name for path in (tmp_path / "out").glob("*.exr")) == [
        f"plate.{frame}.exr" for frame in (1001, 1004, 1006)
    ]
    checked = harmovid(capsys, "check", *line, "--overwrite", "--server", server.endpoint)[1]
    assert [(p["frame"], p["code"]) for p in checked["problems"]] == [
        (error["frame"], error["code"]) for error in answer["failed"]
    ]


def test_nan_pixels_are_told_at_the_end(
    server: RunningServer, shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """NaN in a frame is counted, reported with the frame, and still there in the result."""
    (tmp_path / "in").mkdir()
    for frame in FRAMES:
        (tmp_path / "in" / f"plate.{frame}.exr").write_bytes(
            (shot / "plate" / f"plate.{frame}.exr").read_bytes()
        )
    broken = exr.read(tmp_path / "in" / "plate.1004.exr")
    red = broken.parts[0].channels["R"].copy()
    red[5, 5] = np.nan
    exr.write(exr.with_channels(broken, {"R": red})[0], tmp_path / "in" / "plate.1004.exr")

    line = ("deflicker", tmp_path / "in", "-o", tmp_path / "out", "--server", server.endpoint)
    code, answer = harmovid(capsys, *line)

    assert code == 0
    assert any("NaN" in text and "1004" in text for text in answer["warnings"])
    assert np.isnan(exr.read(tmp_path / "out" / "plate.1004.exr").parts[0].channels["R"][5, 5])


def test_an_unknown_colour_space_fails_the_job_with_near_names(
    server: RunningServer, shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A colour space that the server's configuration does not know ends with an error that names it."""
    line = (
        "deflicker",
        shot / "plate",
        "-o",
        tmp_path,
        "--colorspace",
        "sRGB Txture",
        "--server",
        server.endpoint,
    )
    code, answer = harmovid(capsys, *line)

    assert code != 0
    told = [answer["error"]] if "error" in answer else answer["failed"]
    assert all("sRGB Txture" in error["message"] for error in told)
    assert list(tmp_path.glob("**/*.journal")) == []


def test_shared_storage_is_read_by_the_server(
    shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --map the plate is not sent: the server reads it from its own root, and the result is the same."""
    with RunningServer(tmp_path / "server", "--codecs", "1", "--root", f"show={shot}", echo=False) as server:
        line = ("deflicker", shot / "plate", "--server", server.endpoint)
        assert harmovid(capsys, *line, "-o", tmp_path / "sent")[0] == 0
        assert harmovid(capsys, *line, "-o", tmp_path / "read", "--map", f"{shot}=show")[0] == 0

    for frame in FRAMES:
        name = f"plate.{frame}.exr"
        assert (tmp_path / "read" / name).read_bytes() == (tmp_path / "sent" / name).read_bytes()


def test_keys_from_first_to_last(shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys made by the CLI let a client in; an unknown key, no key at all, and a removed client are exit code 5."""
    keys = tmp_path / "config" / "harmovid" / "keys"
    for words in (["new", "farm"], ["new", "anna"], ["new", "eve"], ["authorize", keys / "anna.public"]):
        assert harmovid(capsys, "keys", *words)[0] == 0
    for name in ("anna", "eve"):
        assert harmovid(capsys, "keys", "trust", name, keys / "farm.public")[0] == 0
    flags = ("--server-key", str(keys / "farm.secret"), "--authorized-keys", str(keys / "authorized_keys"))
    with RunningServer(tmp_path / "server", *flags, "--codecs", "1", echo=False) as server:
        line = ("deflicker", shot / "plate", "--engine", "null", "--server", server.endpoint)

        assert harmovid(capsys, *line, "-o", tmp_path / "a", "--key", "anna")[0] == 0
        assert harmovid(capsys, *line, "-o", tmp_path / "b", "--key", keys / "eve.secret")[0] == 5
        assert harmovid(capsys, *line, "-o", tmp_path / "b")[0] == 5
        assert not (tmp_path / "b").exists()
        assert harmovid(capsys, "doctor", "--server", server.endpoint, "--key", "anna")[0] == 0


def test_a_private_server_keeps_out_of_the_way_of_the_machines_own(
    shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ports that the environment sets for this machine's own server, and that are taken, do not matter."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for name in ("HARMOVID_PORT", "HARMOVID_DATA_PORT"):
            monkeypatch.setenv(name, str(taken.getsockname()[1]))

        line = (
            "deflicker",
            shot / "plate",
            "--engine",
            "null",
            "-o",
            tmp_path / "out",
            "--frames",
            "1001-1002",
        )
        assert harmovid(capsys, *line)[0] == 0


def test_the_light_client_says_what_it_lacks(shot: Path, tmp_path: Path) -> None:
    """Where numpy is not installed a job without --server is exit code 2 and says what to install."""
    code = (
        "import sys\nsys.modules['numpy'] = None\nfrom harmovid.cli import main\n"
        f"sys.exit(main(['deflicker', {str(shot / 'plate')!r}, '-o', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)

    assert done.returncode == 2
    assert "numpy" in done.stderr
    assert "--server" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_refuses_to_be_open_to_the_world_without_keys() -> None:
    """`harmovid serve --bind 0.0.0.0` without keys is exit code 2 and says how to make keys."""
    command = [sys.executable, "-m", "harmovid.cli", "serve", "--bind", "0.0.0.0", "--port", "0"]  # noqa: S104 (it must refuse)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert done.returncode == 2
    assert "harmovid keys" in done.stderr


def test_names_of_any_bytes_and_length_go_through(
    shot: Path, server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Latin-1 names and names of 255 bytes: check and run end with 0, with every switch that writes a file."""
    for stem in (os.fsdecode(b"pl\xe9te."), "n" * 246 + "."):
        folder = tmp_path / str(len(stem))
        folder.mkdir()
        for frame in FRAMES:
            (folder / f"{stem}{frame}.exr").symlink_to(shot / "plate" / f"plate.{frame}.exr")
        words = ["deflicker", folder / f"{stem}####.exr", "-o", folder / "out", "--server", server.endpoint]
        assert harmovid(capsys, "check", *words)[0] == 0
        code, answer = harmovid(
            capsys, *words, "--report", folder / os.fsdecode(b"r\xe9.json"), "--diagnostics", folder / "look"
        )
        assert code == 0, answer
        assert answer["frames"]["written"] == len(FRAMES)
        assert sorted(os.listdir(folder / "out")) == [f"{stem}{frame}.exr" for frame in FRAMES]
        # A frame without a file is reported over the wire, with its name in the message.
        code, answer = harmovid(capsys, *words, "--overwrite", "--frames", "1001-1007")
        assert (code, [failed["frame"] for failed in answer["failed"]]) == (3, [1007])


def test_both_eyes_come_back_steady(
    shot: Path, server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stereo file is measured on its default view; the other gets the same correction, and a warning says so."""
    for frame in FRAMES:
        eye = exr.read(shot / "plate" / f"plate.{frame}.exr")
        eyes = [
            exr.with_attributes(eye, {k: exr.Attribute.of("string", view) for k in ("name", "view")}).parts[0]
            for view in ("left", "right")
        ]
        exr.write(exr.ExrFrame(tuple(eyes)), tmp_path / f"s.{frame}.exr")
    words = ["deflicker", tmp_path / "s.####.exr", "-o", tmp_path / "out", "--server", server.endpoint]
    code, answer = harmovid(capsys, *words)
    assert code == 0
    assert any("the view right gets the same correction" in line for line in answer["warnings"])
    for frame in FRAMES:
        left, right = exr.read(tmp_path / "out" / f"s.{frame}.exr").parts
        assert left.channels["G"].tobytes() == right.channels["G"].tobytes()
    assert flicker(tmp_path / "out", "s") < 0.1 * flicker(shot / "plate", "plate")


def test_the_channel_of_a_matte_can_be_named(
    shot: Path, server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--mask-channel takes the named channel; a matte that is white everywhere in all frames is a warning."""
    matte = {name: np.zeros((32, 48), np.float16) for name in "RGB"}
    matte["G"][:, :24] = 1
    matte["A"] = np.ones((32, 48), np.float16)
    exr.write(exr.make_frame(exr.PartHeader.make(DISPLAY), matte), tmp_path / "m.exr")
    words = ["deflicker", shot / "plate", "--mask", tmp_path / "m.exr", "--server", server.endpoint]
    for channel, colour in (("A", "white"), ("B", "black"), ("G", "")):
        code, answer = harmovid(capsys, *words, "-o", tmp_path / channel, "--mask-channel", f"mask={channel}")
        assert code == 0
        told = [line for line in answer["warnings"] if "everywhere in all frames" in line]
        assert told == ([] if not colour else told)
        assert not colour or told[0].startswith(f"mask is {colour} everywhere")
    before, after = (exr.read(f / "plate.1002.exr").channels["G"] for f in (shot / "plate", tmp_path / "G"))
    assert after[:, 28:].tobytes() == before[:, 28:].tobytes()
    assert after[:, :28].tobytes() != before[:, :28].tobytes()
