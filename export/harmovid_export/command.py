"""`harmovid export` and `harmovid bundle`: the parsers of their command lines, and the actions.

The core finds both through the entry point group `harmovid.commands`. torch and the runtimes are imported by the action
that needs them, so a bundle can be inspected, verified and packed where none of them is installed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, Sequence

from harmovid import bundle
from harmovid.bundle import Manifest, NetworkInfo
from harmovid.cli.console import Console
from harmovid.cli.parser import Parser

PRECISIONS = ("float32", "float16", "bfloat16", "float8")


def run_export(words: Sequence[str], console: Console) -> int:
    """Run `harmovid export WORDS` and return its exit code.

    Raises:
        HarmoVidError: the command line, a checkpoint or a bundle cannot be used.
    """
    args = export_parser().parse_args(list(words))
    console.machine = console.machine or args.json
    code: int = args.action(args, console)
    return code


def run_bundle(words: Sequence[str], console: Console) -> int:
    """Run `harmovid bundle WORDS` and return its exit code.

    Raises:
        HarmoVidError: the command line or a bundle cannot be used.
    """
    args = bundle_parser().parse_args(list(words))
    console.machine = console.machine or args.json
    code: int = args.action(args, console)
    return code


def export_parser() -> Parser:
    """Return the parser of `harmovid export`."""
    parser = Parser(prog="harmovid export", description="Make engine bundles and TensorRT plans.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_onnx(actions)
    _add_tensorrt(actions)
    return parser


def bundle_parser() -> Parser:
    """Return the parser of `harmovid bundle`."""
    parser = Parser(prog="harmovid bundle", description="Inspect, verify, pack or unpack an engine bundle.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, action, text in (
        ("inspect", _inspect, "show a bundle's networks, shapes, runtimes and licence"),
        ("verify", _verify, "compare every file with the hash in the manifest"),
        ("pack", _pack, "write it as one tar file for another machine, after checking every file"),
    ):
        one = actions.add_parser(name, help=text, description=text)
        one.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder with a manifest.json")
        if name == "pack":
            one.add_argument(
                "-o",
                "--out",
                metavar="DIR",
                type=Path,
                default=Path(),
                help="where the tar goes (default: here)",
            )
        _json(one, action)
    text = "check a packed bundle and unpack it into a folder of the server"
    one = actions.add_parser("unpack", help=text, description=text)
    one.add_argument("file", metavar="TAR", type=Path, help="what `harmovid bundle pack` wrote")
    one.add_argument(
        "-o", "--out", metavar="DIR", type=Path, required=True, help="one of the server's engine_folders"
    )
    _json(one, _unpack)
    return parser


def _json(parser: argparse.ArgumentParser, action: Any) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(action=action)


def _add_onnx(actions: Any) -> None:
    text = "export a checkpoint as a bundle of ONNX graphs, compared with torch"
    parser = actions.add_parser("onnx", help=text, description=text)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="folder that training wrote")
    parser.add_argument(
        "-o", "--out", metavar="BUNDLE", type=Path, required=True, help="folder of the bundle"
    )
    parser.add_argument(
        "--vae", metavar="SOURCE", required=True, help="base model by name or folder, or the toy's vae/"
    )
    parser.add_argument("--licence", required=True, help="of the weights: SPDX identifier or a sentence")
    parser.add_argument("--name", default="", help="of the engine (default: harmovid, deflicker-diffusion)")
    parser.add_argument("--version", default="1", help="of the weights (default 1)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of the weights (default float32)"
    )
    parser.add_argument(
        "--footage", metavar="PLATES", type=Path, nargs="+", default=[],
        help="folders of frames or videos to measure the scales of float8 on",
    )  # fmt: skip
    parser.add_argument(
        "--sampler", default="", help="ddim, dpm, unipc, euler or one-step (default: the schedule's)"
    )
    parser.add_argument("--steps", type=int, default=0, help="of the sampler (default 50; 1 for one-step)")
    parser.add_argument("--window", type=int, default=0, help="frames seen at once, 8N+1 (default 81)")
    parser.add_argument(
        "--overlap", type=int, default=-1, help="frames two windows share (default a quarter)"
    )
    parser.add_argument("--lines", type=int, default=0, help="height of the proxies (default: as trained)")
    parser.add_argument("--width", type=int, default=0, help="widest proxy of compiled plans (default 16:9)")
    parser.add_argument("--trusted", action="store_true", help="take hard shadows from the VAE's pictures")
    parser.add_argument("--no-check", dest="check", action="store_false", help="do not compare with torch")
    _json(parser, _onnx)


def _add_tensorrt(actions: Any) -> None:
    text = "build TensorRT plans for the graphs of a bundle, each in a separate process"
    parser = actions.add_parser("tensorrt", help=text, description=text)
    parser.add_argument(
        "bundle", metavar="BUNDLE", type=Path, help="folder that `harmovid export onnx` wrote"
    )
    parser.add_argument(
        "--library",
        choices=("auto", "tensorrt", "tensorrt_rtx"),
        default="auto",
        help="default: what is installed",
    )
    parser.add_argument("--gpu", default="current", help="current, or what to build for: sm86, sm89, sm120")
    parser.add_argument(
        "--networks", default="", help="roles, separated by commas (default: all but the prompt)"
    )
    parser.add_argument(
        "--workspace", type=int, default=0, metavar="MB", help="GPU memory the builder may use"
    )
    parser.add_argument(
        "--refit",
        action="store_true",
        help="weights can be changed later without a build; writes a map of their names",
    )
    parser.add_argument(
        "--footage",
        metavar="PLATES",
        type=Path,
        nargs="+",
        default=[],
        help="folder of frames or video: plans are checked for finite results on it (default: a generated clip)",
    )
    _json(parser, _tensorrt)


def _onnx(args: argparse.Namespace, console: Console) -> int:
    from harmovid_export.bundle import Request, export_bundle

    request = Request(
        licence=args.licence, name=args.name, version=args.version, precision=args.precision,
        footage=tuple(args.footage), sampler=args.sampler, steps=args.steps, window=args.window, overlap=args.overlap,
        lines=args.lines, width=args.width, trusted=args.trusted, check=args.check,
    )  # fmt: skip
    manifest = export_bundle(args.checkpoint, args.vae, args.out, request, console.note)
    console.text(f"{args.out}: {manifest.name} {manifest.version}, {manifest.precision}")
    console.result({"bundle": str(args.out), **_summary(args.out, manifest)})
    return 0


def _tensorrt(args: argparse.Namespace, console: Console) -> int:
    from harmovid_export.tensorrt.plans import build_plans

    roles = tuple(role for role in args.networks.split(",") if role)
    manifest, built = build_plans(
        args.bundle, args.library, args.gpu, roles, args.workspace, refit=args.refit, footage=args.footage,
        tell=console.note,
    )  # fmt: skip
    for one in built:
        console.text(
            f"{one.file}: {one.seconds:.1f} s, {one.megabytes:.1f} MB, "
            f"{one.peak_megabytes:.0f} MB of memory, {one.checked}"
        )
    console.result({"built": [one.__dict__ for one in built], **_summary(args.bundle, manifest)})
    return 0


def _inspect(args: argparse.Namespace, console: Console) -> int:
    manifest = bundle.read(args.bundle)
    facts = _summary(args.bundle, manifest)
    for key in ("name", "version", "task", "kind", "precision", "licence", "card", "runtime", "size_mb"):
        console.text(f"{key.replace('_mb', ' (MB)'):12} {facts[key]}")
    for role, network in manifest.networks.items():
        console.text(f"{role:14} {network.file}")
        for one in (*network.inputs, *network.outputs):
            console.text(
                f"    {one.name:14} {one.dtype:10} {'x'.join(map(str, one.shape))}{_range(one.profile)}"
            )
        for plan in network.plans:
            console.text(f"    {plan.file}: {plan.runtime} {plan.version}, {plan.gpu}, {plan.precision}")
    console.result(facts)
    return 0


def _range(profile: Any) -> str:
    if not profile:
        return ""
    return "  from " + " to ".join("x".join(map(str, profile[key])) for key in ("min", "max"))


def _verify(args: argparse.Namespace, console: Console) -> int:
    manifest = bundle.verify(args.bundle)
    count = len({manifest.card, *(name for name, _ in manifest.files())})
    console.text(f"{args.bundle}: {manifest.name} {manifest.version}, {count} files as they should be")
    console.result({"ok": True, "files": count, **_summary(args.bundle, manifest)})
    return 0


def _pack(args: argparse.Namespace, console: Console) -> int:
    from harmovid_export.pack import pack

    path = pack(args.bundle, args.out)
    console.text(str(path))
    console.result({"file": str(path), "bytes": path.stat().st_size, "sha256": bundle.sha256(path)})
    return 0


def _unpack(args: argparse.Namespace, console: Console) -> int:
    from harmovid_export.pack import unpack

    folder = unpack(args.file, args.out)
    console.text(str(folder))
    console.result({"bundle": str(folder)})
    return 0


def _summary(folder: Path, manifest: Manifest) -> Dict[str, Any]:
    """Return the facts to print about a bundle."""
    size = sum((folder / name).stat().st_size for name in {name for name, _ in manifest.files()})
    return {
        "name": manifest.name, "version": manifest.version, "task": manifest.task, "kind": manifest.kind,
        "precision": manifest.precision, "licence": manifest.licence, "card": manifest.card,
        "runtime": ", ".join(f"{name} {least} or newer" for name, least in manifest.runtime.items()),
        "size_mb": round(size / 2**20, 1), "networks": {r: _network(n) for r, n in manifest.networks.items()},
    }  # fmt: skip


def _network(network: NetworkInfo) -> Dict[str, Any]:
    return {"file": network.file, "plans": [plan.file for plan in network.plans]}
