"""Our engines as rows: through a real server, the wire protocol and EXR files, as a host runs them.

    with Servers() as servers:
        entrant = Engine("harmonize", servers)
        frames = entrant.run(case)

The server is private; it starts at the first use and stops with the `with` block.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Tuple

from harmovid_training.metrics.degrade import Array
from harmovid_training.stages.engine_frames import Servers

from harmovid_evaluate.cases import Case, fingerprint, load_frames
from harmovid_evaluate.entrants import only_foreground
from harmovid_evaluate.testsets import DEFLICKER

LAYERS = {
    "harmonize": {"fg": "composite", "bg": "plate", "matte": "mask"},
    "deflicker": {"plate": "composite", "mask": "mask"},
}


@dataclass(frozen=True)
class Engine:
    """An engine by name; see `Entrant`. Its result is used inside the foreground only, as in the product."""

    engine: str
    servers: Servers = field(compare=False)

    @property
    def name(self) -> str:
        """The engine's name, marked as ours."""
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
