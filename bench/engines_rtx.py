"""Build of a transformer of 2b width by TensorRT for RTX, which needs no GPU: `python bench/engines_rtx.py`.

Random weights, float16, up to 21 latents of 60 x 90 with 226 text tokens. It prints the seconds of export and build,
the builder's peak memory and the plan's size. `--layers 30` builds the whole model, which has not been run
(docs/log.md).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from harmovid_export.bundle import network_info
from harmovid_export.graphs import Bounds, Shape, transformer_graph
from harmovid_export.onnx.build import build as build_onnx
from harmovid_export.tensorrt.build import build, library_named
from harmovid_training.models.conditioning import HARMOVID
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import make

TEXT = 226
BOUNDS = Bounds(Shape(1, 2, 8, 8, TEXT), Shape(1, 21, 60, 90, TEXT), Shape(1, 21, 60, 90, TEXT))


def main() -> None:
    """Export, build, and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=1, help="of the transformer; 30 is the whole 2b model")
    given = parser.parse_args()
    try:
        library = library_named("auto")
    except Exception as error:
        print(f"{error} Nothing was measured.")
        return
    backbone = make("cogvideox-2b", num_layers=given.layers)
    model = ConditionedModel(backbone, HARMOVID, torch.zeros(1, *backbone.text_shape)).eval()
    graph = transformer_graph(model)
    with TemporaryDirectory() as folder:
        started = time.monotonic()
        path = build_onnx(graph, Path(folder), "float16")
        exported_s = time.monotonic() - started
        network = network_info(path, graph, BOUNDS)
        plan = build(Path(folder), network, "transformer.plan", library=library, gpu="sm89")
    weights = sum(weight.numel() for weight in model.parameters())
    print(json.dumps({
        "layers": given.layers, "parameters": weights, "export_s": round(exported_s, 1), "build_s": plan.seconds,
        "builder_peak_mb": plan.peak_mb, "plan_mb": plan.megabytes, "library": f"{library} {plan.version}",
        "types": plan.types,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
