"""Diffusion engines on an NVIDIA GPU, in less than ten minutes: `python bench/engines_gpu.py`. It has never run on one.

Random weights at the size of CogVideoX-2b: one step of the transformer (21 latents of 60 x 90), and the VAE's encoding
and decoding of 81 frames of 480 x 720: torch eager and torch.compile in bfloat16, ONNX Runtime's CUDA provider in
float16 (its VAE rows are single chunks). Counted TFLOP are listed too: divided by the card's rate they give the
shortest possible time. Every part is written as soon as it is measured; the run ends at its time limit, between two
parts.

`--rehearse` runs the same code at tiny size on the CPU without figures, to test the script itself.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Dict, List

import torch
from diffusers import AutoencoderKLCogVideoX
from harmovid_export.graphs import Graph, Shape, codec_graphs, transformer_graph
from harmovid_export.onnx.build import build
from harmovid_training.models.codec import CogVideoXCodec
from harmovid_training.models.conditioning import HARMOVID
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import make

FULL = Shape(batch=1, latents=21, rows=60, columns=90, text=226)
LIMIT_S = 540.0
STEPS = 3
FLOORS_TFLOP = {"transformer": 285.8 * 21 / 22, "encode": 257 * 81 / 85, "decode": 564 * 21 / 22}
"""Counted on the meta device for 22 latents and 85 frames, scaled to 21 and 81."""

_LEVELS = {
    f"{way}_block_types": (f"CogVideoX{name}Block3D",) * 3 for way, name in (("down", "Down"), ("up", "Up"))
}
TINY_VAE: Dict[str, Any] = {
    **_LEVELS, "block_out_channels": (4, 4, 4), "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 2,
}  # fmt: skip


@dataclass
class Run:
    """What is run, where, and what has been measured."""

    device: str = "cuda"
    size: str = "cogvideox-2b"
    shape: Shape = FULL
    frames: int = 81
    vae: Dict[str, Any] = field(default_factory=dict)
    out: Path = Path("engines_gpu.json")
    report: Dict[str, Any] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds until the time limit of the run."""
        return LIMIT_S - (time.monotonic() - self.started_s)

    def wait(self) -> None:
        """Wait until the device has finished all work."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def time(self, row: str, run: Callable[[], Any]) -> None:
        """Measure and write the best of `STEPS` calls after one warm-up call."""
        run()
        best = float("inf")
        for _ in range(STEPS):
            self.wait()
            started = time.perf_counter()
            run()
            self.wait()
            best = min(best, time.perf_counter() - started)
        self.report[row] = best
        if self.device == "cuda":
            self.report["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            self.out.write_text(json.dumps(self.report, indent=2) + "\n")

    def model(self, device: str) -> ConditionedModel:
        """Return the transformer with random weights."""
        backbone = make(self.size, device=device)
        text = torch.zeros(1, *backbone.text_shape, device=device)
        return ConditionedModel(backbone, HARMOVID, text).to(device).eval()

    def codec(self, device: str, dtype: torch.dtype) -> CogVideoXCodec:
        """Return the VAE with random weights."""
        with torch.device(device):
            return CogVideoXCodec(AutoencoderKLCogVideoX(**self.vae).to(dtype).eval())


@torch.no_grad()
def torch_rows(run: Run) -> None:
    """Measure torch eager and torch.compile."""
    graph = transformer_graph(run.model(run.device).to(torch.bfloat16))
    inputs = tuple(
        [one.to(run.device) for one in value] if isinstance(value, list) else value.to(run.device)
        for value in graph.arguments(graph.example(run.shape))
    )
    run.time("transformer, eager", lambda: graph.module(*inputs))
    if run.device == "cuda":
        compiled = torch.compile(graph.module)
        run.time("transformer, compile", lambda: compiled(*inputs))
    if run.left_s < 120:
        return
    codec = run.codec(run.device, torch.bfloat16)
    size = (run.shape.rows * codec.spatial, run.shape.columns * codec.spatial)
    clip = torch.rand(1, 3, run.frames, *size, device=run.device, dtype=torch.bfloat16) * 2 - 1
    latents = torch.cat(list(codec.encode([clip])), dim=2)
    run.time("encode, eager", lambda: list(codec.encode([clip])))
    run.time("decode, eager", lambda: list(codec.decode([latents])))


def onnx_rows(run: Run, folder: Path) -> None:
    """Measure ONNX Runtime on float16 graphs; exporting 2b takes minutes, so the VAE goes first."""
    for graph in [*codec_graphs(run.codec("cpu", torch.float32)), *transformers(run)]:
        if run.left_s < 60:
            return
        path = build(graph, folder, "float16")
        session = session_of(path, run.device)
        binding = bound(session, graph, run)
        run.time(f"{graph.role}, onnxruntime", lambda one=session, to=binding: one.run_with_iobinding(to))


def transformers(run: Run) -> List[Graph]:
    """Return the transformer's graph where there is time to export it."""
    return [transformer_graph(run.model("cpu"))] if run.left_s > 240 else []


def session_of(path: Path, device: str) -> Any:
    """Return ONNX Runtime's session on the device."""
    import onnxruntime

    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    return onnxruntime.InferenceSession(str(path), providers=[provider])


def bound(session: Any, graph: Graph, run: Run) -> Any:
    """Return a binding with inputs and outputs on the device."""
    import onnxruntime

    binding, inputs = session.io_binding(), graph.example(run.shape)
    for one in session.get_inputs():
        array = inputs[one.name].numpy().astype("float16" if one.type == "tensor(float16)" else "float32")
        binding.bind_ortvalue_input(one.name, onnxruntime.OrtValue.ortvalue_from_numpy(array, run.device, 0))
    for one in session.get_outputs():
        binding.bind_output(one.name, run.device)
    return binding


def main() -> None:
    """Measure what fits into the time and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("engines_gpu.json"))
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the processor, without figures")
    given = parser.parse_args()
    if not given.rehearse and not torch.cuda.is_available():
        print("there is no NVIDIA GPU here: nothing was measured.")
        return
    if given.rehearse:
        run = Run("cpu", "tiny-2b", Shape(1, 3, 4, 6, 8), 9, TINY_VAE)
    else:
        run = Run(out=given.out)
        run.report.update(
            gpu=torch.cuda.get_device_name(), torch=torch.__version__, floors_tflop=FLOORS_TFLOP
        )
    torch_rows(run)
    with TemporaryDirectory() as folder:
        onnx_rows(run, Path(folder))
    print("rows: " + ", ".join(run.report) if given.rehearse else json.dumps(run.report, indent=2))


if __name__ == "__main__":
    main()
