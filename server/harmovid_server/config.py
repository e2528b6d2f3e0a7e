"""Every setting of the server, in one frozen dataclass: flags > environment > TOML file > default.

    config = load(["--port", "5570", "--config", "/etc/harmovid/server.toml"], os.environ)

A setting `spool_bytes` is the flag `--spool-bytes`, the variable `HARMOVID_SPOOL_BYTES` and the TOML key
`spool_bytes`. Sizes take K, M, G, T or KiB..TiB (all of 1024). Named roots are the TOML table `[roots]`, the
repeatable flag `--root name=/folder`, or `HARMOVID_ROOTS=name=/folder:name2=/folder2`. docs/settings.md is generated
from this (`harmovid_server.settings_page`). Nothing is read at import.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import tomllib
from harmovid.errors import InputError
from harmovid.help_text import HelpParser
from harmovid.sizes import GIB, MIB, parse_bytes

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_ROOT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

_DEVICE = re.compile(r"(?:auto|cpu|cuda(?::\d{1,3})?)\Z")
DEVICES = "auto, cpu, cuda or cuda:N"
PRECISIONS = ("auto", "float32", "float16")
PROVIDERS = ("tensorrt", "cuda", "cpu")
BACKENDS = ("local", "ray")
PLACEMENTS = ("spread", "pack")
_RAY_ADDRESS = re.compile(r"(?:auto|[^\s/:]+:\d{1,5}|\[[0-9A-Fa-f:]+\]:\d{1,5})\Z")

Parse = Callable[[str], Any]


def parse_bool(text: str) -> bool:
    """Return true or false for yes/no, true/false, on/off, 1/0; raise ValueError for anything else."""
    word = text.strip().lower()
    if word not in _YES + _NO:
        raise ValueError(f"{text!r} is neither yes nor no")
    return word in _YES


def parse_roots(text: str) -> Dict[str, str]:
    """Return {"show": "/srv/show"} for "show=/srv/show", several joined by ':'; raise ValueError for any other form."""
    roots: Dict[str, str] = {}
    for item in filter(None, text.split(os.pathsep)):
        name, equals, folder = item.partition("=")
        if not equals:
            raise ValueError(f"{item!r} is not NAME=/FOLDER")
        roots[name.strip()] = folder.strip()
    return roots


def parse_names(text: str) -> Tuple[str, ...]:
    """Return the names in "deflicker,null"."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _setting(default: Any, parse: Parse, help_text: str, unit: str = "") -> Any:
    """Return the dataclass field of one setting.

    Args:
        default: its default value.
        parse: converts its text; raises ValueError.
        help_text: its text in `--help` and docs/settings.md.
        unit: unit of a number; default from the end of its name.
    """
    return field(default=default, metadata={"parse": parse, "help": help_text, "unit": unit})


