"""Diffusion engines on an NVIDIA GPU, in less than ten minutes: `python bench/engines_gpu.py`. It has never run on one.

Random weights at the size of CogVideoX-2b: one step of the transformer (21 latents of 60 x 90, 226 text tokens), and
the VAE's encoding and decoding of 81 frames of 480 x 720. Torch eager and torch.compile run in bfloat16, ONNX Runtime's
CUDA provider in float16 (its VAE rows are single chunks). The card's own rates are measured first: the counted work
divided by them gives the shortest possible time (the floor) of each row.

Each part is a process of its own with a time limit: one that fails, hangs or needs a package that is missing costs its
own row, which then says why. The results are written after every part. Without an installation of the project:
`PYTHONPATH=core:training:export python bench/engines_gpu.py`; it needs torch, diffusers and transformers, for the last
parts onnx, onnxscript and onnxruntime-gpu.

`--rehearse` runs all parts at tiny size on the CPU, to test the script itself; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Dict, Iterator, List, Tuple

LIMIT_S = 560.0
STEPS = 3
FRAMES = 81
TFLOP = {"transformer": 285.8 * 21 / 22, "encode": 257 * 81 / 85, "decode": 564 * 21 / 22}
"""Counted on the meta device for 22 latents and 85 frames (attention included), scaled to 21 and 81."""

PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "triton",
)

_LEVELS = {
    f"{way}_block_types": (f"CogVideoX{name}Block3D",) * 3 for way, name in (("down", "Down"), ("up", "Up"))
}
TINY_VAE: Dict[str, Any] = {
    **_LEVELS, "block_out_channels": (4, 8, 8), "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 2,
}  # fmt: skip


class Missing(Exception):
    """A part cannot run here; the text says what is missing."""


class Place:
    """Device and sizes: the whole model on the GPU, or a tiny one on the CPU."""

    def __init__(self, tiny: bool) -> None:
        self.tiny = tiny
        self.device = "cpu" if tiny else "cuda"
        self.size = "tiny-2b" if tiny else "cogvideox-2b"
        self.frames = 9 if tiny else FRAMES
        self.vae = TINY_VAE if tiny else {}

    @property
    def shape(self) -> Any:
        """Return the sizes of a window."""
        from harmovid_export.graphs import Shape

        if self.tiny:
            return Shape(batch=1, latents=3, rows=4, columns=6, text=8)
        return Shape(batch=1, latents=21, rows=60, columns=90, text=226)

    def transformer(self, device: str) -> Any:
        """Return the graph of one step, with random weights in float32."""
        import torch
        from harmovid_export.graphs import transformer_graph
        from harmovid_training.models.conditioning import HARMOVID
        from harmovid_training.models.model import ConditionedModel
        from harmovid_training.models.sizes import make

        backbone = make(self.size, device=device)
        text = torch.zeros(1, *backbone.text_shape, device=device)
        return transformer_graph(ConditionedModel(backbone, HARMOVID, text).to(device).eval())

    def codec(self, device: str, dtype: Any) -> Any:
        """Return the VAE with random weights."""
        import torch
        from diffusers import AutoencoderKLCogVideoX
        from harmovid_training.models.codec import CogVideoXCodec

        with torch.device(device):
            return CogVideoXCodec(AutoencoderKLCogVideoX(**self.vae).to(dtype).eval())

    def graph(self, role: str, device: str) -> Any:
        """Return the graph of a role, with random weights in float32."""
        import torch
        from harmovid_export.graphs import codec_graphs

        if role == "transformer":
            return self.transformer(device)
        return next(one for one in codec_graphs(self.codec(device, torch.float32)) if one.role == role)

    def timed(self, run: Callable[[], Any]) -> Dict[str, Any]:
        """Return seconds of the best of `STEPS` calls after a warm-up call, and the memory at the peak."""
        import torch

        def wait() -> None:
            if self.device == "cuda":
                torch.cuda.synchronize()

        wait()
        started = time.perf_counter()
        run()
        wait()
        row: Dict[str, Any] = {"first_call_s": time.perf_counter() - started, "seconds": float("inf")}
        for _ in range(STEPS):
            started = time.perf_counter()
            run()
            wait()
            row["seconds"] = min(row["seconds"], time.perf_counter() - started)
        if self.device == "cuda":
            row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        return row


def card(place: Place, words: List[str]) -> Dict[str, Any]:
    """Return the card's name, its rate in bfloat16 products and its copy rate."""
    import torch

    side = 8192 if place.device == "cuda" else 64
    left, right = (torch.randn(side, side, device=place.device, dtype=torch.bfloat16) for _ in range(2))
    product = place.timed(lambda: left @ right)["seconds"]
    block = torch.empty(1 << (32 if place.device == "cuda" else 20), device=place.device, dtype=torch.uint8)
    copied = place.timed(block.clone)["seconds"]
    cuda = place.device == "cuda"
    return {
        "gpu": torch.cuda.get_device_name() if cuda else "none",
        "capability": torch.cuda.get_device_capability() if cuda else None,
        "memory_gib": torch.cuda.mem_get_info()[1] / 2**30 if cuda else None,
        "cuda": torch.version.cuda,
        "tflops": 2 * side**3 / product / 1e12,
        "copy_gb_s": 2 * block.numel() / copied / 1e9,
    }


