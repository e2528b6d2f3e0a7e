"""Run the commands of docs/deploy.md, block by block, where there is no network but loopback.

    python deploy/try_page.py                                   # blocks marked run and dev, in a temporary folder
    python deploy/try_page.py --root ROOT --wheels WHEELHOUSE   # those marked run and root, in a bare root (as root)

A block is a fence ```sh MARK [serve=PORT]. Without `--root` the page's folders (/etc/harmovid and the like) are ones in
a temporary folder, /opt/harmovid is the environment of this Python, and the user harmovid is whoever runs this.
`serve=PORT` leaves a program running, waits until its port answers, and stops it with SIGTERM at the end: it has to end
with 0. Every other block has to end with 0 by itself. Needs util-linux (unshare).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "docs" / "deploy.md"
FENCE = re.compile(r"^```sh ([a-z-]+)(?: serve=(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKS = ("run", "root", "dev", "by-hand")
FOLDERS = ("/opt/harmovid", "/etc/harmovid", "/var/lib/harmovid", "/srv/harmovid")
START_S, STOP_S = 180.0, 120.0
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


@dataclass(frozen=True)
class Block:
    """One fence of the page: its line, its mark, the port that it serves (0: none), and its text."""

    line: int
    mark: str
    port: int
    text: str


def blocks(page: str) -> list[Block]:
    """Return the page's blocks in order; raise ValueError for a shell fence without a mark that is known."""
    found = [
        Block(page.count("\n", 0, match.start()) + 2, match[1], int(match[2] or 0), match[3])
        for match in FENCE.finditer(page)
    ]
    fences = len(re.findall(r"^```sh", page, re.MULTILINE))
    if fences != len(found) or any(block.mark not in MARKS for block in found):
        raise ValueError(f"{fences} shell fences, {len(found)} with a mark; marks are {', '.join(MARKS)}")
    return found


def isolated(words: Sequence[str]) -> list[str]:
    """Return the command that runs `words` where only loopback exists, and nothing of it stays behind."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own, "--net", "--mount", "--pid", "--fork", "--kill-child", *words]


def raise_loopback() -> None:
    """Bring up the loopback of a new network namespace (netdevice(7), SIOCSIFFLAGS)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


