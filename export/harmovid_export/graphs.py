"""The networks of a checkpoint as modules with named inputs and outputs, and their dynamic ("free") sizes.

    for graph in graphs_of(model, codec, Bounds(...)):
        onnx.build.build(graph, folder, "float32")

    transformer      latents, times, text, positions -> prediction            one step of the sampler
    encode_first     pictures -> latents, next.0 ...                          the first chunk of a clip
    encode_next      pictures, cache.0 ... -> latents, next.0 ...             every later one
    decode_first     latents -> pictures, next.0 ...
    decode_next      latents, cache.0 ... -> pictures, next.0 ...

Inputs and outputs are float32 whatever the type of the weights, because numpy has no bfloat16 and samplers work in
float32. The exception is the caches, which never leave the device.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Tuple

import torch
from harmovid_training.models.codec import Codec
from harmovid_training.models.model import ConditionedModel
from torch import Tensor, nn

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8": torch.bfloat16,
}
"""Precision of the weights by the name that manifests use; in float8 of those that are not FP8 (`onnx/fp8.py`)."""

Inputs = Dict[str, Tensor]


@dataclass(frozen=True)
class Shape:
    """One set of free sizes: batch, latents of a window, rows and columns of latents, tokens of the prompt."""

    batch: int
    latents: int
    rows: int
    columns: int
    text: int


@dataclass(frozen=True)
class Bounds:
    """Smallest, usual and largest sizes, for runtimes that compile for a range of shapes."""

    min: Shape
    opt: Shape
    max: Shape

    def each(self) -> Dict[str, Shape]:
        """Return the three shapes by their names in manifests."""
        return {"min": self.min, "opt": self.opt, "max": self.max}


@dataclass(frozen=True)
class Graph:
    """One network to export.

    Attributes:
        role: in the manifest, and the file's name.
        module: float32, on the CPU; takes the inputs in order, the caches as one list at the end.
        inputs, outputs: their names in order.
        free: for each input its free axes and their names.
        example: makes random inputs of a shape.
        plain: number of inputs before the caches.
        prefix: of the weights' names in the module, which the checkpoint's names do not have.
    """

    role: str
    module: nn.Module
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    free: Mapping[str, Mapping[int, str]]
    example: Callable[[Shape], Inputs] = field(repr=False)
    plain: int
    prefix: str

    def arguments(self, inputs: Inputs) -> Tuple[Any, ...]:
        """Return the module's arguments for inputs by name."""
        values = [inputs[name] for name in self.inputs]
        return (*values[: self.plain], values[self.plain :])

    def in_precision(self, precision: str) -> nn.Module:
        """Return a copy of the module with weights of this precision, or the module itself where it has it."""
        dtype = DTYPES[precision]
        weights = [*self.module.parameters(), *self.module.buffers()]
        if all(one.dtype == dtype for one in weights if one.is_floating_point()):
            return self.module
        # Copied weight by weight: a whole copy in float32 first would need three times the memory.
        made: Dict[int, Any] = {}
        for one in weights:
            if one.is_floating_point():
                held = one.detach().to(dtype)
                made[id(one)] = (
                    nn.Parameter(held, one.requires_grad) if isinstance(one, nn.Parameter) else held
                )
        return copy.deepcopy(self.module, made)


def graphs_of(model: ConditionedModel, codec: Codec) -> List[Graph]:
    """Return all graphs of a diffusion model and its VAE."""
    return [transformer_graph(model), *codec_graphs(codec)]


class _Transformer(nn.Module):
    """The backbone with float32 inputs and outputs."""

    def __init__(self, model: ConditionedModel) -> None:
        super().__init__()
        self.backbone = model.backbone

    def forward(self, latents: Tensor, times: Tensor, text: Tensor, positions: List[Tensor]) -> Tensor:
        dtype = self.backbone.dtype
        made = self.backbone(latents.to(dtype), times, text.to(dtype), tuple(positions))
        return torch.as_tensor(made.float())


def transformer_graph(model: ConditionedModel) -> Graph:
    """Return the network of one sampler step; its inputs are latents (noisy and conditions), times, text, positions."""
    backbone, geometry = model.backbone, model.geometry
    channels = model.conditioning.channels(geometry)

    def example(shape: Shape) -> Inputs:
        generator = torch.Generator().manual_seed(shape.latents * shape.rows + shape.columns)
        made = {
            "latents": torch.randn(
                shape.batch, channels, shape.latents, shape.rows, shape.columns, generator=generator
            ),
            "times": torch.rand(shape.batch, generator=generator) * 999,
            "text": torch.randn(shape.batch, shape.text, backbone.text_shape[1], generator=generator),
        }
        placed = backbone.positions(shape.latents, shape.rows, shape.columns, torch.device("cpu"))
        return {**made, **{name: one.float() for name, one in zip(backbone.position_names, placed)}}

    positions = {name: {1 if name == "embedding" else 0: "tokens"} for name in backbone.position_names}
    free = {
        "latents": {0: "batch", 2: "latents", 3: "rows", 4: "columns"},
        "times": {0: "batch"}, "text": {0: "batch", 1: "text"}, **positions,
    }  # fmt: skip
    return Graph(
        "transformer", _Transformer(model).eval(), tuple(free), ("prediction",), free, example, 3,
        "backbone.transformer.",
    )  # fmt: skip


