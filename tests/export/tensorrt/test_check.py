"""The check of new plans: the networks run one after the other on real pictures, and a value that is not finite is
found and named. ONNX files stand in for plans, as nothing here has a GPU."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Dict

import cv2
import numpy as np
import onnx
import pytest
from fakes.toy_bundle import toy_bundle
from harmovid import bundle
from harmovid.bundle import Manifest
from harmovid.errors import BundleError, InputError
from harmovid_export.tensorrt.check import UNCHECKED, check, clip_for
from harmovid_server.engines.harmonize.network import FOLDER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("toy_bundle")]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the toy's bundle."""
    return toy_bundle(tmp_path_factory, "harmovid").bundle


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Return a folder of three frames."""
    folder = tmp_path / "plates"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 255, (60, 80, 3), np.uint8))
    return folder


def files_of(manifest: Manifest) -> Dict[str, str]:
    """Return the ONNX files of all networks but the prompt's."""
    return {role: network.file for role, network in manifest.networks.items() if role != "prompt"}


@pytest.mark.parametrize("real", [True, False])
def test_a_sound_bundle_is_finite_throughout(toy: Path, plates: Path, real: bool) -> None:
    """All five networks run on footage, or on a drawn clip without any; a short clip stands still at its end."""
    manifest = bundle.read(toy)
    clip = clip_for(manifest, [plates] if real else [])
    assert clip is not None
    assert len(clip.mask) == sum(manifest.constants["codec"]["frames"])
    assert all(-1 <= frames.min() < frames.max() <= 1 for frames in clip.pictures.values())
    assert not np.array_equal(clip.pictures["composite"], clip.pictures["background"])
    told = check(toy, manifest, files_of(manifest), clip, device="cpu")
    assert told == dict.fromkeys(files_of(manifest), "finite")


@pytest.mark.parametrize("role", ["encode_first", "encode_next", "transformer", "decode_next"])
def test_a_network_that_overflows_is_named(toy: Path, tmp_path: Path, role: str) -> None:
    """One weight too large for the type: the check says which file gives values that are not finite."""
    shutil.copytree(toy, tmp_path / "bundle")
    manifest = bundle.read(tmp_path / "bundle")
    path = tmp_path / "bundle" / manifest.networks[role].file
    model = onnx.load(str(path))
    for one in model.graph.initializer:
        if len(one.dims) > 1:
            values: Any = onnx.numpy_helper.to_array(one).copy()
            values[...] = 3e38
            one.CopyFrom(onnx.numpy_helper.from_array(values, one.name))
            break
    onnx.save(model, str(path))
    files = files_of(manifest)
    with pytest.raises(BundleError, match=rf"{role}\.onnx: output .* is not finite") as caught:
        check(tmp_path / "bundle", manifest, files, clip_for(manifest, []), device="cpu")
    assert caught.value.fix


def test_what_cannot_run_here_is_said_and_the_rest_runs(toy: Path, tmp_path: Path) -> None:
    """A plan without its library or GPU is reported as not run; networks after it get noise instead."""
    shutil.copytree(toy, tmp_path / "bundle")
    manifest = bundle.read(tmp_path / "bundle")
    (tmp_path / "bundle" / "encode_first.sm89.tensorrt.plan").write_bytes(b"plan")
    files = {**files_of(manifest), "encode_first": "encode_first.sm89.tensorrt.plan"}
    files.pop("encode_next")
    told = check(tmp_path / "bundle", manifest, files, clip_for(manifest, []), device="cpu")
    assert told.pop("encode_first").startswith(UNCHECKED)
    assert set(told.values()) == {"finite"}


def test_networks_of_another_kind_run_by_themselves() -> None:
    """The compact harmonizer has no VAE: each of its networks gets values of 0 to 1."""
    manifest = bundle.read(FOLDER)
    assert clip_for(manifest, []) is None
    told = check(FOLDER, manifest, files_of(manifest), None, device="cpu")
    assert set(told.values()) == {"finite"}


def test_footage_that_is_none_is_reported(toy: Path, tmp_path: Path) -> None:
    """An empty folder is an error before anything is built."""
    with pytest.raises(InputError, match="no folder of frames"):
        clip_for(bundle.read(toy), [tmp_path])
