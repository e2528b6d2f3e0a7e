"""The table's measures against scikit-image, transformers and known motion; missing ones are reported."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from harmovid_evaluate.clip_score import DEVIATION, MEAN, ClipScore
from harmovid_evaluate.clips import synthetic_clip
from harmovid_evaluate.measures import MEASURES, Judged, Result, clip_measure, load_extras
from harmovid_training.metrics.degrade import DEGRADATIONS, LUMA
from harmovid_training.metrics.flows import FlowDistance, Raft, dis_flow
from harmovid_training.metrics.quality import view
from harmovid_training.metrics.weights import MetricUnavailable
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from transformers import CLIPConfig, CLIPModel

CLIP = synthetic_clip(5, 64)


def scores(result: np.ndarray, truth: np.ndarray | None = CLIP.frames) -> dict[str, float]:
    """Return every measure of a result of the made clip."""
    assert CLIP.masks is not None
    judged, made = Judged(truth, CLIP.frames, CLIP.masks), Result(result)
    return {each.key: each.value(judged, made) for each in MEASURES if judged.has(each.needs)}


def degraded() -> np.ndarray:
    """Return the made clip with per-frame curves on its foreground."""
    return DEGRADATIONS["curves-fg"].apply(CLIP.frames, CLIP.masks, 4)


def test_whole_frame_psnr_and_rmse_are_scikit_images() -> None:
    """PSNR and RMSE of the view over the whole frame are scikit-image's to four digits."""
    bad = degraded()
    found = scores(bad)
    assert found["psnr_frame"] == pytest.approx(
        peak_signal_noise_ratio(view(CLIP.frames), view(bad), data_range=1), abs=1e-3
    )
    assert found["rmse_frame"] == pytest.approx(float(np.sqrt(np.mean((view(CLIP.frames) - view(bad)) ** 2))))


