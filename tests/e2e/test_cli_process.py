"""`harmovid` as a process against a real server process: start-up, Ctrl-C, kill -9, resume, terminals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from core.tiny_exr import tiny_exr
from fakes.running import RunningServer
from harmovid.cli import main

HARMOVID = [sys.executable, "-m", "harmovid.cli"]
STUCK_S = 12.0  # less than the client waits for an answer to CANCEL
FRAMES = 40
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yield a real server whose engine returns frames unchanged, after a delay that is an option."""
    with RunningServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Return a plate of `FRAMES` frames."""
    (tmp_path / "in").mkdir()
    for frame in range(1, FRAMES + 1):
        (tmp_path / "in" / f"p.{frame:04d}.exr").write_bytes(tiny_exr(value=frame / 2048))
    return tmp_path / "in" / "p.####.exr"


def line(plate: Path, server: RunningServer, *words: str) -> list[str]:
    """Return the command that deflickers `plate` into `out` beside it."""
    out = plate.parents[1] / "out"
    return [
        *HARMOVID,
        "deflicker",
        str(plate),
        "-o",
        str(out),
        "--engine",
        "echo",
        "--server",
        server.endpoint,
        *words,
    ]


def written(plate: Path) -> set[str]:
    """Return the names of the results that are there."""
    out = plate.parents[1] / "out"
    return {path.name for path in out.glob("p.*.exr")} if out.is_dir() else set()


def wait_for_results(plate: Path, count: int) -> None:
    """Wait until at least `count` results are there."""
    deadline = time.monotonic() + 300
    while len(written(plate)) < count:
        assert time.monotonic() < deadline, "no results"
        time.sleep(0.02)


def test_help_loads_next_to_nothing() -> None:
    """--help is fast: it imports no large library and does not search installed packages."""
    code = (
        "import sys\nfrom harmovid.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "slow = ('numpy', 'zmq', 'tqdm', 'msgpack', 'importlib.metadata', 'harmovid.client')\n"
        "print([name for name in slow if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


def test_ctrl_c_cancels_on_the_server_and_keeps_what_is_there(server: RunningServer, plate: Path) -> None:
    """The first Ctrl-C ends with 130 and cancels on the server; the same command line resumes later."""
    command = subprocess.Popen(
        line(plate, server, "--delay-s", "0.1", "--json"), stdout=-1, stderr=-1, text=True
    )
    wait_for_results(plate, 3)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=300)

    answer = json.loads(out)
    kept = written(plate)
    assert (command.returncode, answer["exit"], answer["error"]["code"]) == (130, 130, "cancelled")
    assert "cancelling" in err
    assert 3 <= len(kept) < FRAMES
    status = subprocess.run(
        [*HARMOVID, "status", answer["job"], "--server", server.endpoint, "--json"],
        capture_output=True,
        check=True,
    )
    assert json.loads(status.stdout)["jobs"][0]["state"] == "CANCELLED"

    again = subprocess.run(line(plate, server, "--delay-s", "0.1", "--json"), capture_output=True, text=True)
    assert again.returncode == 0, again.stdout
    assert json.loads(again.stdout)["frames"] == {
        "total": FRAMES, "written": FRAMES - len(kept), "resumed": len(kept),
    }  # fmt: skip


def test_a_second_ctrl_c_leaves_at_once(server: RunningServer, plate: Path) -> None:
    """While the server is stuck and cannot cancel, a second Ctrl-C ends the process without it."""
    command = subprocess.Popen(line(plate, server, "--delay-s", "0.1"), stderr=subprocess.PIPE, text=True)
    assert command.stderr is not None
    with command.stderr as said:
        wait_for_results(plate, 1)
        main_process = server.pids()[0]
        os.kill(main_process, signal.SIGSTOP)
        try:
            command.send_signal(signal.SIGINT)
            assert any("cancelling" in text for text in said)
            command.send_signal(signal.SIGINT)
            assert command.wait(STUCK_S) == 130
        finally:
            os.kill(main_process, signal.SIGCONT)


@pytest.mark.fault
def test_a_killed_client_is_resumed_without_losing_or_doubling_a_frame(
    server: RunningServer, plate: Path
) -> None:
    """After kill -9 the same command line keeps every whole result and does the rest, nothing else."""
    command = subprocess.Popen(line(plate, server, "--delay-s", "0.1", "-q"))
    wait_for_results(plate, 5)
    command.kill()
    command.wait()
    kept = {name: (plate.parents[1] / "out" / name).stat().st_mtime_ns for name in written(plate)}

    again = subprocess.run(line(plate, server, "--delay-s", "0.1", "--json"), capture_output=True, text=True)

    assert again.returncode == 0, again.stdout
    answer = json.loads(again.stdout)
    # The last result may have been renamed into place but not yet journalled; it is then simply done again.
    assert len(kept) - 1 <= answer["frames"]["resumed"] <= len(kept)
    out = plate.parents[1] / "out"
    assert sorted(path.name for path in out.iterdir()) == [f"p.{n:04d}.exr" for n in range(1, FRAMES + 1)]
    assert all(
        (out / f"p.{n:04d}.exr").read_bytes() == tiny_exr(value=n / 2048) for n in range(1, FRAMES + 1)
    )
    same = [name for name, stamp in kept.items() if (out / name).stat().st_mtime_ns == stamp]
    assert len(same) >= len(kept) - 1


def test_two_runs_of_one_command_do_not_write_the_same_files(server: RunningServer, plate: Path) -> None:
    """While a run is at work, the same command line is refused with exit code 6."""
    command = subprocess.Popen(line(plate, server, "--delay-s", "0.2", "-q"))
    wait_for_results(plate, 1)
    # It keeps its lock while it is suspended, and cannot end before the second one has started.
    command.send_signal(signal.SIGSTOP)
    second = subprocess.run(line(plate, server, "--delay-s", "0.2"), capture_output=True, text=True)
    command.send_signal(signal.SIGCONT)

    command.send_signal(signal.SIGINT)
    assert command.wait(300) == 130
    assert second.returncode == 6
    assert "another run of the same job" in second.stderr


def test_one_failing_frame_is_told_and_the_others_are_written(server: RunningServer, plate: Path) -> None:
    """A frame that fails on the server is exit code 3 with its number; its neighbours are there."""
    done = subprocess.run(line(plate, server, "--fail-at", "7"), capture_output=True, text=True)

    assert done.returncode == 3
    assert "failed: frame 7: " in done.stderr
    assert len(written(plate)) == FRAMES - 1


def test_a_terminal_shows_a_bar_even_when_it_claims_no_width(server: RunningServer, plate: Path) -> None:
    """On a pseudo-terminal without a size the bar shows frames, rate and state."""
    master, slave = pty.openpty()
    command = subprocess.Popen(line(plate, server, "--delay-s", "0.02"), stderr=slave, stdout=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other end is closed: the command is done
            break
        shown += piece
    os.close(master)

    assert command.wait() == 0
    text = shown.decode()
    assert f"{FRAMES}/{FRAMES}" in text
    assert "computing" in text
    assert "frame/s" in text


def test_an_engine_option_out_of_range_is_reported_before_anything_is_sent(
    server: RunningServer, plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine's own range decides, and the message names option and range."""
    words = line(plate, server, "--delay-s", "99")[len(HARMOVID) :]

    assert main(words) == 2
    assert "delay_s is 99.0" in capsys.readouterr().err
    assert written(plate) == set()


