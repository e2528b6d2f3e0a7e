"""The harmonizer's export: ONNX Runtime gives torch's numbers, training's pictures are the server's."""

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
from harmovid_export.harmonizer import PARITY, load_weights, main
from harmovid_server.engines.harmonize.features import FrameFeatures, crop_window, halved, subject_box
from harmovid_server.engines.harmonize.network import FOLDER, Network
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_training.data import batches
from harmovid_training.data.batches import Batch, Sampler
from harmovid_training.harmonizer.backbone import Backbone, _pairs
from harmovid_training.harmonizer.constants import VARIANTS
from harmovid_training.harmonizer.features import measure, open_backbone
from harmovid_training.harmonizer.network import Harmonizer
from training.data.world import scenes, subjects

CPU = RuntimeSettings(device="cpu")
# The exporter takes half a minute of processor time, and more on a loaded machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with weights of a package's names, weights of ours, and the bundle that the commands make."""
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(3)
    state, held = Backbone().state_dict(), {}
    for ours, theirs, normal in _pairs(Backbone()):
        held[f"{theirs}.weight"] = state[f"{ours}.convolution.weight"]
        for name in ("weight", "bias", "running_mean", "running_var"):
            held[f"{normal}.{name}"] = state[f"{ours}.normal.{name}"]
    torch.save(held, folder / "package.pth")
    torch.save(Harmonizer().state_dict(), folder / "weights.pt")
    (folder / "about.md").write_text("A test's weights.")
    named = ["--version", "test", "--card", str(folder / "about.md")]
    for words in (["backbone", str(folder / "package.pth")], ["network", str(folder / "weights.pt"), *named]):
        # A process of its own, because the exporter raises warnings.
        command = [
            sys.executable,
            "-m",
            "harmovid_export.harmonizer",
            *words[:2],
            str(folder / "bundle"),
            *words[2:],
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2000)
        assert done.returncode == 0, done.stderr
        assert max(json.loads(done.stdout.splitlines()[-1])["largest difference"].values()) < PARITY
    return folder


def test_the_bundle_is_whole(exported: Path) -> None:
    """It is verified, says version and variants, names no file of this machine; nothing half written is left."""
    manifest = bundle.verify(exported / "bundle")
    assert manifest.version == "test"
    assert tuple(manifest.constants["variants"]) == VARIANTS
    assert set(manifest.networks) == {"backbone", "encoder", "head"}
    assert not list((exported / "bundle").glob(".*"))
    for path in (exported / "bundle").glob("*.onnx"):
        assert not [node.doc_string for node in onnx.load(str(path)).graph.node if node.doc_string]


def test_the_server_measures_what_training_measured(exported: Path) -> None:
    """The same pictures give the same vectors, trust and local features in training and in the server."""
    model = load_weights(exported / "weights.pt")
    batch = Sampler(scenes(), subjects(), 2).mixed(4, 1, 0.25)
    with torch.no_grad():
        wanted = model.encoder.judged(measure(model.encoder, open_backbone(exported / "bundle"), batch))
    network = Network(exported / "bundle", CPU)
    for i in range(4):
        found = network.encode(_seen(batch, i), float(batch.anchor[i]))
        for mine, theirs in zip(found, wanted):
            assert float(np.abs(mine - theirs[i].numpy()).max()) < 10 * PARITY
    answer = network.answer(found[0], found[2])
    assert answer.coeffs.shape == (3, 10)
    assert answer.gate.shape == (len(VARIANTS), 3)
    assert min(answer.need, answer.error, found[1]) > 0
    network.close()


def _seen(batch: Batch, index: int) -> FrameFeatures:
    """Return a training picture as the server keeps one."""
    picture = batch.composite[index].permute(1, 2, 0).contiguous().numpy()
    matte, seen = batch.matte[index, 0].numpy(), batch.seen[index, 0].numpy()
    empty = np.zeros(4, np.float32)
    return FrameFeatures(1, (0, 0, 1, 1), picture, matte, seen, empty, subject_box(halved(matte)), empty)


def test_crops_are_those_of_training() -> None:
    """Serving and training crop the same window around the same subject, in frames of any shape."""
    for shape in ((90, 160), (160, 90), (120, 160)):
        matte = np.zeros(shape, np.float32)
        matte[30:70, 20:40] = 1
        box = subject_box(matte)
        theirs = batches.subject_box(torch.from_numpy(matte)[None, None])[0].numpy()
        np.testing.assert_allclose(box, theirs, atol=1e-6)
        size = (batches.HEIGHT, batches.WIDTH)
        np.testing.assert_allclose(
            crop_window(box, shape, size), batches.crop_window(theirs.astype(np.float64), shape), atol=1e-5
        )


def test_the_shipped_bundle_is_what_its_manifest_says() -> None:
    """Every file of the bundle that ships has the hash it should have."""
    assert bundle.verify(FOLDER).name == "harmonize"


def test_what_is_missing_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No weights, no backbone and no card are errors with a fix."""
    with pytest.raises(InputError, match="Train first"):
        load_weights(tmp_path / "none.pt")
    torch.save(Harmonizer().state_dict(), tmp_path / "weights.pt")
    assert main(["network", str(tmp_path / "weights.pt"), str(tmp_path)]) == 1
    assert "Export the backbone first" in capsys.readouterr().err
    (tmp_path / "backbone.onnx").write_bytes(b"")
    assert main(["network", str(tmp_path / "weights.pt"), str(tmp_path)]) == 1
    assert "--card" in capsys.readouterr().err
