"""For a day with an NVIDIA GPU, under ten minutes: `python bench/engines_gpu.py --out gpu.json`. It has never run yet.

Random weights at the size of CogVideoX-2b: one step of the transformer (21 latents of 60 x 90), and the VAE's encoding
and decoding of 81 frames of 480 x 720: torch eager and torch.compile in bfloat16, ONNX Runtime's CUDA provider in
float16 (its VAE rows are single chunks). Beside them stand the floors: counted TFLOP, to be divided by the card's rate.
Every part is written as soon as it is measured; the clock ends the run between two parts.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Dict

import torch
from harmovid_export.graphs import Graph, Shape, codec_graphs, transformer_graph
from harmovid_export.onnx.build import build
from harmovid_training.models.codec import CogVideoXCodec
from harmovid_training.models.conditioning import HARMOVID
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import make

SHAPE = Shape(batch=1, latents=21, rows=60, columns=90, text=226)
LIMIT_S = 540.0
STEPS = 3
FLOORS_TFLOP = {"transformer": 285.8 * 21 / 22, "encode": 257 * 81 / 85, "decode": 564 * 21 / 22}
"""Counted on the meta device for 22 latents and 85 frames, scaled to 21 and 81."""


def seconds(run: Callable[[], Any]) -> float:
    """Return the best of `STEPS` calls after a first one that is not counted."""
    run()
    best = float("inf")
    for _ in range(STEPS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def transformer() -> Graph:
    """Return the 2b model with random weights, made on the GPU."""
    with torch.device("cuda"):
        backbone = make("cogvideox-2b")
        text = torch.zeros(1, *backbone.text_shape)
    return transformer_graph(ConditionedModel(backbone, HARMOVID, text).to(torch.bfloat16).eval())


def vae() -> Any:
    """Return CogVideoX's VAE with random weights, on the GPU."""
    from diffusers import AutoencoderKLCogVideoX

    with torch.device("cuda"):
        return AutoencoderKLCogVideoX().to(torch.bfloat16).eval()


@torch.no_grad()
def torch_rows(report: Dict[str, Any], keep: Callable[[], None], left: Callable[[], float]) -> None:
    """Measure torch eager and torch.compile."""
    graph = transformer()
    inputs = tuple(
        [one.cuda() for one in value] if isinstance(value, list) else value.cuda()
        for value in graph.arguments(graph.example(SHAPE))
    )
    report["transformer, eager"] = seconds(lambda: graph.module(*inputs))
    keep()
    compiled = torch.compile(graph.module)
    report["transformer, compile"] = seconds(lambda: compiled(*inputs))
    keep()
    torch.compiler.reset()
    if left() < 120:
        return
    codec = CogVideoXCodec(vae())
    clip = torch.randn(1, 3, 81, 480, 720, device="cuda", dtype=torch.bfloat16).clamp(-1, 1)
    latents = torch.cat(list(codec.encode([clip])), dim=2)
    report["encode, eager"] = seconds(lambda: list(codec.encode([clip])))
    keep()
    report["decode, eager"] = seconds(lambda: list(codec.decode([latents])))
    keep()


def onnx_rows(
    report: Dict[str, Any], keep: Callable[[], None], left: Callable[[], float], folder: Path
) -> None:
    """Measure ONNX Runtime's CUDA provider on float16 graphs; exporting 2b takes minutes, so the VAE goes first."""
    import onnxruntime
    from diffusers import AutoencoderKLCogVideoX

    graphs = codec_graphs(CogVideoXCodec(AutoencoderKLCogVideoX().eval()))
    if left() > 240:
        backbone = make("cogvideox-2b")
        text = torch.zeros(1, *backbone.text_shape)
        graphs.append(transformer_graph(ConditionedModel(backbone, HARMOVID, text).eval()))
    for graph in graphs:
        if left() < 60:
            return
        path = build(graph, folder, "float16")
        session = onnxruntime.InferenceSession(str(path), providers=["CUDAExecutionProvider"])
        binding = session.io_binding()
        for one in session.get_inputs():
            kind = "float16" if one.type == "tensor(float16)" else "float32"
            array = graph.example(SHAPE)[one.name].numpy().astype(kind)
            binding.bind_ortvalue_input(one.name, onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", 0))
        for one in session.get_outputs():
            binding.bind_output(one.name, "cuda", 0)
        report[f"{graph.role}, onnxruntime cuda"] = seconds(
            lambda run=session, to=binding: run.run_with_iobinding(to)
        )
        keep()


def main() -> None:
    """Measure what fits into the time and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("engines_gpu.json"))
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no NVIDIA GPU here: nothing was measured.")
        return
    started = time.monotonic()
    report: Dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "floors_tflop": FLOORS_TFLOP,
    }  # fmt: skip

    def left() -> float:
        return LIMIT_S - (time.monotonic() - started)

    def keep() -> None:
        report["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        given.out.write_text(json.dumps(report, indent=2) + "\n")

    torch_rows(report, keep, left)
    torch.cuda.empty_cache()
    with TemporaryDirectory() as folder:
        onnx_rows(report, keep, left, Path(folder))
    keep()
    print(given.out.read_text())


if __name__ == "__main__":
    main()