class Runner:
    """Runs blocks in a root or in a temporary folder that stands for one."""

    def __init__(self, folder: Path, chroot: bool) -> None:
        self._folder, self._chroot = folder, chroot
        self._serving: list[tuple[Block, subprocess.Popen[bytes]]] = []

    def prepare(self, wheels: Path | None) -> None:
        """Put what the page takes for granted: a shot, a packed bundle, wheels."""
        srv = self._folder / "srv" / "harmovid"
        for name in ("etc/harmovid", "var/lib/harmovid", "srv/harmovid", "work"):
            if not self._chroot or name.startswith(("srv", "work")):
                (self._folder / name).mkdir(parents=True, exist_ok=True)
        write_shot(srv / "show")
        pack_bundle(srv)
        if wheels is not None:
            shutil.copytree(wheels, srv / "wheelhouse", dirs_exist_ok=True)
        if not self._chroot:
            (self._folder / "opt" / "harmovid").mkdir(parents=True)
            (self._folder / "opt" / "harmovid" / "bin").symlink_to(Path(sys.executable).parent)

    def run(self, block: Block) -> None:
        """Run a block; raise RuntimeError where it fails."""
        process = subprocess.Popen(
            ["/bin/bash", "-euo", "pipefail", "-c", self._placed(block.text)],
            env=self._environment(), cwd=None if self._chroot else REPO, stdin=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=self._enter if self._chroot else None,  # noqa: PLW1509
        )  # fmt: skip
        if block.port:
            self._serving.append((block, process))
            self._wait_for(block, process)
        elif process.wait() != 0:
            raise RuntimeError(f"line {block.line}: exit code {process.returncode}")

    def stop(self) -> None:
        """End what was left running, the last first; raise RuntimeError where it does not end with 0."""
        wrong = []
        while self._serving:
            block, process = self._serving.pop()
            os.killpg(process.pid, signal.SIGTERM)
            try:
                code = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
            if code:
                wrong.append(f"line {block.line}: exit code {code} after SIGTERM")
        if wrong:
            raise RuntimeError("; ".join(wrong))

    def _enter(self) -> None:
        os.chroot(self._folder)
        os.chdir("/work")

    def _placed(self, text: str) -> str:
        """Return the text with the page's folders where they are here, and a served program as the shell itself."""
        if self._chroot:
            return text
        text = text.replace(
            "setpriv --reuid harmovid --regid harmovid --clear-groups env HOME=/var/lib/harmovid ", ""
        )
        for name in FOLDERS:
            text = re.sub(rf"{name}(?=[/\s\"']|$)", str(self._folder) + name, text, flags=re.MULTILINE)
        return text.replace("-C / etc/harmovid", f"-C {self._folder} etc/harmovid")

    def _environment(self) -> dict[str, str]:
        home = "/work" if self._chroot else str(self._folder / "work")
        own = "" if self._chroot else f"{Path(sys.executable).parent}:"
        kept = {} if self._chroot else {n: os.environ[n] for n in ("NUMBA_CACHE_DIR",) if n in os.environ}
        return {
            **kept,
            "HOME": home,
            "PATH": f"{own}/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
        }

    def _wait_for(self, block: Block, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if process.poll() is not None:
                raise RuntimeError(f"line {block.line}: ended with {process.returncode} before it answered")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", block.port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"line {block.line}: port {block.port} did not answer in {START_S:.0f} s")


def write_shot(folder: Path) -> None:
    """Write a short plate that flickers."""
    import numpy as np
    from harmovid.pixels import exr

    folder.mkdir(parents=True, exist_ok=True)
    window = (0, 0, 96, 54)
    texture = np.linspace(0.5, 1.5, 96 * 54, dtype=np.float32).reshape(54, 96)
    for frame in range(1001, 1007):
        channels = {c: (texture * (0.2 if frame % 2 else 0.15)).astype(np.float16) for c in "RGB"}
        exr.write(
            exr.make_frame(exr.PartHeader.make(window, window), channels), folder / f"plate.{frame}.exr"
        )


def pack_bundle(folder: Path) -> None:
    """Pack the bundle that ships with the package as harmonize-2.tar."""
    from harmovid_export.pack import pack
    from harmovid_server.engines.harmonize.network import FOLDER

    packed = pack(FOLDER, folder)
    packed.replace(folder / "harmonize-2.tar")


def inside(root: Path | None, wheels: Path | None) -> int:
    """Run the page's blocks here, which is a namespace of its own."""
    raise_loopback()
    if root is not None:
        for kind, place in (("proc", "proc"), ("tmpfs", "tmp"), ("tmpfs", "dev/shm")):
            (root / place).mkdir(parents=True, exist_ok=True)
            subprocess.run(["/bin/mount", "-t", kind, kind, str(root / place)], check=True)
    marks = ("run", "root") if root else ("run", "dev")
    with tempfile.TemporaryDirectory() as name:
        runner = Runner(root or Path(name), root is not None)
        runner.prepare(wheels)
        count = 0
        try:
            for block in blocks(PAGE.read_text(encoding="utf-8")):
                first = block.text.splitlines()[0]
                if block.mark in marks:
                    print(f"== line {block.line}: {first}", flush=True)
                    runner.run(block)
                    count += 1
                else:
                    print(f"-- line {block.line}, {block.mark}: {first}", flush=True)
            runner.stop()
        except RuntimeError as error:
            print(f"FAILED {error}", flush=True)
            with contextlib.suppress(RuntimeError):
                runner.stop()
            return 1
    print(f"{count} blocks have run", flush=True)
    return 0


def main(words: list[str]) -> int:
    """Run the page in a namespace of its own; return 0 where every block did."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, metavar="ROOT", help="a bare root with Python, venv, curl and openssl"
    )
    parser.add_argument("--wheels", type=Path, metavar="WHEELHOUSE", help="the folder of wheels, for --root")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.inside:
        return inside(args.root, args.wheels)
    return subprocess.run(isolated([sys.executable, __file__, "--inside", *words]), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
