"""Rendering of the stand-in Nuke: real EXR files with windows, views, data types; proxy mode; cancellation."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, List

from fakes.nuke_host.files import file_of

SCALE_OF_PROXY = 2


def execute(host: Any, node: Any, frames: Iterable[int], views: List[str], continue_on_error: bool) -> None:
    """Render a Write.

    Raises:
        RuntimeError: what Nuke raises: "Cancelled", or the error of a node.
    """
    if host.renderer:
        _by_child(host, "execute", node, {"frames": list(frames), "views": views, "go_on": continue_on_error})
        return
    from fakes.nuke_host import images

    if node.cls != "Write":
        raise RuntimeError(f"{node.full_name} cannot be executed")
    if node.knobs_["file_type"].value() != "exr":
        raise RuntimeError(f"{node.full_name}: the stand-in writes EXR only")
    host.run_script(node.knobs_["beforeRender"]._text, node, None)
    host.call_back("beforeRender", node)
    done = 0
    for frame in frames:
        for view in views:
            if host.cancel_after_frames is not None and done >= host.cancel_after_frames:
                raise RuntimeError("Cancelled")
            host.before_frame(frame)
            try:
                _frame(host, node, frame, view)
            except images.RenderError as error:
                if not continue_on_error:
                    raise RuntimeError(f"{node.full_name}: {error}") from error
        done += 1
    host.note("rendered", node.knobs_["file"]._text, done, list(views))


def _by_child(host: Any, what: str, node: Any, more: Dict[str, Any]) -> Any:
    """Render a saved copy of the script in a Python with numpy, because the host's own Python has none.

    Raises:
        RuntimeError: what the renderer raised.
    """
    from fakes.nuke_host import script

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "s.nk").write_text(script.write(host.root), encoding="utf-8")
        asked = {
            "what": what,
            "script": f"{folder}/s.nk",
            "node": node.full_name,
            "frame": host.frame,
            **more,
        }
        words = [host.renderer, str(Path(__file__).with_name("render_child.py")), json.dumps(asked)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def ask(host: Any, what: str, node: Any) -> Any:
    """Return the channels, the format or the error state of a node, from the renderer."""
    return _by_child(host, what, node, {})


def _frame(host: Any, node: Any, frame: int, view: str) -> None:
    from fakes.nuke_host import exr, images

    path = file_of(node.knobs_["file"].evaluated(frame), frame, view)
    if not os.path.isdir(os.path.dirname(path)):
        if not node.knobs_["create_directories"].value():
            raise RuntimeError(f"{node.full_name}: {os.path.dirname(path)} does not exist")
        os.makedirs(os.path.dirname(path), exist_ok=True)
    image = images.picture(node.inputs_[0] if node.inputs_ else None, frame, view)
    if not node.knobs_["raw"].value():
        host.note("converted", node.full_name)
    if host.root.knobs_["proxy"].value():
        image = _smaller(image)
    wanted = images._mask(node.knobs_["channels"]._text)
    if node.knobs_["channels"]._text == "all":
        wanted = sorted(image.channels)
    half = node.knobs_["datatype"].value() == "16 bit half"
    said: Dict[str, Any] = {"nuke/version": "stand-in", "nuke/node_hash": node.full_name}
    if node.knobs_["metadata"].value() not in ("no metadata", "default metadata"):
        header = image.metadata.get("exr", {})
        # What the source file said of its primaries goes on, whatever the pixels have become on the way.
        said.update({name: header[name] for name in ("chromaticities",) if name in header})
    exr.save(path, image, tuple(wanted), half, node.knobs_["compression"].value(), said)


def _smaller(image: Any) -> Any:
    """Return the picture at proxy scale."""
    from dataclasses import replace

    step = SCALE_OF_PROXY
    x, y, r, t = (edge // step for edge in image.box)
    channels = {name: plane[::step, ::step][: t - y, : r - x] for name, plane in image.channels.items()}
    r, t = x + next(iter(channels.values())).shape[1], y + next(iter(channels.values())).shape[0]
    return replace(
        image, size=(image.size[0] // step, image.size[1] // step), box=(x, y, r, t), channels=channels
    )
