"""Our engines as rows: through a real server, its wire and its EXRs, as a host runs them.

    with Servers() as servers:
        entrant = Engine("harmonize", servers)
        frames = entrant.run(case)

The server is private, embedded, started at the first use and stopped with the `with` block.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Optional, Sequence, Tuple, Type

import numpy as np
from harmovid.client import Client
from harmovid.embedded import EmbeddedServer
from harmovid.errors import EngineFailed, EngineUnknown
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import EngineInfo, JobSpec, OutputSpec, new_job_id
from harmovid.storage.files import DirectorySink, DirectorySource

from harmovid_evaluate.cases import Case, fingerprint, load_frames, save_clip
from harmovid_evaluate.degrade import Array
from harmovid_evaluate.entrants import only_foreground
from harmovid_evaluate.testsets import DEFLICKER

FRAME = "#####.exr"
LAYERS = {
    "harmonize": {"fg": "composite", "bg": "plate", "matte": "mask"},
    "deflicker": {"plate": "composite", "mask": "mask"},
}


class Servers:
    """One embedded server for all engines of a run."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._client: Optional[Client] = None
        self._infos: Dict[str, EngineInfo] = {}

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._stack.close()

    def client(self) -> Client:
        """Return a client of the server, which is started if it is not there yet.

        Raises:
            InputError: the server is not installed. Unreachable: it does not start.
        """
        if self._client is None:
            server = self._stack.enter_context(EmbeddedServer())
            self._client = self._stack.enter_context(Client(server.address, server.keys))
            self._infos = {info.name: info for info in self._client.engines()}
        return self._client

    def info(self, name: str) -> EngineInfo:
        """Return an engine's description.

        Raises:
            EngineUnknown: there is none of that name.
        """
        self.client()
        if name not in self._infos:
            raise EngineUnknown(
                f"there is no engine {name!r}.", fix=f"There are: {', '.join(sorted(self._infos))}."
            )
        return self._infos[name]

    def run(self, name: str, layers: Dict[str, Path], out: Path, numbers: Sequence[int]) -> List[Path]:
        """Run one job over numbered EXRs and return the results' files, in order.

        Raises:
            EngineFailed: not every frame came back. JobError, WireError: the job did not run.
        """
        info = self.info(name)
        frames = FrameRange(numbers)
        source = DirectorySource(
            {layer: FramePattern.parse(str(path / FRAME)) for layer, path in layers.items()}
        )
        pattern = FramePattern.parse(str(out / FRAME))
        spec = JobSpec(
            new_job_id(), name, str(frames), tuple(layers), info.check_options({}),
            output=OutputSpec(premultiplied=False),
        )  # fmt: skip
        result = self.client().run(spec, source, DirectorySink(pattern, frames, source))
        if result.failed:
            number, error = sorted(result.failed.items())[0]
            raise EngineFailed(f"the engine {name} failed on frame {number}: {error}")
        return [Path(pattern.path(number)) for number in numbers]


@dataclass(frozen=True)
class Engine:
    """An engine by name; see `Entrant`. Its result counts inside the foreground, as the product applies it."""

    engine: str
    servers: Servers = field(compare=False)

    @property
    def name(self) -> str:
        """The engine's name, as ours."""
        return f"HarmoVid engine: {self.engine}"

    @property
    def tasks(self) -> Tuple[str, ...]:
        """The engine's own task."""
        return (self.servers.info(self.engine).task,)

    @property
    def key(self) -> str:
        """Name and version."""
        info = self.servers.info(self.engine)
        return fingerprint(info.name, info.version)

    def run(self, case: Case) -> Array:
        """See `Entrant`."""
        layers = {layer: case.folder / role for layer, role in LAYERS[case.task].items()}
        with tempfile.TemporaryDirectory() as folder:
            self.servers.run(self.engine, layers, Path(folder), range(len(case.composite)))
            made = load_frames(Path(folder))
        return made if case.task == DEFLICKER else only_foreground(case, made)


class EngineFrames:
    """A harmonizing engine run frame by frame: each frame is a job of its own, so nothing is averaged over time.

    A `stages.stage_one.FrameHarmonizer`.
    """

    def __init__(self, engine: str, servers: Servers) -> None:
        self._engine, self._servers = engine, servers

    def __call__(self, foreground: Array, background: Array, mask: Array) -> Array:
        """Return one harmonized frame `(H, W, 3)`."""
        given = {"fg": foreground, "bg": background, "matte": mask[..., None]}
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for layer, frame in given.items():
                save_clip(root / layer, np.asarray(frame, np.float32)[None])
            layers = {layer: root / layer for layer in given}
            self._servers.run(self._engine, layers, root / "out", [0])
            return np.asarray(load_frames(root / "out")[0], np.float32)