def test_help_of_a_job_asks_the_server_for_its_options(server: RunningServer) -> None:
    """`deflicker --engine echo --server ... --help` lists that engine's options and names the server they come from."""
    words = [*HARMOVID, "deflicker", "--engine", "echo", "--server", server.endpoint, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    text = " ".join(done.stdout.split())
    assert "--delay-s FLOAT" in text
    assert f"Engine echo 1, described by {server.endpoint}" in text


def surroundings(**changes: str) -> dict[str, str]:
    """Return our environment without what would have Python write each piece of output at once."""
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}, **changes}


@pytest.mark.parametrize(
    "environment", [surroundings(), surroundings(PYTHONUNBUFFERED="1")], ids=["held", "at once"]
)
@pytest.mark.parametrize("words", [["engines"], ["engines", "--json"]])
def test_output_that_nobody_reads_any_more_is_no_fault(
    server: RunningServer, words: list[str], environment: dict[str, str]
) -> None:
    """`harmovid engines | head -1` ends without an interpreter message, whenever the pipe is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*HARMOVID, *words, "--server", server.endpoint]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["deflicker", "--help"], ["serve", "--help"]])
def test_help_that_nobody_reads_is_no_fault(words: list[str]) -> None:
    """Output of argparse itself ends without a message as well."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*HARMOVID, *words], stdout=writer, stderr=subprocess.PIPE, text=True, env=surroundings()
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("words", [["--help"], ["keys", "list"], ["keys", "list", "--json"]])
def test_output_onto_a_full_disk_is_an_error_in_words(words: list[str]) -> None:
    """Output that cannot be written ends with exit code 6 and one sentence, without a traceback."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*HARMOVID, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=surroundings()
        )

    assert done.returncode == 6
    assert done.stderr.startswith("error: the output cannot be written: No space left on device.")
    assert "Exception ignored" not in done.stderr


def test_errors_that_nobody_reads_are_no_fault() -> None:
    """A command whose stderr is closed at its other end ends with an exit code, too."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*HARMOVID, "nonsense"], stdout=subprocess.PIPE, stderr=writer, env=surroundings())
    os.close(writer)

    assert (done.returncode, done.stdout) == (1, b"")