def step(place: Place, words: List[str]) -> Dict[str, Any]:
    """Measure one step of the transformer; `compile` in the words compiles it."""
    import torch

    graph = place.transformer(place.device)
    module: Any = graph.module.to(torch.bfloat16)
    inputs = tuple(
        [one.to(place.device) for one in value] if isinstance(value, list) else value.to(place.device)
        for value in graph.arguments(graph.example(place.shape))
    )
    if "compile" in words:
        module = torch.compile(module)
    return place.timed(lambda: module(*inputs))


def pictures(place: Place, words: List[str]) -> Dict[str, Any]:
    """Measure encoding or decoding of the whole clip, chunk by chunk."""
    import torch

    codec = place.codec(place.device, torch.bfloat16)
    if "compile" in words:
        codec.vae.encoder, codec.vae.decoder = (
            torch.compile(codec.vae.encoder),
            torch.compile(codec.vae.decoder),
        )
    on = {"device": place.device, "dtype": torch.bfloat16}
    if "encode" in words:
        size = (place.shape.rows * codec.spatial, place.shape.columns * codec.spatial)
        clip = torch.rand(1, 3, place.frames, *size, **on) * 2 - 1
        return place.timed(lambda: [None for _ in codec.encode([clip])])
    plane = (place.shape.latents, place.shape.rows, place.shape.columns)
    latents = torch.randn(1, codec.channels, *plane, **on)
    return place.timed(lambda: [None for _ in codec.decode([latents])])


def onnxruntime_rows(place: Place, words: List[str]) -> Dict[str, Any]:
    """Export one graph in float16 and measure it in ONNX Runtime with all tensors on the device."""
    import numpy as np
    from harmovid_export.graphs import shapes_at
    from harmovid_export.onnx.build import build

    try:
        import onnxruntime
    except ImportError as error:
        raise Missing(f"onnxruntime is not installed: {error}") from error
    provider = "CUDAExecutionProvider" if place.device == "cuda" else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise Missing(
            f"this onnxruntime {onnxruntime.__version__} has no CUDA provider; onnxruntime-gpu has it"
        )
    graph = place.graph(words[0], "cpu")
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        path = build(graph, Path(folder), "float16")
        exported = time.perf_counter() - started
        session = onnxruntime.InferenceSession(str(path), providers=[provider])
    if session.get_providers()[0] != provider:
        raise Missing(f"onnxruntime could not start {provider}: CUDA or cuDNN libraries are missing")
    # The caches of a whole chunk are only known after one, and computing that on the processor would take minutes.
    shapes = shapes_at(place.graph(words[0], "meta"), place.shape)
    binding, rng = session.io_binding(), np.random.default_rng(0)
    for one in session.get_inputs():
        kind = np.float16 if one.type == "tensor(float16)" else np.float32
        array = rng.random(shapes[one.name], np.float32).astype(kind)
        binding.bind_ortvalue_input(
            one.name, onnxruntime.OrtValue.ortvalue_from_numpy(array, place.device, 0)
        )
    for one in session.get_outputs():
        binding.bind_output(one.name, place.device)
    return {**place.timed(lambda: session.run_with_iobinding(binding)), "export_s": exported}


Part = Tuple[str, Callable[[Place, List[str]], Dict[str, Any]], List[str], float]

