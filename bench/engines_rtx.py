"""Build of a CogVideoX transformer by TensorRT for RTX, which needs no GPU: `python bench/engines_rtx.py --layers 30`.

Random weights, up to 21 latents of 60 x 90 with 226 text tokens, for a GPU of capability 8.9. It prints the seconds of
export and build, the peak memory of both processes and the plan's size, as JSON. The default is one layer of the 2b
model; its whole transformer has 30, that of the 5b model 42. Where memory is short, limit it, so that the build fails
and not something else: `(ulimit -v 20000000; python bench/engines_rtx.py --layers 30)`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from harmovid.bundle import NetworkInfo
from harmovid.errors import HarmoVidError
from harmovid_export.bundle import network_info
from harmovid_export.graphs import DTYPES, Bounds, Shape, transformer_graph
from harmovid_export.onnx.build import build as build_onnx
from harmovid_export.onnx.fp8 import LAYERS
from harmovid_export.tensorrt.build import build, library_named
from harmovid_export.tensorrt.child import peak_kb
from harmovid_training.models.conditioning import HARMOVID
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import make

TEXT, LATENTS = 226, 21
DEVIATION = 0.02
"""Of the random weights."""


def bounds_of(model: ConditionedModel) -> Bounds:
    """Return the sizes to build for: version 1.5 takes latents in pairs, so one more."""
    usual = Shape(1, LATENTS + model.geometry.front_padding(LATENTS), 60, 90, TEXT)
    return Bounds(Shape(1, 2, 8, 8, TEXT), usual, usual)


def random_model(size: str, layers: int, precision: str) -> ConditionedModel:
    """Return a model whose weights are random and in their final type from the start."""
    backbone = make(size, device="meta", num_layers=layers).to(DTYPES[precision])
    model = ConditionedModel(backbone, HARMOVID, torch.zeros(1, *backbone.text_shape)).to(DTYPES[precision])
    model.to_empty(device="cpu")
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, DEVIATION)
    return model.eval()


def exported(size: str, layers: int, precision: str, folder: Path) -> tuple[NetworkInfo, dict[str, float]]:
    """Export a transformer; return what a manifest says of it, and what the export took."""
    model = random_model(size, layers, precision)
    graph = transformer_graph(model)
    names = [name.removeprefix("backbone.transformer.") for name, _ in graph.module.named_modules()]
    started = time.monotonic()
    path = build_onnx(graph, folder, precision, amax=dict.fromkeys(filter(LAYERS.fullmatch, names), 8.0))
    seconds = time.monotonic() - started
    return network_info(path, graph, bounds_of(model)), {
        "parameters": sum(weight.numel() for weight in graph.module.parameters()),
        "onnx_mb": round(sum(one.stat().st_size for one in folder.iterdir()) / 2**20),
        "export_s": round(seconds, 1), "export_peak_mb": round(peak_kb() / 1024),
    }  # fmt: skip


def measured(size: str, layers: int, precision: str, library: str) -> dict[str, Any]:
    """Export and build one transformer, one process after the other, and return what it took."""
    with TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            network, facts = pool.submit(exported, size, layers, precision, Path(folder)).result()
        plan = build(Path(folder), network, "transformer.plan", library=library, gpu="sm89")
    return {
        "size": size, "layers": layers, "precision": precision, **facts, "build_s": plan.seconds,
        "builder_peak_mb": round(plan.peak_mb), "plan_mb": plan.megabytes, "library": f"{library} {plan.version}",
        "layer_types": plan.types,
    }  # fmt: skip


def main() -> int:
    """Export, build, and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=1, help="of the transformer (default 1)")
    parser.add_argument("--size", default="cogvideox-2b", help="cogvideox-2b, cogvideox-5b, cogvideox-1.5-5b")
    parser.add_argument("--precision", default="float16", choices=("float16", "bfloat16", "float8"))
    given = parser.parse_args()
    try:
        library = library_named("auto")
    except HarmoVidError as error:
        print(f"{error} Nothing was measured.")
        return 0
    print(json.dumps(measured(given.size, given.layers, given.precision, library)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
