"""One network as a TensorRT plan, built in a child process, so that a crash of the builder does not end this one.

    built = build(folder, network, plan, library="tensorrt_rtx", gpu="sm89")

Some versions of TensorRT crash on bfloat16 networks (NVIDIA/TensorRT issue 4842); here that becomes a `BundleError`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

from harmovid.bundle import NetworkInfo
from harmovid.errors import BundleError, InputError

from harmovid_export.tensorrt import child

LIBRARIES = ("tensorrt", "tensorrt_rtx")
PYTHON = "HARMOVID_TENSORRT_PYTHON"
"""Environment variable: the interpreter that has the library, where it is not this one."""

FIXES = {
    "library": "Install it: pip install tensorrt-rtx, or tensorrt from NVIDIA's index; then `harmovid doctor`.",
    "onnx": "Export the bundle again with this version.",
    "dtype": "Export the bundle again: file and manifest do not belong together.",
    "profile": "Export again with --lines, --width and --window that fit what will come.",
    "gpu": "Use --gpu current on the machine that will run it, or a GPU that the library names.",
    "memory": "Close other programs, give --workspace a smaller number, or build on a machine with more memory.",
    "build": "Export in another --precision, or use the other library.",
}
"""Kind of failure (`child.KINDS`) to what can be done."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """A plan that was built.

    Attributes:
        version: of the library. types: number of layers by their type. peak_mb: the builder's peak memory.
        weights: names of those that may be refitted. timing_cache: its bytes; 0 if none is used.
    """

    file: str
    seconds: float
    megabytes: float
    version: str
    types: Dict[str, int]
    peak_mb: float
    weights: Tuple[str, ...] = ()
    timing_cache: int = 0


def library_named(name: str) -> str:
    """Return the library to use: the named one, or for "auto" the first that is installed.

    Raises:
        InputError: none is installed.
    """
    if name != "auto":
        return name
    words = f"import importlib.util as u; print([n for n in {LIBRARIES} if u.find_spec(n)])"
    try:
        done = subprocess.run([_python(), "-c", words], capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"{PYTHON} names no Python: {error}.", fix="Set it to an interpreter.") from error
    for one in LIBRARIES:
        if repr(one) in done.stdout:
            return one
    raise InputError("neither tensorrt nor tensorrt_rtx is installed.", fix=FIXES["library"])


def _python() -> str:
    return os.environ.get(PYTHON) or sys.executable


def build(
    folder: Path, network: NetworkInfo, file: str, *, library: str, gpu: str = "current", capability: int = 0,
    workspace: int = 0, refit: bool = False, timing_cache: str = "", tell: Tell = lambda line: None,
) -> Plan:  # fmt: skip
    """Build `folder/file` from the network's ONNX file; the log is written beside it as `.log`.

    Args:
        gpu: "current", or a name such as "sm89": TensorRT for RTX can build for GPUs that are not in this machine.
        capability: the least compute capability that the network needs, 89 for 8.9; 0 if any will do.
        workspace: megabytes of GPU memory that the builder may use; 0 takes the library's default.
        refit: whether the plan's weights can be changed later; that needs the GPU, and costs some speed.
        timing_cache: file in the folder that keeps measured times for the next build; only `tensorrt` has any.

    Raises:
        BundleError: it cannot be built; the message names the kind of problem, the fix what to do.
    """
    log = folder / f"{file}.log"
    request = {
        "library": library, "onnx": str(folder / network.file), "plan": str(folder / file), "log": str(log), "gpu": gpu,
        "capability": capability, "workspace": workspace, "refit": refit,
        "timing_cache": str(folder / timing_cache) if timing_cache else "",
        "inputs": {
            one.name: {"dtype": one.dtype, **{key: list(shape) for key, shape in one.profile.items()}}
            for one in network.inputs
        },
    }  # fmt: skip
    last = _run(request, tell)
    if "built" not in last:
        (folder / file).unlink(missing_ok=True)
        kind = last.get("kind", "build")
        raise BundleError(f"{network.file}: {last.get('failed', 'no plan')} (log: {log}).", fix=FIXES[kind])
    facts = last["built"]
    size = round(facts["bytes"] / 2**20, 2)
    return Plan(
        file, facts["seconds"], size, facts["version"], facts["types"], round(facts["peak_kb"] / 1024, 1),
        tuple(facts["weights"]), facts["timing_cache"],
    )  # fmt: skip


def _run(request: Dict[str, Any], tell: Tell) -> Dict[str, Any]:
    """Run the child and return its last line; if the child ended without one, a line that says so."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        command = [_python(), str(child.__file__), str(path)]
        last: Dict[str, Any] = {}
        Path(request["log"]).unlink(missing_ok=True)
        with (
            open(request["log"], "ab") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            for line in process.stdout or ():
                try:
                    last = json.loads(line)
                except ValueError:
                    continue  # the library prints as well
                if "progress" in last:
                    tell(f"{Path(request['onnx']).name}: {last['progress']} {last['done']}/{last['total']}")
        code = process.returncode
    if "built" in last or "failed" in last:
        return last
    if code == -getattr(signal, "SIGKILL", 9):
        return {"failed": "the builder was killed; this machine's memory is too small", "kind": "memory"}
    return {"failed": f"the builder crashed ({_ended(code)})", "kind": "build"}


def _ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