PARTS: List[Part] = [
    ("card", card, [], 60),
    ("transformer, eager", step, [], 90),
    ("encode, eager", pictures, ["encode"], 90),
    ("decode, eager", pictures, ["decode"], 90),
    ("transformer, compile", step, ["compile"], 180),
    ("decode_next, onnxruntime", onnxruntime_rows, ["decode_next"], 120),
    ("encode_next, onnxruntime", onnxruntime_rows, ["encode_next"], 120),
    ("transformer, onnxruntime", onnxruntime_rows, ["transformer"], 240),
    ("encode, compile", pictures, ["encode", "compile"], 180),
    ("decode, compile", pictures, ["decode", "compile"], 180),
]
"""Name, function, its words, and the most seconds that it may take; what matters most comes first."""


def run_part(name: str, tiny: bool) -> None:
    """Run one part in this process and print its row as the last line."""
    row: Dict[str, Any]
    try:
        import torch

        if not tiny and not torch.cuda.is_available():
            raise Missing("torch finds no NVIDIA GPU")
        run, words = next((run, words) for one, run, words, _ in PARTS if one == name)
        with torch.no_grad():
            row = run(Place(tiny), words)
    except ImportError as error:
        row = {"not_measured": f"a package is missing: {error}"}
    except Missing as error:
        row = {"not_measured": str(error)}
    except Exception as error:  # the other parts go on whatever this one's fault is
        row = {"not_measured": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    print(json.dumps(row), flush=True)


def rows(tiny: bool, chosen: List[str], limit_s: float) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield each part's row as its process ends."""
    started = time.monotonic()
    for name, _, _, limit in PARTS:
        if chosen and name not in chosen:
            continue
        left = limit_s - (time.monotonic() - started)
        most = left if tiny else min(limit, left)
        if left < 15:
            yield name, {"not_measured": "the time limit of the run was reached"}
            continue
        command = [sys.executable, __file__, "--part", name, *(["--rehearse"] if tiny else [])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=most, check=False)
        except subprocess.TimeoutExpired:
            yield name, {"not_measured": f"it took longer than {most:.0f} s"}
            continue
        last = (done.stdout.strip().splitlines() or [""])[-1]
        try:
            yield name, dict(json.loads(last))
        except ValueError:
            end = " ".join(done.stderr.split())[-300:]
            yield name, {"not_measured": f"the process ended with {done.returncode}: {end}"}


def with_floor(name: str, row: Dict[str, Any], tflops: float) -> Dict[str, Any]:
    """Return a row with the shortest possible time at the card's measured rate, for whole clips and steps."""
    work = TFLOP.get(name.partition(",")[0])
    if work is None or "seconds" not in row or not tflops:
        return row
    floor = work / tflops
    return {**row, "tflop": work, "floor_s": floor, "times_floor": row["seconds"] / floor}


def told(name: str, row: Dict[str, Any]) -> str:
    """Return a row as a line of text."""
    if "not_measured" in row:
        return f"{name:26} NOT MEASURED: {row['not_measured']}"
    if name == "card":
        return f"{name:26} {row['gpu']}, {row['tflops']:.0f} TFLOP/s bfloat16, {row['copy_gb_s']:.0f} GB/s copied"
    floor = f", floor {row['floor_s']:.3f} s, {row['times_floor']:.2f} times that" if "floor_s" in row else ""
    peak = f", {row['peak_gib']:.1f} GiB" if "peak_gib" in row else ""
    return f"{name:26} {row['seconds']:.3f} s{floor}{peak}, first call {row['first_call_s']:.1f} s"


def versions() -> Dict[str, str]:
    """Return the installed versions of what is measured."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def main() -> int:
    """Run the parts and write their rows; return 1 if nothing was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("engines_gpu.json"))
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU, to test the script")
    parser.add_argument("--parts", default="", help="names, separated by semicolons (default: all)")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_S, metavar="S", help=f"of the run (default {LIMIT_S:g})"
    )
    parser.add_argument("--part", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        run_part(given.part, given.rehearse)
        return 0
    chosen = [name.strip() for name in given.parts.split(";") if name.strip()]
    report: Dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "rehearsal": given.rehearse,
        "versions": versions(), "rows": {},
    }  # fmt: skip
    tflops = 0.0
    for name, row in rows(given.rehearse, chosen, given.limit):
        tflops = row.get("tflops", tflops)
        report["rows"][name] = row if given.rehearse else with_floor(name, row, tflops)
        given.out.write_text(json.dumps(report, indent=2) + "\n")
        print(told(name, report["rows"][name]), flush=True)
    measured = [name for name, row in report["rows"].items() if "not_measured" not in row]
    print(f"{len(measured)} of {len(report['rows'])} parts measured, written to {given.out}")
    return 0 if measured else 1


if __name__ == "__main__":
    sys.exit(main())
