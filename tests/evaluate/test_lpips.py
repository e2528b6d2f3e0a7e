"""LPIPS against the definition computed again in numpy, and its weights in every published layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harmovid_evaluate.lpips import ALEX, VGG, Layout, Lpips
from harmovid_training.metrics.weights import MetricUnavailable
from numpy.lib.stride_tricks import sliding_window_view
from safetensors.torch import save_file

WIDTHS = {ALEX: (5, 6, 7, 6, 4), VGG: (2, 2, 3, 3, 4, 4, 4, 3, 3, 3, 5, 5, 5)}


def random_weights(layout: Layout, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return weights by torchvision's and LPIPS' names, with fewer channels than the published ones."""
    rng = torch.Generator().manual_seed(seed)
    tensors, before = {}, 3
    for (number, _, _), width in zip(layout.convolutions, WIDTHS[layout]):
        kernel = {ALEX: {0: 11, 3: 5}, VGG: {}}[layout].get(number, 3)
        tensors[f"features.{number}.weight"] = torch.randn(width, before, kernel, kernel, generator=rng) * 0.2
        tensors[f"features.{number}.bias"] = torch.randn(width, generator=rng) * 0.1
        before = width
    taps = [
        width for (number, _, _), width in zip(layout.convolutions, WIDTHS[layout]) if number in layout.taps
    ]
    for layer, width in enumerate(taps):
        tensors[f"lin{layer}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=rng)
    return tensors


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """Return a convolution of `(C, H, W)`, window by window."""
    wide = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(wide, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]


def by_hand(layout: Layout, tensors: dict[str, torch.Tensor], one: np.ndarray, other: np.ndarray) -> float:
    """Return LPIPS of two views `(H, W, 3)` in numpy, from the paper's equation 1 and the released scaling."""
    weights = {name: value.numpy().astype(np.float64) for name, value in tensors.items()}
    features = []
    for shown in (one, other):
        x = ((shown * 2.0 - 1) - (-0.030, -0.088, -0.188)) / (0.458, 0.448, 0.450)
        x, taken = x.transpose(2, 0, 1), []
        for number, stride, padding in layout.convolutions:
            if number in layout.pools:
                size, step = layout.pool
                x = sliding_window_view(x, (size, size), axis=(1, 2))[:, ::step, ::step].max((3, 4))
            weight, bias = weights[f"features.{number}.weight"], weights[f"features.{number}.bias"]
            x = np.maximum(convolved(x, weight, bias, stride, padding), 0)
            if number in layout.taps:
                taken.append(x / (np.sqrt((x**2).sum(0, keepdims=True)) + 1e-10))
        features.append(taken)
    lines = [weights[f"lin{layer}.model.1.weight"].reshape(-1, 1, 1) for layer in range(5)]
    return sum(float(((a - b) ** 2 * line).sum(0).mean()) for a, b, line in zip(*features, lines))


def views(seed: int = 3) -> np.ndarray:
    """Return two views of 64 x 96 pixels."""
    return np.random.default_rng(seed).uniform(0, 1, (2, 64, 96, 3)).astype(np.float32)


@pytest.mark.parametrize("layout", [ALEX, VGG], ids=lambda layout: layout.name)
def test_the_distance_is_the_definition(layout: Layout) -> None:
    """On random weights and pictures the value is that of an independent numpy computation; equal ones have 0."""
    tensors, (one, other) = random_weights(layout), views()
    distance = Lpips(tensors)
    assert distance.layout is layout
    assert distance(one[None], other[None]) == pytest.approx(by_hand(layout, tensors, one, other), rel=1e-4)
    assert distance(one[None], one[None]) == 0


def test_a_mask_counts_only_its_inside() -> None:
    """Damage far outside the mask does not count; a mask of ones is the whole frame."""
    distance, (one, other) = Lpips(random_weights(ALEX)), views()
    mixed = one.copy()
    mixed[:, :24] = other[:, :24]
    far = np.zeros((1, 64, 96), np.float32)
    far[:, :, 90:] = 1
    assert distance(mixed[None], one[None], far) < 0.25 * distance(mixed[None], one[None])
    whole = np.ones((1, 64, 96), np.float32)
    assert distance(mixed[None], one[None], whole) == pytest.approx(
        distance(mixed[None], one[None]), rel=1e-5
    )


def test_every_published_layout_is_read(tmp_path: Path) -> None:
    """torchvision's features with LPIPS' linear layers, and a whole saved LPIPS model, give the same numbers."""
    tensors, (one, other) = random_weights(ALEX), views()
    torch.save(
        {name: value for name, value in tensors.items() if "features" in name}, tmp_path / "alexnet.pth"
    )
    save_file(
        {name: value for name, value in tensors.items() if "lin" in name}, tmp_path / "alex.safetensors"
    )
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    saved = {}
    for name, value in tensors.items():
        parts = name.split(".")
        known = f"net.slice{slices[int(parts[1])]}.{parts[1]}.{parts[2]}" if parts[0] == "features" else name
        saved[known] = value
    torch.save(saved, tmp_path / "whole.pth")
    two = Lpips.from_files((tmp_path / "alexnet.pth", tmp_path / "alex.safetensors"))
    whole = Lpips.from_files((tmp_path / "whole.pth",))
    assert two(one[None], other[None]) == whole(one[None], other[None])
    assert two.identity != whole.identity


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """No file, a file that is no state dict, features alone, and another network each say what to bring."""
    with pytest.raises(MetricUnavailable, match="no weights at"):
        Lpips.from_files((tmp_path / "none.pth",))
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(MetricUnavailable, match="cannot be read"):
        Lpips.from_files((tmp_path / "text.pth",))
    tensors = random_weights(ALEX)
    with pytest.raises(MetricUnavailable, match="no linear layer 0"):
        Lpips({name: value for name, value in tensors.items() if "lin" not in name})
    with pytest.raises(MetricUnavailable, match="no AlexNet"):
        Lpips({"conv1.weight": torch.zeros(8, 3, 7, 7)})
    with pytest.raises(MetricUnavailable, match="are incomplete"):
        Lpips({name: value for name, value in tensors.items() if name != "features.6.bias"})


def test_code_in_a_weights_file_is_refused(tmp_path: Path) -> None:
    """A pickle that would run code is refused, not run."""

    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    torch.save({"features.0.weight": Harm()}, tmp_path / "bad.pth")
    with pytest.raises(MetricUnavailable, match="cannot be read"):
        Lpips.from_files((tmp_path / "bad.pth",))
    assert not (tmp_path / "harmed").exists()
