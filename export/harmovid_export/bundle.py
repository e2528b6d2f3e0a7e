"""A checkpoint as an engine bundle: all graphs, the prompt, the manifest and the model card, checked against torch.

    export_bundle(Path("runs/harmovid"), vae, out, Request(licence="Apache-2.0", precision="float16"))

The server's engine (`harmovid_server.engines.diffusion`) reads what is written here; docs/export.md lists the fields.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import onnx
import torch
from diffusers import UniPCMultistepScheduler
from harmovid import bundle
from harmovid.bundle import Manifest, NetworkInfo, TensorInfo
from harmovid.errors import InputError
from harmovid.pixels.colour.model_space import CONTRACT
from harmovid_training.device import best_device
from harmovid_training.inference.shot import Settings
from harmovid_training.models import space
from harmovid_training.models.checkpoint import load_checkpoint
from harmovid_training.models.codec import Codec, CogVideoXCodec, WanCodec
from harmovid_training.models.cogvideox import CogVideoX
from harmovid_training.models.model import ConditionedModel
from harmovid_training.toy.codec import load_codec

from harmovid_export.calibrate import ranges
from harmovid_export.folders import beside, check_replaceable, put
from harmovid_export.footage import clip_of
from harmovid_export.graphs import Bounds, Graph, Shape, graphs_of, shapes_at
from harmovid_export.onnx.build import build
from harmovid_export.onnx.check import check

KIND = "diffusion"
TASKS = {"harmovid": "harmonize", "deflicker": "deflicker"}
"""A checkpoint's conditioning to the task of the engine."""

MEASURED_STEPS = 8
"""Steps of the sampler when FP8's scales are measured; a student takes one."""