class _Chunk(nn.Module):
    """One chunk through the VAE, its cache as a flat list of tensors.

    Args:
        like: the nested cache after the chunk before; None for the first chunk.
    """

    def __init__(self, codec: Codec, encode: bool, like: Any) -> None:
        super().__init__()
        self.vae = codec.vae
        self._codec, self._encode, self._like = codec, encode, like

    def forward(self, chunk: Tensor, caches: List[Tensor]) -> Tuple[Tensor, ...]:
        weight = next(self.vae.parameters())
        cache = None if self._like is None else unflattened(self._like, iter(caches))
        chunk = chunk.to(weight.dtype)
        codec = self._bound()
        if self._encode:
            made, left = codec.encode_chunk(chunk, cache)
            made = codec.scaled(made)
        else:
            made, left = codec.decode_chunk(codec.unscaled(chunk), cache)
        return (made.float(), *flattened(left))

    def _bound(self) -> Codec:
        """Return the codec with this module's own weights, which differ after the module was copied."""
        codec = copy.copy(self._codec)
        codec.vae = self.vae
        return codec


def codec_graphs(codec: Codec) -> List[Graph]:
    """Return the graphs of the VAE: first and next chunk, encoding and decoding. Their number of frames is fixed."""
    graphs = []
    for encode in (True, False):
        left: Any = None
        for place in ("first", "next"):
            graph = _chunk_graph(codec, encode, place, left)
            graphs.append(graph)
            left = _first_cache(codec, encode)
    return graphs


def _chunk_graph(codec: Codec, encode: bool, place: str, like: Any) -> Graph:
    steps = {
        ("first", True): codec.first_frames, ("next", True): codec.next_frames,
        ("first", False): codec.first_latents, ("next", False): codec.next_latents,
    }[place, encode]  # fmt: skip
    caches = [] if like is None else flattened(like)
    names = ("pictures", "latents") if encode else ("latents", "pictures")
    kept = len(flattened(_first_cache(codec, encode)))

    def example(shape: Shape) -> Inputs:
        chunk, cache = _example(codec, encode, shape, steps, following=like is not None)
        return {names[0]: chunk, **{f"cache.{i}": one for i, one in enumerate(flattened(cache))}}

    free: Dict[str, Dict[int, str]] = {names[0]: {0: "batch", 3: "rows", 4: "columns"}}
    for i in range(len(caches)):
        free[f"cache.{i}"] = {0: "batch", 3: f"rows.{i}", 4: f"columns.{i}"}
    return Graph(
        f"{'encode' if encode else 'decode'}_{place}",
        _Chunk(codec, encode, like).eval(),
        tuple(free),
        (names[1], *(f"next.{i}" for i in range(kept))),
        free,
        example,
        1,
        "vae.",
    )


@torch.no_grad()
def _first_cache(codec: Codec, encode: bool) -> Any:
    """Return the cache after a first chunk of the smallest possible picture."""
    return _example(codec, encode, Shape(1, 1, 2, 2, 1), 0, following=True)[1]


@torch.no_grad()
def _example(codec: Codec, encode: bool, shape: Shape, steps: int, *, following: bool) -> Tuple[Tensor, Any]:
    """Return a random chunk, and if `following` the cache after a random first chunk."""
    device = next(codec.vae.parameters()).device
    unit = codec.spatial if encode else 1
    size = (shape.batch, 3 if encode else codec.channels)
    plane = (shape.rows * unit, shape.columns * unit)

    def random(count: int) -> Tensor:
        generator = torch.Generator().manual_seed(shape.rows + 7 * shape.columns + count)
        return torch.randn(*size, count, *plane, generator=generator).to(device)

    if not following:
        return random(steps), None
    run = codec.encode_chunk if encode else codec.decode_chunk
    return random(steps), run(random(codec.first_frames if encode else codec.first_latents), None)[1]


def flattened(cache: Any) -> List[Tensor]:
    """Return the tensors of a nested cache in its own order."""
    if isinstance(cache, Tensor):
        return [cache]
    if isinstance(cache, dict):
        return [leaf for value in cache.values() for leaf in flattened(value)]
    if isinstance(cache, (list, tuple)):
        return [leaf for value in cache for leaf in flattened(value)]
    return []


def unflattened(like: Any, leaves: Any) -> Any:
    """Return a cache shaped like `like` with its tensors taken from the iterator `leaves`."""
    if isinstance(like, Tensor):
        return next(leaves)
    if isinstance(like, dict):
        return {name: unflattened(value, leaves) for name, value in like.items()}
    if isinstance(like, (list, tuple)):
        return [unflattened(value, leaves) for value in like]
    return like


def shapes_at(graph: Graph, shape: Shape) -> Dict[str, Tuple[int, ...]]:
    """Return the full shape of every input at a set of free sizes."""
    return {name: tuple(value.shape) for name, value in graph.example(shape).items()}