@dataclass(frozen=True)
class Config:
    """The server's settings. Names end in their units; `--help` prints the help texts."""

    bind: str = _setting("127.0.0.1", str, "IP address to listen on. Anything but loopback needs keys.")
    port: int = _setting(5570, int, "Control port; 0 takes a free one.")
    data_port: int = _setting(0, int, "Data port; 0 takes the control port + 1 (a free one where port is 0).")
    state: str = _setting(
        "",
        str,
        "Folder of the job store, the spool and the audit log. Default: $STATE_DIRECTORY "
        "(systemd), else $XDG_STATE_HOME/harmovid, else ~/.local/state/harmovid.",
    )
    server_key: str = _setting(
        "",
        str,
        "The server's secret key file, mode 0600 (`harmovid keys new` makes it).",
    )
    authorized_keys: str = _setting(
        "",
        str,
        "The public keys that may connect, and their limits; read again when it changes, and on SIGHUP.",
    )
    workers: int = _setting(
        1,
        int,
        "Engine processes; with several GPUs each takes one of its own unless device names one.",
        "processes",
    )
    codecs: int = _setting(
        0,
        int,
        "EXR decode and encode processes per worker; 0 takes one per core.",
        "processes",
    )
    engines: Tuple[str, ...] = _setting(
        (),
        parse_names,
        "Names of the engines to offer, separated by commas; empty for all.",
    )
    engine_folders: Tuple[str, ...] = _setting(
        (),
        parse_names,
        "Further folders of engine bundles, separated by commas (docs/server.md).",
    )
    device: str = _setting(
        "auto",
        str,
        "Where networks run: auto, cpu, cuda or cuda:N. auto takes a GPU that works, else the "
        "processor; a GPU that is named is used or the job fails.",
    )
    precision: str = _setting(
        "auto",
        str,
        "auto, float32 or float16, as far as a runtime can choose; auto keeps the precision of the file.",
    )
    providers: Tuple[str, ...] = _setting(
        (),
        parse_names,
        "ONNX Runtime providers to try, separated by commas: tensorrt, cuda, cpu; empty for all in this order.",
    )
    gpu_bytes: int = _setting(0, parse_bytes, "GPU memory that one network may take; 0 sets no limit.")
    cuda_graphs: bool = _setting(
        False,
        parse_bool,
        "Capture CUDA graphs of networks that are called with the same shapes again, such as the steps of a diffusion "
        "model. Not tried on a GPU yet.",
    )
    backend: str = _setting(
        "local",
        str,
        "Where engines run: local, in the worker processes here, or ray, in actors on the machines of a Ray cluster "
        "(docs/cluster.md). ray needs harmovid[cluster].",
    )
    ray_address: str = _setting(
        "auto",
        str,
        "The Ray cluster, HOST:PORT; auto is the one that this machine belongs to. The server never starts a cluster.",
    )
    ray_actors: int = _setting(1, int, "Engine actors per worker; jobs are distributed among them.", "actors")
    ray_gpus: float = _setting(
        0.0, float, "GPUs that each engine actor reserves; actors with 0.5 share one by two.", "GPUs"
    )
    ray_cpus: float = _setting(1.0, float, "Processor cores that each engine actor reserves.", "cores")
    ray_placement: str = _setting(
        "spread", str, "spread puts the actors on as many machines as there are, pack on few."
    )
    ray_wait_s: float = _setting(
        600.0, float, "How long a job waits for an engine actor that is not there yet, before it fails."
    )
    active_jobs: int = _setting(4, int, "Jobs that one worker runs at the same time; more wait in the queue.")
    queued_jobs: int = _setting(
        100,
        int,
        "Jobs that may wait; the next one is refused as busy, with a time to try again.",
    )
    user_jobs: int = _setting(
        0,
        int,
        "Jobs that one user may have at once, waiting and running; 0 sets no limit. A key may "
        "have its own (authorized_keys).",
    )
    user_frames: int = _setting(
        0,
        int,
        "Frames of one user's jobs that may not have come back yet; 0 sets no limit. A key may have its own.",
    )
    user_bytes: int = _setting(
        0,
        parse_bytes,
        "Room in the spool that one user's jobs may take; 0 sets no limit. A key may have its own.",
    )
    sessions: int = _setting(64, int, "Clients that may be connected at once.", "clients")
    prefetch_frames: int = _setting(
        0,
        int,
        "Frames per job fetched beyond what its engine looks ahead; 0 takes 4, and 2 per codec process.",
    )
    result_frames: int = _setting(64, int, "Results per job that wait for the client; then the job pauses.")
    spool_bytes: int = _setting(20 * GIB, parse_bytes, "Disk that frames and results may take together.")
    frame_bytes: int = _setting(
        GIB,
        parse_bytes,
        "Largest file of one frame; larger ones fail as that frame's error.",
    )
    credit_bytes: int = _setting(
        256 * MIB,
        parse_bytes,
        "Bytes of uploads in flight, of all clients together (and at least 2 MiB each).",
    )
    full_s: float = _setting(
        60.0,
        float,
        "How long a job waits for disk space while nothing moves, before it fails.",
    )
    drain_s: float = _setting(60.0, float, "How long jobs may go on after SIGTERM.")
    detach_s: float = _setting(
        86400.0,
        float,
        "How long a job, and its frames in the spool, are kept while its client is away.",
    )
    keep_s: float = _setting(
        86400.0,
        float,
        "How long finished jobs are remembered, the last 1000 at most; their frames go at once.",
    )
    history_bytes: int = _setting(
        256 * MIB,
        parse_bytes,
        "Disk for what is remembered of the frames of jobs (reports, errors, previews), at most for keep_s; the "
        "records of the oldest jobs are deleted first; 0 keeps none.",
    )
    previews: bool = _setting(
        False,
        parse_bool,
        "Keep two small JPEGs of every frame, before and after, for the dashboard: pixels of shots then stay on the "
        "disk for keep_s.",
    )
    log_level: str = _setting("info", str, "debug, info, warning or error.")
    log_json: bool = _setting(False, parse_bool, "Log JSON lines instead of text.")
    audit_log: str = _setting(
        "",
        str,
        "The audit log: who sent which job, and how it ended, one JSON line each. Default:"
        " audit.ndjson in the state folder.",
    )
    metrics_port: int = _setting(
        0,
        int,
        "Port of /metrics (Prometheus), /livez and /readyz; 0 has none. Needs harmovid[metrics].",
    )
    metrics_bind: str = _setting(
        "127.0.0.1",
        str,
        "IP address of that port. Whoever reaches it may read the numbers: no keys are asked for there.",
    )
    roots: Dict[str, str] = field(
        default_factory=dict,
        metadata={
            "parse": parse_roots,
            "help": "Named folders on shared storage that jobs may read from: [roots] in the file, --root "
            "show=/srv/show as a flag, repeatable.",
            "unit": "",
        },
    )
    ready_file: str = _setting("", str, "File to write once the server answers: JSON with endpoint and pid.")
    parent: int = _setting(
        0,
        int,
        "Stop once the parent process is not this one (embedded servers).",
        "process id",
    )
    temporary: bool = _setting(False, parse_bool, "Remove the state folder at the end (embedded servers).")

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65535), ("data_port", 0, 65535), ("workers", 1, 64), ("codecs", 0, 1024),
            ("active_jobs", 1, 64), ("queued_jobs", 0, 100_000), ("sessions", 1, 4096),
            ("prefetch_frames", 0, 1024), ("result_frames", 1, 100_000), ("frame_bytes", 1, 1 << 40),
            ("spool_bytes", 1, 1 << 50), ("credit_bytes", MIB, 1 << 40), ("gpu_bytes", 0, 1 << 50),
            ("user_jobs", 0, 100_000), ("user_frames", 0, 1 << 40), ("user_bytes", 0, 1 << 50),
            ("metrics_port", 0, 65535),
            ("history_bytes", 0, 1 << 50),
            ("ray_actors", 1, 1024), ("ray_gpus", 0, 64), ("ray_cpus", 0, 1024),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"setting {name} is {value}.", fix=f"It must be from {low} to {high}.")
        for name in ("full_s", "drain_s", "detach_s", "keep_s", "ray_wait_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"setting {name} is {getattr(self, name)}.", fix="It must be 0 s or more.")
        for name, wrong, allowed in (
            ("device", not _DEVICE.match(self.device), DEVICES),
            ("precision", self.precision not in PRECISIONS, ", ".join(PRECISIONS)),
            ("backend", self.backend not in BACKENDS, ", ".join(BACKENDS)),
            ("ray_address", not _RAY_ADDRESS.match(self.ray_address), "auto, HOST:PORT"),
            ("ray_placement", self.ray_placement not in PLACEMENTS, ", ".join(PLACEMENTS)),
            ("providers", bool(set(self.providers) - set(PROVIDERS)), ", ".join(PROVIDERS)),
        ):
            if wrong:
                raise InputError(
                    f"setting {name} is {getattr(self, name)!r}.", fix=f"It must be of {allowed}."
                )
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise InputError(f"setting log_level is {self.log_level!r}.", fix="See --help for the levels.")
        for name, folder in self.roots.items():
            if not _ROOT_NAME.match(name) or not os.path.isabs(folder):
                raise InputError(
                    f"root {name!r} = {folder!r} cannot be used.",
                    fix="A name has letters, digits, - and _; a folder is an absolute path.",
                )

    @property
    def codec_processes(self) -> int:
        """EXR processes per worker: the setting, or one for each core that this process may use."""
        return self.codecs or len(os.sched_getaffinity(0))

    @property
    def window_frames(self) -> int:
        """Frames per job that are requested ahead: for every codec process one being processed and one waiting."""
        return self.prefetch_frames or 4 + 2 * self.codec_processes

    @property
    def runtime_folder(self) -> Path:
        """Folder where runtimes may keep code compiled for this machine."""
        return Path(self.state) / "runtimes"

    @property
    def spool_folder(self) -> Path:
        """Folder of the frames of running jobs."""
        return Path(self.state) / "spool"

    @property
    def audit_file(self) -> Path:
        """File of the audit log: who submitted which job."""
        return Path(self.audit_log or Path(self.state) / "audit.ndjson")

    @property
    def history_folder(self) -> Path:
        """Folder with records of the frames of jobs."""
        return Path(self.state) / "history"

    @property
    def store_file(self) -> Path:
        """The SQLite job store."""
        return Path(self.state) / "jobs.sqlite"

    def save(self, path: Path) -> None:
        """Write all settings as JSON for the child processes, which read them with `restore`."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def restore(path: Path) -> Config:
    """Read what `Config.save` wrote."""
    plain: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name, value in plain.items():
        if isinstance(value, list):
            plain[name] = tuple(value)
    return Config(**plain)


def default_state_folder(environ: Mapping[str, str]) -> str:
    """Return systemd's StateDirectory, else the user's state folder (XDG Base Directory Specification)."""
    if environ.get("STATE_DIRECTORY"):
        return environ["STATE_DIRECTORY"].split(":")[0]
    base = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "harmovid")


def parser() -> argparse.ArgumentParser:
    """Return the server's command line: one flag per setting, `--config`, and `--root` for a named root."""
    result = HelpParser(
        prog="harmovid serve",
        description="The HarmoVid server: engines, jobs and EXR frames over ZeroMQ.",
        epilog="A flag --some-name is also the variable HARMOVID_SOME_NAME and the file's key some_name.",
    )
    result.add_argument("--config", metavar="FILE", help="TOML file with settings.")
    for item in fields(Config):
        flag = "--" + item.name.replace("_", "-")
        about = item.metadata["help"]
        metavar = item.name.rsplit("_", 1)[-1].upper()
        if item.name == "roots":
            result.add_argument("--root", dest="roots", action="append", metavar="NAME=/FOLDER", help=about)
        elif item.type == "bool":
            result.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=about)
        else:
            result.add_argument(flag, metavar=metavar, help=about)
    return result