RUNTIME = {"onnxruntime": "1.23"}
"""First version of ONNX Runtime that runs attention of opset 23."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """Settings of an export.

    Attributes:
        name: of the engine; empty takes one from the conditioning. version: of the weights.
        licence: SPDX identifier or a sentence; required.
        precision: of the weights: float32, float16, bfloat16, or float8, where the transformer's linear layers are FP8
            and all else is bfloat16.
        footage: folders of frames or videos on which FP8's scales are measured; float8 needs at least one.
        sampler, steps: defaults of the engine; empty and 0 take the schedule's first sampler and 50.
        window, overlap: in frames; 0 takes 81 and a quarter of the window.
        lines: height of the proxies; 0 takes the height of training.
        width: of the widest proxy that compiled plans take; 0 takes slightly more than 16:9.
        trusted: whether the VAE's pictures are accurate to the pixel, so that hard shadows are taken from them.
        check: compare every graph with torch.
    """

    licence: str
    name: str = ""
    version: str = "1"
    precision: str = "float32"
    footage: Tuple[Path, ...] = ()
    sampler: str = ""
    steps: int = 0
    window: int = 0
    overlap: int = -1
    lines: int = 0
    width: int = 0
    trusted: bool = False
    check: bool = True


def load_vae(source: str, kind: str) -> Codec:
    """Return the VAE in a folder or of a public name.

    Args:
        source: diffusers' layout, or the toy's `vae` folder.
        kind: of the checkpoint: cogvideox or wan.
    """
    if (Path(source) / "vae.safetensors").is_file():
        return load_codec(Path(source))
    try:
        if kind == "wan":
            return WanCodec.from_pretrained(source, torch.float32)
        return CogVideoXCodec.from_pretrained(source, torch.float32)
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no VAE in {source}: {error}",
            fix="Name the base model, or a folder that holds its vae.",
        ) from error


def export_bundle(
    checkpoint: Path, vae: str, out: Path, request: Request, tell: Tell = lambda line: None
) -> Manifest:
    """Write a bundle and return its manifest. An existing bundle is replaced once the new one is complete.

    Args:
        checkpoint: folder that training wrote.
        vae: see `load_vae`.
        tell: is called with a line of text for every step.

    Raises:
        InputError: the checkpoint or VAE cannot be used, or a graph's results differ from torch's.
        BundleError: `out` exists and is no bundle.
    """
    check_replaceable(out)
    if (request.precision == "float8") != bool(request.footage):
        raise InputError(
            "float8 needs footage to measure its scales on."
            if not request.footage
            else "footage is for float8 only.",
            fix="Give both: --precision float8 --footage PLATES, some shots of the kind that will come.",
        )
    model = merged(load_checkpoint(checkpoint))
    codec = load_vae(vae, "cogvideox" if isinstance(model.backbone, CogVideoX) else "wan")
    if (codec.spatial, codec.channels) != (model.geometry.spatial, model.geometry.channels):
        raise InputError(
            f"a VAE of {codec.channels} channels at 1/{codec.spatial} does not fit a transformer of "
            f"{model.geometry.channels} channels at 1/{model.geometry.spatial}.",
            fix="Name the VAE of the model that was trained.",
        )
    part = beside(out)
    try:
        manifest = _written(model, codec, part, request, checkpoint / "README.md", tell)
        put(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def merged(model: ConditionedModel) -> ConditionedModel:
    """Add the adapters of a LoRA checkpoint to the weights that they adapt, so that a graph has no more layers."""
    transformer: Any = model.backbone.transformer
    if getattr(transformer, "peft_config", None):
        transformer.fuse_lora()
        transformer.unload_lora()
    return model


def _written(
    model: ConditionedModel, codec: Codec, folder: Path, request: Request, card: Path, tell: Tell
) -> Manifest:
    shutil.copyfile(card, folder / "card.md")
    bounds = bounds_of(model, request)
    networks: Dict[str, NetworkInfo] = {"prompt": _prompt(model, folder)}
    meta = _meta(codec)
    amax = measured(model, codec, bounds, request, tell) if request.precision == "float8" else {}
    for graph, shapes in zip(graphs_of(model, codec), graphs_of(model, meta)):
        precision = precision_of(graph.role, request.precision)
        path = build(graph, folder, precision, amax=amax)
        told = ""
        if request.check:
            distances = check(graph, path, precision)
            told = f", {max(distances):.1e} from torch (relative L2)"
        tell(f"{path.name}: {precision}{told}")
        networks[graph.role] = network_info(path, shapes, bounds)
    return bundle.write(folder, manifest_of(model, codec, networks, request))


def precision_of(role: str, precision: str) -> str:
    """Return the precision of one network of a bundle: FP8 is for the transformer only."""
    return "bfloat16" if precision == "float8" and role != "transformer" else precision


def measured(
    model: ConditionedModel, codec: Codec, bounds: Bounds, request: Request, tell: Tell
) -> Dict[str, float]:
    """Return the ranges of the transformer's linear layers on the footage, measured on a GPU where there is one."""
    device = best_device()
    unit = model.geometry.spatial
    size = bounds.opt.rows * unit, bounds.opt.columns * unit
    window, overlap = _sizes(model, request)[1:]
    sampler = scheduler_of(model, request)["sampler"]
    settings = Settings(sampler, 1 if sampler == "one-step" else MEASURED_STEPS, 0, window, overlap)
    clips = []
    for source in request.footage:
        clips.append(clip_of(source, window, size, model.space))
        tell(f"{source}: {window} frames of {size[1]}x{size[0]} for FP8's scales")
    try:
        codec.vae.to(device)
        return ranges(model.to(device), codec, clips, settings)
    finally:
        model.to("cpu")
        codec.vae.to("cpu")


def _meta(codec: Codec) -> Codec:
    """Return the codec on the meta device, which gives the shapes of its results without computing them."""
    made = copy.copy(codec)
    made.vae = copy.deepcopy(codec.vae).to("meta")
    return made


