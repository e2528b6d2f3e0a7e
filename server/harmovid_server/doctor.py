"""The checks of `harmovid doctor` for a server: pixel libraries, GPU, engines, ports, disk.

`harmovid doctor` finds them by the entry point group `harmovid.doctor`. If `harmovid[server]` is not installed, one
line says so, and the other checks are skipped.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Iterator, List

from harmovid.cli.console import human_bytes
from harmovid.doctor import FAIL, OK, WARN, Check, Finding, package, version_of, writable
from harmovid.errors import HarmoVidError
from harmovid.settings import Settings

from harmovid_server import config as server_config

FIX_SERVER = f"{sys.executable} -m pip install 'harmovid[server]'"
SERVER_PACKAGES = (
    ("numpy", "numpy"),
    ("OpenEXR", "OpenEXR"),
    ("OpenImageIO", "OpenImageIO"),
    ("opencv-python-headless", "cv2"),
    ("numba", "numba"),
)
# Time limit for nvidia-smi; it hangs if a driver is broken.
NVIDIA_SMI_S = 10.0


def _installed() -> bool:
    return bool(version_of("numpy"))


def server_packages(_: Settings) -> Iterator[Finding]:
    """Yield the server's packages; without them, that this machine can only use other servers."""
    if not _installed():
        yield Finding(
            "server part", WARN, "not installed: jobs need --server",
            f"To compute on this machine: {FIX_SERVER}",
        )  # fmt: skip
        return
    if sys.platform != "linux":
        yield Finding(
            "server part", WARN, f"runs on Linux, this is {sys.platform}", "Use --server with a Linux server."
        )
    for distribution, module in SERVER_PACKAGES:
        # Several distributions of OpenCV have the same module; the plain one works as well.
        name = next(
            (n for n in (distribution, distribution.replace("-headless", "")) if version_of(n)), distribution
        )
        yield package(name, module, FIX_SERVER)


def colour(_: Settings) -> Iterator[Finding]:
    """Yield whether the OpenColorIO configuration in force can be read."""
    if not _installed():
        return
    from harmovid.pixels.colour import ocio

    try:
        config = ocio.load_config()
    except HarmoVidError as error:
        yield Finding("OpenColorIO", FAIL, error.message, error.fix)
        return
    yield Finding("OpenColorIO", OK, f"{config.source}, {len(config.names)} colour spaces")


def gpu(_: Settings) -> Iterator[Finding]:
    """Yield the GPUs and what ONNX Runtime can use; the engines that ship also run without a GPU."""
    if not _installed():
        return
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield Finding("GPU", OK, "no NVIDIA driver; engines that need none run on the CPU")
    else:
        yield _cards(tool)
    if not find_spec("onnxruntime"):
        yield Finding("onnxruntime", OK, "not installed; only engines with a network need it")
        return
    from harmovid_server.runtimes import onnx  # needs numpy

    if onnx.doubly_installed():
        yield Finding(
            "onnxruntime", FAIL, "onnxruntime and onnxruntime-gpu are installed over each other",
            f"{sys.executable} -m pip uninstall -y onnxruntime onnxruntime-gpu, then install harmovid[server] or "
            "harmovid[server-gpu], not both.",
        )  # fmt: skip
        return
    providers = [str(name) for name in import_module("onnxruntime").get_available_providers()]
    detail = ", ".join(name.replace("ExecutionProvider", "") for name in providers)
    if tool is not None and "CUDAExecutionProvider" not in providers:
        yield Finding(
            "onnxruntime", WARN, f"{detail}: there is a GPU, but this build cannot use it",
            f"{sys.executable} -m pip uninstall -y onnxruntime, then {sys.executable} -m pip install "
            "'harmovid[server-gpu]'",
        )  # fmt: skip
    else:
        yield Finding("onnxruntime", OK, detail)


def _cards(tool: str) -> Finding:
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    fix = "Check the driver: run nvidia-smi."
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_SMI_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("GPU", FAIL, f"nvidia-smi: {error}", fix)
    lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    if answer.returncode or not lines:
        return Finding("GPU", FAIL, f"nvidia-smi: {(answer.stderr or answer.stdout).strip()}", fix)
    return Finding("GPU", OK, "; ".join(lines))


def engines(_: Settings) -> Iterator[Finding]:
    """Yield every engine of this installation after loading it, and what it runs on."""
    if not _installed():
        return
    from harmovid_server.engines import check  # needs numpy

    for name, text, error in check.try_all(os.environ):
        yield Finding(
            f"engine {name}", FAIL if error else OK, text, (error and (error.fix or FIX_SERVER)) or ""
        )


def server_settings(_: Settings) -> Iterator[Finding]:
    """Yield whether a server could start here: its ports, its keys, its disk."""
    if not _installed() or sys.platform != "linux":
        return
    try:
        config = server_config.load([], os.environ)
    except HarmoVidError as error:
        yield Finding("server settings", FAIL, error.message, error.fix)
        return
    yield from _ports(config)
    yield from _server_keys(config)
    yield from _spool(config)


def _ports(config: Any) -> Iterator[Finding]:
    ports = [config.port] if config.port == 0 else [config.port, config.data_port or config.port + 1]
    for port in ports:
        family = socket.AF_INET6 if ":" in config.bind else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((config.bind, port))
            except OSError as error:
                yield Finding(
                    f"port {port}", WARN, f"{config.bind}: {error.strerror}",
                    "A server may be running already (harmovid engines --server ...); else use --port.",
                )  # fmt: skip
            else:
                yield Finding(f"port {port}", OK, f"free on {config.bind}")


def _server_keys(config: Any) -> Iterator[Finding]:
    if not config.server_key:
        yield Finding("server keys", OK, "none set: a server here listens on this machine only")
        return
    for name, path in (("server key", config.server_key), ("authorized keys", config.authorized_keys)):
        if not path or not Path(path).exists():
            yield Finding(name, FAIL, f"{path or 'not set'}: no such file", "`harmovid keys` makes it.")
        else:
            yield _read_keys(name, path)


def _read_keys(name: str, path: str) -> Finding:
    """Return whether the server's key file and key list can be used, file modes included."""
    from harmovid import keys

    try:
        if name == "server key":
            return Finding(name, OK, f"{path}, {keys.load_secret(path).name}")
        return Finding(name, OK, f"{path} lets {len(keys.AuthorizedKeys(path).load())} clients in")
    except HarmoVidError as error:
        return Finding(name, FAIL, error.message, error.fix)


def _spool(config: Any) -> Iterator[Finding]:
    folder = Path(config.state)
    found = writable("spool folder", folder)
    yield found
    if found.status == FAIL:
        return
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{human_bytes(free)} free, the server may take {human_bytes(config.spool_bytes)}"
    if free < config.spool_bytes:
        yield Finding("spool disk", WARN, detail, "Lower --spool-bytes, or point --state to a larger disk.")
    else:
        yield Finding("spool disk", OK, detail)


CHECKS: List[Check] = [server_packages, colour, gpu, engines, server_settings]
