"""Our engines on folders of EXRs: through a private server, its wire and its files, as a host runs them.

    with Servers() as servers:
        harmonizer = EngineFrames("harmonize", servers)

The server is embedded, started at the first use and stopped with the `with` block.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Optional, Sequence, Type

import numpy as np
import numpy.typing as npt
from harmovid.client import Client
from harmovid.embedded import EmbeddedServer
from harmovid.errors import EngineFailed, EngineUnknown
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import EngineInfo, JobSpec, OutputSpec, new_job_id
from harmovid.storage.files import DirectorySink, DirectorySource

from harmovid_training.clips.read import read_exr, write_exr

Array = npt.NDArray[np.float32]

FRAME = "#####.exr"


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


class EngineFrames:
    """A harmonizing engine run frame by frame: each frame is a job of its own, so nothing is averaged over time.

    A `stages.frame_harmonizers.FrameHarmonizer`.
    """

    def __init__(self, engine: str, servers: Servers) -> None:
        self._engine, self._servers = engine, servers

    def __call__(self, foreground: Array, background: Array, mask: Array) -> Array:
        """Return harmonized frames `(N, H, W, 3)`."""
        return np.stack([self._frame(*one) for one in zip(foreground, background, mask)])

    def _frame(self, foreground: Array, background: Array, mask: Array) -> Array:
        given = {"fg": foreground, "bg": background, "matte": mask[..., None]}
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for layer, frame in given.items():
                (root / layer).mkdir()
                write_exr(root / layer / "00000.exr", np.asarray(frame, np.float32), half=True)
            layers = {layer: root / layer for layer in given}
            made = self._servers.run(self._engine, layers, root / "out", [0])
            return read_exr(made[0])
