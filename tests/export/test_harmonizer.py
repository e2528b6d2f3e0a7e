"""The harmonizer's export: ONNX Runtime gives torch's numbers at any shape, and says what the server needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from harmovid import bundle
from harmovid.errors import InputError
from harmovid_export.harmonizer import PARITY, load_weights
from harmovid_server.engines.harmonize.network import Network
from harmovid_training.harmonizer.network import VECTOR, Harmonizer


@pytest.mark.timeout(
    900
)  # the exporter takes a quarter of a minute of a processor that may have much else to do
def test_exported_graphs_equal_torch(tmp_path: Path) -> None:
    """What the command writes differs from torch by rounding only, is a whole bundle and loads in the server."""
    torch.manual_seed(3)
    torch.save(Harmonizer().state_dict(), tmp_path / "weights.pt")
    command = [
        sys.executable,
        "-m",
        "harmovid_export.harmonizer",
        str(tmp_path / "weights.pt"),
        str(tmp_path),
    ]
    (tmp_path / "about.md").write_text("A test's weights.")
    command += ["--card", str(tmp_path / "about.md")]
    done = subprocess.run([*command, "--version", "test"], capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout.splitlines()[-1])["largest difference"]

    assert set(errors) == {"encoder", "head"}
    assert max(errors.values()) < PARITY
    assert not list(tmp_path.glob("*.partial"))
    assert bundle.verify(tmp_path).version == "test"
    assert not [
        node.doc_string for node in onnx.load(str(tmp_path / "encoder.onnx")).graph.node if node.doc_string
    ]
    network = Network(tmp_path)
    vector, trust, local = network.encode(
        np.full((40, 72, 3), 0.4, np.float32), np.eye(40, 72, dtype=np.float32), np.ones((40, 72), np.float32),
        np.float32([0.2, 0.2, 0.6, 0.9]),
    )  # fmt: skip
    coeffs, grid, gate, need = network.answer(vector, local)
    assert (vector.shape, coeffs.shape, gate.shape, grid.shape[0]) == ((VECTOR,), (3, 10), (3,), 3)
    assert trust > 0
    assert need > 0


def test_no_weights_are_told(tmp_path: Path) -> None:
    """A file that is not there is an error with a fix."""
    with pytest.raises(InputError, match="Train first"):
        load_weights(tmp_path / "none.pt")