def load(arguments: Sequence[str], environ: Mapping[str, str]) -> Config:
    """Return the settings from flags, environment and file, in that order of precedence.

    Raises:
        InputError: a value is invalid; the message names the setting and its source.
        SystemExit: raised by argparse for `--help` and unknown flags.
    """
    flags = vars(parser().parse_args(list(arguments)))
    path: Optional[str] = flags.pop("config") or environ.get("HARMOVID_CONFIG")
    values: Dict[str, Any] = _from_file(path) if path else {}
    for item in fields(Config):
        variable = "HARMOVID_" + item.name.upper()
        if variable in environ:
            values[item.name] = _parsed(item.metadata["parse"], environ[variable], variable)
        given = flags[item.name]
        if given is not None:
            values[item.name] = _from_flag(item.metadata["parse"], given, "--" + item.name.replace("_", "-"))
    values["state"] = os.path.abspath(values.get("state") or default_state_folder(environ))
    return Config(**values)


def _parsed(parse: Parse, text: str, source: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise InputError(f"{source} is {text!r}: {error}.", fix="See --help.") from error


def _from_flag(parse: Parse, given: Any, flag: str) -> Any:
    if isinstance(given, bool):
        return given
    return _parsed(parse, os.pathsep.join(given) if isinstance(given, list) else given, flag)


def _from_file(path: str) -> Dict[str, Any]:
    try:
        with open(path, "rb") as stream:
            plain = tomllib.load(stream)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"the configuration {path} cannot be read: {error}.") from error
    known = {item.name: item for item in fields(Config)}
    values: Dict[str, Any] = {}
    for name, value in plain.items():
        if name not in known:
            raise InputError(
                f"{path} has an unknown setting {name!r}.", fix="Known are " + ", ".join(known) + "."
            )
        values[name] = _from_toml(known[name].metadata["parse"], value, f"{name} in {path}")
    return values


def _from_toml(parse: Parse, value: Any, source: str) -> Any:
    if isinstance(value, dict):
        return {str(key): str(item) for key, item in value.items()}
    items: List[str] = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return _parsed(parse, ",".join(items), source)


def is_loopback(bind: str) -> bool:
    """Return whether an address can only be reached from this machine.

    Raises:
        InputError: it is not an IP address.
    """
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError as error:
        raise InputError(
            f"setting bind is {bind!r}.", fix="It must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::."
        ) from error
