"""Our engines on folders of EXRs: through a private server and the wire protocol, as a host runs them.

    with Servers() as servers:
        harmonizer = EngineFrames("harmonize", servers)

The server is private: it starts at the first use and stops with the `with` block.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Optional, Sequence, Type

import numpy as np
import numpy.typing as npt
from harmovid import EngineInfo, FrameRange, JobFiles, Settings, connect
from harmovid.engines import choose
from harmovid.errors import EngineFailed

from harmovid_training.clips.read import read_exr, write_exr

Array = npt.NDArray[np.float32]

FRAME = "#####.exr"


class Servers:
    """A private server for all engines of a run; it starts at the first use."""

    def __init__(self) -> None:
        self._client = connect(Settings())
        self._engines: List[EngineInfo] = []

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._client.close()

    def engines(self) -> List[EngineInfo]:
        """Return the descriptions of the server's engines; they are requested once.

        Raises:
            InputError: the server is not installed.
            Unreachable: the server does not start.
        """
        if not self._engines:
            self._engines = self._client.engines()
        return self._engines

    def info(self, name: str) -> EngineInfo:
        """Return an engine's description.

        Raises:
            EngineUnknown: there is no engine of that name.
            InputError, Unreachable: see `engines`.
        """
        return choose(self.engines(), name)

    def run(self, name: str, layers: Dict[str, Path], out: Path, numbers: Sequence[int]) -> List[Path]:
        """Run one job over numbered EXRs and return the results' files, in order.

        Raises:
            EngineFailed: not every frame came back.
            JobError, WireError: the job did not run.
        """
        job = JobFiles.prepare(
            self.info(name),
            {layer: str(path / FRAME) for layer, path in layers.items()},
            out=str(out / FRAME),
            frames=FrameRange(numbers),
            premultiplied=False,
            handles=0,
        )
        result = self._client.start(job).result()
        if result.failed:
            number, error = sorted(result.failed.items())[0]
            raise EngineFailed(f"the engine {name} failed on frame {number}: {error}")
        return [Path(job.plan.out.path(number)) for number in numbers]


class EngineFrames:
    """A harmonizing engine run frame by frame: each frame is a job of its own, so that nothing is averaged over time.

    A `stages.frame_harmonizers.FrameHarmonizer`.

    Raises:
        EngineUnknown, InputError, Unreachable: see `Servers.info`.
    """

    def __init__(self, engine: str, servers: Servers) -> None:
        servers.info(engine)
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
