"""ONNX Runtime against torch on the CPU, for the same graphs, as ratios within one run: `python bench/engines_cpu.py`.

Torch eager, torch.compile and ONNX Runtime take turns, so that other load on the machine affects all of them alike; the
ratios of their best times are printed. `--heads 30` measures a block of the 2b model, the default one of four heads.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Dict, List

import torch
from harmovid_export.graphs import Graph, Shape, codec_graphs, transformer_graph
from harmovid_export.onnx.build import build
from harmovid_training.models.codec import CogVideoXCodec
from harmovid_training.models.conditioning import HARMOVID
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import make

ROUNDS = 7
SHAPE = Shape(batch=1, latents=6, rows=16, columns=24, text=16)


def graphs(heads: int) -> List[Graph]:
    """Return one block of the transformer, and a VAE of a quarter of CogVideoX's width, with random weights."""
    from diffusers import AutoencoderKLCogVideoX

    torch.manual_seed(0)
    backbone = make(
        "cogvideox-2b", num_layers=1, num_attention_heads=heads, text_embed_dim=64, max_text_seq_length=SHAPE.text,
    )  # fmt: skip
    model = ConditionedModel(backbone, HARMOVID, torch.zeros(1, *backbone.text_shape)).eval()
    vae = AutoencoderKLCogVideoX(block_out_channels=(32, 64, 64, 128), layers_per_block=1).eval()
    return [transformer_graph(model), *codec_graphs(CogVideoXCodec(vae))]


def runners(graph: Graph, folder: Path, threads: int) -> Dict[str, Callable[[], Any]]:
    """Return the three ways to run a graph, by name, on the same inputs."""
    import onnxruntime

    inputs = graph.example(SHAPE)
    arguments = graph.arguments(inputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = build(graph, folder, "float32")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    arrays = {name: value.numpy() for name, value in inputs.items()}
    compiled = torch.compile(graph.module)
    return {
        "eager": lambda: graph.module(*arguments),
        "compile": lambda: compiled(*arguments),
        "onnxruntime": lambda: session.run(None, arrays),
    }


@torch.no_grad()
def measure(ways: Dict[str, Callable[[], Any]]) -> Dict[str, float]:
    """Return the best time of each way, in seconds; they take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(ROUNDS + 1):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if turn:  # the first call compiles and allocates
                best[name] = min(best[name], time.perf_counter() - started)
    return best


def main() -> None:
    """Print one line per graph and a JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=4, help="of the block; 30 is the 2b model's")
    parser.add_argument("--graphs", default="", help="roles, comma between (default: all five)")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = {}
    with TemporaryDirectory() as folder:
        wanted = [name for name in given.graphs.split(",") if name]
        for graph in (one for one in graphs(given.heads) if not wanted or one.role in wanted):
            best = measure(runners(graph, Path(folder), given.threads))
            found[graph.role] = {
                name: round(best["eager"] / best[name], 3) for name in ("compile", "onnxruntime")
            }
            print(f"{graph.role:14} eager / compile {found[graph.role]['compile']:.2f}, "
                  f"eager / onnxruntime {found[graph.role]['onnxruntime']:.2f}", flush=True)  # fmt: skip
    print(json.dumps({"threads": given.threads, "heads": given.heads, "times_as_fast_as_eager": found}))


if __name__ == "__main__":
    main()