def test_whole_frame_ssim_is_scikit_images() -> None:
    """SSIM of the luma, away from the border that scikit-image leaves out, is scikit-image's to four digits."""
    bad, expected = degraded(), []
    for ours, theirs in zip(view(bad) @ LUMA, view(CLIP.frames) @ LUMA):
        expected.append(
            structural_similarity(
                ours, theirs, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
        )
    inner = np.zeros(CLIP.frames.shape[:3], np.float32)
    inner[:, 5:-5, 5:-5] = 1
    judged = Judged(CLIP.frames, CLIP.frames, inner)
    measure = next(each for each in MEASURES if each.key == "ssim")
    assert measure.value(judged, Result(bad)) == pytest.approx(np.mean(expected), abs=1e-4)


def test_each_measure_is_better_for_the_truth_than_for_flicker() -> None:
    """Every measure of quality and time prefers the truth to a flickering foreground, in its stated direction."""
    best, bad = scores(CLIP.frames), scores(degraded())
    for measure in MEASURES:
        if measure.key in ("laplacian", "tenengrad"):  # the seam's sharpness has no truth
            continue
        better = (
            best[measure.key] > bad[measure.key] if measure.higher else best[measure.key] < bad[measure.key]
        )
        assert better, measure.key


def test_without_truth_only_what_needs_none_is_measured() -> None:
    """Where no truth is known, quality is left out and time and seam remain."""
    assert set(scores(CLIP.frames, truth=None)) == {
        "flicker", "warped", "motion_dis", "laplacian", "tenengrad",
    }  # fmt: skip


def test_stops_are_those_of_a_known_gain() -> None:
    """A foreground brighter by half a stop reads as half a stop."""
    assert CLIP.masks is not None
    gained = CLIP.frames * np.exp2(0.5 * (CLIP.masks[..., None] > 0)).astype(np.float32)
    assert scores(gained)["stops"] == pytest.approx(0.5, abs=0.01)


def test_flow_distance_is_the_motion_added() -> None:
    """A reference that stands still against a result that pans by two pixels is two pixels off; itself is 0."""
    rng = np.random.default_rng(1)
    wide = rng.uniform(0, 1, (12, 30, 3)).repeat(8, 0).repeat(8, 1).astype(np.float32)
    still = np.stack([wide[:, :160]] * 4)
    panning = np.stack([wide[:, 2 * t : 2 * t + 160] for t in range(4)])
    distance = FlowDistance(dis_flow, still)
    assert distance(still) == 0
    inner = np.zeros(still.shape[:3], np.float32)
    inner[:, 16:-16, 16:-16] = 1
    assert distance(panning, inner) == pytest.approx(2, abs=0.1)


class PanNetwork(torch.nn.Module):
    """Returns flow like RAFT, made from its inputs, so that a test sees what the wrapper passes on."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> list[torch.Tensor]:
        """Return one flow: x is the largest value of the first picture, y the padded height."""
        flow = torch.zeros(1, 2, *one.shape[-2:])
        flow[:, 0], flow[:, 1] = one.max(), one.shape[-2]
        return [flow * 0, flow]


def test_raft_gets_pictures_in_its_range_and_of_legal_sides() -> None:
    """Views become -1..1, sides multiples of 8 and at least 128; the last flow comes back at the picture's size."""
    flow = Raft(PanNetwork())(np.ones((60, 150, 3), np.float32), np.zeros((60, 150, 3), np.float32))
    assert flow.shape == (60, 150, 2)
    assert (flow[..., 0] == 1).all()
    assert (flow[..., 1] == 128).all()


def test_raft_without_torchvision_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchvision that is missing is named as what is missing, and nothing else takes its place."""
    torch.save({"feature_encoder.weight": torch.zeros(1)}, tmp_path / "raft.pth")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MetricUnavailable, match="torchvision"):
        Raft.from_file(tmp_path / "raft.pth")
    extras = load_extras(raft=tmp_path / "raft.pth")
    assert extras.measures == ()
    assert extras.raft is None
    assert any("RAFT" in line and "torchvision" in line for line in extras.missing)


def tiny_clip() -> CLIPModel:
    """Return a CLIP of 40 x 40 pixels with random weights."""
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**small, "vocab_size": 20, "max_position_embeddings": 8},
        vision_config={**small, "image_size": 40, "patch_size": 8},
        projection_dim=12,
    )
    return CLIPModel(config).eval()


def test_clip_score_is_the_models_own_cosine(tmp_path: Path) -> None:
    """On a tiny saved model the score is the mean cosine of the embeddings computed from the model's own parts."""
    model = tiny_clip()
    model.save_pretrained(tmp_path)
    score = ClipScore.load(str(tmp_path))
    shown = view(CLIP.frames)
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, DEVIATION))
    vectors = []
    for frame in shown:
        picture = torch.from_numpy(frame.transpose(2, 0, 1).copy())[None]
        assert picture.shape[-2:] == (64, 112)
        scaled = torch.nn.functional.interpolate(picture, (40, 70), mode="bicubic", antialias=True).clamp(
            0, 1
        )
        crop = (scaled[..., 15:55] - mean) / deviation
        with torch.no_grad():
            vectors.append(model.visual_projection(model.vision_model(pixel_values=crop).pooler_output)[0])
    expected = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in zip(vectors, vectors[1:])]
    assert score(shown) == pytest.approx(np.mean(expected), abs=1e-5)
    assert clip_measure(score).value(Judged(None, CLIP.frames, CLIP.frames[..., 0]), Result(CLIP.frames)) < 1


def test_weights_that_were_not_named_are_left_out_by_name() -> None:
    """Without flags the three weighted measures are missing, each with the flag that brings it."""
    extras = load_extras()
    assert extras.measures == ()
    assert [line.split(" was left out")[0] for line in extras.missing] == [
        "LPIPS", "CLIP score", "Motion preservation with RAFT",
    ]  # fmt: skip
    assert all("--" in line for line in extras.missing)


def test_a_clip_model_that_is_nowhere_is_reported(tmp_path: Path) -> None:
    """A folder without a model leaves the score out with the reason."""
    extras = load_extras(clip=str(tmp_path / "nothing"))
    assert extras.measures == ()
    assert any(line.startswith("CLIP score was left out.") for line in extras.missing)