def bounds_of(model: ConditionedModel, request: Request) -> Bounds:
    """Return the sizes that compiled plans are built for."""
    geometry = model.geometry
    lines, window, _ = _sizes(model, request)
    width = request.width or lines * 16 // 9 + geometry.spatial * geometry.patch[2]
    count = geometry.latents(window)
    count += geometry.front_padding(count)
    unit = geometry.spatial * geometry.patch[1], geometry.spatial * geometry.patch[2]
    rows = -(-lines // unit[0]) * geometry.patch[1]
    columns = -(-width // unit[1]) * geometry.patch[2]
    text = model.text.shape[1]
    least = geometry.patch[0] * -(-2 // geometry.patch[0])
    return Bounds(
        min=Shape(1, least, geometry.patch[1] * 2, geometry.patch[2] * 2, text),
        opt=Shape(1, count, rows, max(columns * 3 // 4 // geometry.patch[2], 2) * geometry.patch[2], text),
        max=Shape(1, count, rows, columns, text),
    )


def network_info(path: Path, graph: Graph, bounds: Bounds) -> NetworkInfo:
    """Return the manifest's entry for an ONNX file: its tensors, and its profiles from a graph on the meta device."""
    held = onnx.load(str(path), load_external_data=False).graph
    each = {key: shapes_at(graph, shape) for key, shape in bounds.each().items()}
    inputs = tuple(
        _tensor(value, {key: shapes[value.name] for key, shapes in each.items()}) for value in held.input
    )
    data = {path.name + ".data": ""} if (path.parent / (path.name + ".data")).is_file() else {}
    return NetworkInfo(path.name, inputs, tuple(_tensor(value, {}) for value in held.output), data=data)


def _tensor(value: Any, profile: Dict[str, Tuple[int, ...]]) -> TensorInfo:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(size.dim_param or size.dim_value for size in tensor.shape.dim)
    return TensorInfo(value.name, dtype, shape, profile)


def _prompt(model: ConditionedModel, folder: Path) -> NetworkInfo:
    """Write the prompt's embedding as an ONNX graph without inputs, so that bundles need no further kind of file."""
    text = model.text.detach().float().cpu().numpy()
    shape = list(text.shape)
    node = onnx.helper.make_node("Constant", [], ["text"], value=onnx.numpy_helper.from_array(text))
    output = onnx.helper.make_tensor_value_info("text", onnx.TensorProto.FLOAT, shape)
    graph = onnx.helper.make_graph([node], "prompt", [], [output])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(made, str(folder / "prompt.onnx"))
    return NetworkInfo("prompt.onnx", (), (TensorInfo("text", "float32", tuple(shape)),))


def manifest_of(
    model: ConditionedModel, codec: Codec, networks: Dict[str, NetworkInfo], request: Request
) -> Manifest:
    """Return the manifest; the hashes are filled in when it is written."""
    conditioning = model.conditioning.name
    lines, window, overlap = _sizes(model, request)
    geometry = model.geometry
    return Manifest(
        name=request.name or ("harmovid" if conditioning == "harmovid" else f"{conditioning}-diffusion"),
        version=request.version,
        task=TASKS[conditioning],
        kind=KIND,
        networks=networks,
        colour=CONTRACT,
        precision=request.precision,
        runtime=RUNTIME,
        licence=request.licence,
        card="card.md",
        constants={
            "channels": geometry.channels, "spatial": geometry.spatial, "temporal": geometry.temporal,
            "chunk": geometry.chunk, "patch": list(geometry.patch), "conditions": list(model.conditioning.pictures),
            "codec": {
                "frames": [codec.first_frames, codec.next_frames],
                "latents": [codec.first_latents, codec.next_latents],
                "tile": None if codec.tiling is None else
                {"size": list(codec.tiling.size), "overlap": list(codec.tiling.overlap)},
            },
            "space": model.space, "black": space.BLACK_CODE, "white": space.WHITE_CODE,
            "positions": positions_of(model),
            "proxy_lines": lines, "window": window, "overlap": overlap, "trusted": request.trusted,
            "presets": presets_of(model, request),
        },
        scheduler=scheduler_of(model, request),
    )  # fmt: skip


def _sizes(model: ConditionedModel, request: Request) -> Tuple[int, int, int]:
    """Return proxy lines, window and overlap in frames."""
    config: Any = model.backbone.transformer.config
    lines = request.lines or int(getattr(config, "sample_height", 0) or 60) * model.geometry.spatial
    window = request.window or 81
    model.geometry.latents(window)
    return lines, window, window // 4 if request.overlap < 0 else request.overlap


def positions_of(model: ConditionedModel) -> Dict[str, Any]:
    """Return the rule by which a server makes position inputs.

    Raises:
        InputError: the positions are learned, so they exist for one size only.
    """
    if not isinstance(model.backbone, CogVideoX):
        return {"kind": "none"}
    config: Any = model.backbone.transformer.config
    if config.use_learned_positional_embeddings:
        raise InputError(
            "a model with learned positions takes one picture size only and is not exported.",
            fix="Train from a text-to-video model.",
        )
    spec: Dict[str, Any] = {"patch": list(model.geometry.patch)}
    if not config.use_rotary_positional_embeddings:
        width = config.num_attention_heads * config.attention_head_dim
        return {
            **spec, "kind": "sinusoidal", "width": width, "spatial_scale": config.spatial_interpolation_scale,
            "temporal_scale": config.temporal_interpolation_scale,
        }  # fmt: skip
    if config.patch_size_t is not None:
        return {**spec, "kind": "rotary-slice", "head": config.attention_head_dim}
    base = [config.sample_height // config.patch_size, config.sample_width // config.patch_size]
    return {**spec, "kind": "rotary-resized", "head": config.attention_head_dim, "base": base}


def scheduler_of(model: ConditionedModel, request: Request) -> Dict[str, Any]:
    """Return the noise schedule as numbers, and the sampler's defaults.

    Raises:
        InputError: the server's samplers do not support the schedule.
    """
    schedule: Any = model.schedule
    flow = schedule.prediction == "flow"
    order = _unipc_order(schedule) if flow else 0
    samplers = [*(["unipc"] if order else []), "euler", "one-step"] if flow else ["ddim", "dpm", "one-step"]
    sampler = request.sampler or samplers[0]
    if sampler not in samplers:
        raise InputError(f"the server has no sampler {sampler!r}.", fix=f"Use one of: {', '.join(samplers)}.")
    told: Dict[str, Any] = {
        "prediction": schedule.prediction, "samplers": samplers, "sampler": sampler,
        "steps": 1 if sampler == "one-step" else request.steps or 50, "one_step_time": schedule.one_step_time,
    }  # fmt: skip
    if flow:
        return {**told, "shift": schedule.shift, **({"unipc_order": order} if order else {})}
    config = schedule.scheduler.config
    if config.timestep_spacing != "trailing" or not config.set_alpha_to_one:
        raise InputError(
            f"a scheduler with the spacing {config.timestep_spacing!r} is not served.",
            fix="CogVideoX comes with trailing timesteps.",
        )
    power: List[float] = [float(value) for value in schedule.scheduler.alphas_cumprod]
    return {**told, "alphas_cumprod": power}


def _unipc_order(schedule: Any) -> int:
    """Return the order of the model's own UniPC solver; 0 if it has another, or one that is not served."""
    if schedule.scheduler is not UniPCMultistepScheduler:
        return 0
    config = schedule.scheduler.from_config(schedule.config).config
    served = {
        "prediction_type": "flow_prediction", "use_flow_sigmas": True, "predict_x0": True, "thresholding": False,
        "solver_type": "bh2", "lower_order_final": True, "final_sigmas_type": "zero", "use_dynamic_shifting": False,
        "use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False,
    }  # fmt: skip
    plain = not config.disable_corrector and not config.shift_terminal and config.solver_p is None
    if not plain or any(config[name] != value for name, value in served.items()):
        return 0
    return int(config.solver_order)


def presets_of(model: ConditionedModel, request: Request) -> Dict[str, Dict[str, Any]]:
    """Return presets: `draft` takes a quarter of the model's steps, `final` all; a student, with one step, has none."""
    sampler = scheduler_of(model, request)
    if sampler["sampler"] == "one-step":
        return {}
    steps, name = int(sampler["steps"]), sampler["sampler"]
    return {
        "draft": {"sampler": name, "steps": max(steps // 4, 1)},
        "final": {"sampler": name, "steps": steps},
    }
