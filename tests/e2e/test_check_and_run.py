"""`harmovid check` and the run accept and refuse the same file headers."""

from __future__ import annotations

import math
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harmovid.cli.check_files import examine
from harmovid.file_plan import FilePlan
from harmovid.job import MATTE, LayerInfo
from harmovid.pixels import exr
from harmovid.pixels.exr.header import Channel, channels_attribute
from harmovid.pixels.field import Curve, LightingField
from harmovid_server.codec.codec import Codec
from harmovid_server.codec.plan import Plan
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

FIELD = np.frombuffer(LightingField((Curve.gain(0.5, 0.25, -0.5),)).to_bytes(), np.uint8)
INFOS = {
    "plate": (LayerInfo("plate", True, ""), LayerInfo("mask", False, "", MATTE)),
    "fg": (LayerInfo("fg", True, ""), LayerInfo("bg", False, ""), LayerInfo("matte", False, "", MATTE)),
}
ASPECTS = st.sampled_from([1.0, 2.0, 0.0, -1.0, math.nan, math.inf, 1e-7, 1e7, 1.0005])
WIDTHS = st.sampled_from([1.0] * 9 + [0.0, -1.0, math.nan])
WINDOWS = st.sampled_from([(0, 0, 8, 4), (0, 0, 8, 4), (-2, -2, 10, 6), (2, 0, 6, 4), (20, 20, 24, 22)])
DISPLAYS = st.sampled_from([(0, 0, 8, 4)] * 5 + [(0, 0, 8, 5), (1, 0, 9, 4)])
TYPES = st.sampled_from([np.float16] * 5 + [np.float32, np.uint32])
FLOATS = st.sampled_from([np.float16, np.float32])
PICTURES = st.sampled_from(
    ["R G B", "R G B A", "R G B A", "r g b a", "R G B A d.red d.green d.blue", "R G B A id half.Z",
     "R G B A right.R right.G right.B right.A", "rgba.R rgba.G rgba.B rgba.A"]
)  # fmt: skip
MATTES = st.sampled_from(["Y", "A", "R", "Y A", "R G B A", "matte", "roto.red roto.alpha"])
OTHERS = st.sampled_from(["X Z", "d.R d.G d.B", "id", "R G", "a.alpha b.alpha"])
PLAIN_GAMUTS = st.sampled_from([None, (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)])
GAMUTS = PLAIN_GAMUTS | st.sampled_from(
    [(0.0,) * 8, (0.3, 0.3) * 4, (1.0, 0, 0, 1, 0, 0, 0.3, 0), (math.nan,) * 8, (2.0, -1, -1, 2, 0, 0, 0.3, 0.3),
     (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)]
)  # fmt: skip


@st.composite
def parts(draw: Any, name: str, channels: Any, sane: bool) -> exr.ExrPart:
    """Draw one part of a file."""
    window, display = draw(WINDOWS), (0, 0, 8, 4) if sane else draw(DISPLAYS)
    texts = {"name": name, "view": draw(st.sampled_from(["", "", "left", "right"]))}
    attributes = {key: exr.Attribute.of("string", text) for key, text in texts.items() if text}
    chromaticities = draw(PLAIN_GAMUTS if sane else GAMUTS)
    if chromaticities:
        attributes["chromaticities"] = exr.Attribute.of("chromaticities", chromaticities)
    listed, planes = {}, {}
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    for channel in draw(channels if sane else channels | OTHERS).split():
        kind = np.uint32 if channel == "id" else draw(FLOATS if sane else TYPES)
        step = 2 if channel.startswith("half") or (not sane and draw(st.integers(0, 9)) == 0) else 1
        listed[channel] = Channel(channel, kind, step, step)
        shape = ((window[3] - window[1]) // step, (window[2] - window[0]) // step)
        planes[channel] = rng.choice([0.0, 0.25, 0.5, 1.0, 3.0], shape).astype(kind)
    header = exr.PartHeader.make(window, display, attributes=attributes)
    header = header.with_attributes({"channels": channels_attribute(listed)})
    return exr.ExrPart(header, {channel: planes[channel] for channel in header.channels})


@st.composite
def files(draw: Any, channels: Any) -> bytes:
    """Draw a file of one or two parts; one in three headers gets numbers that no writer would write."""
    sane = draw(st.integers(0, 2)) > 0
    names = draw(
        st.sampled_from([[""], [""], ["rgba"], ["albedo", "rgba"], ["rgba.left", "rgba.right"], ["a", "b"]])
    )
    drawn = [draw(parts(name, channels, sane)) for name in names]
    first = drawn[0].header.attributes["displayWindow"]
    drawn = [
        exr.ExrPart(part.header.with_attributes({"displayWindow": first}), part.channels) for part in drawn
    ]
    data = exr.write(exr.ExrFrame(tuple(drawn), exr.main_part(tuple(part.header for part in drawn))))
    if sane:
        return data
    data = patched(data, b"pixelAspectRatio", draw(ASPECTS), draw(st.integers(0, len(names))))
    return patched(data, b"screenWindowWidth", draw(WIDTHS), len(names))


def patched(data: bytes, name: bytes, value: float, count: int) -> bytes:
    """Return a file with a float attribute of its first `count` parts changed."""
    at = 0
    for _ in range(count):
        at = data.index(name + b"\0float\0", at) + len(name) + 11
        data = data[:at] + struct.pack("<f", value) + data[at + 4 :]
    return data


@st.composite
def jobs(draw: Any) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Draw the files of a job's frame, and the job's settings."""
    target = draw(st.sampled_from(list(INFOS)))
    others = [info.name for info in INFOS[target][1:]]
    names = [target, *(name for name in others if draw(st.booleans()))]
    mattes = tuple(info.name for info in INFOS[target] if info.kind == MATTE)
    layer = st.sampled_from([""] * 6 + ["d", "left", "right", "rgba", "no such"])
    channel = st.sampled_from([""] * 6 + ["A", "R", "b.Y", "no such"])
    wanted = {
        "target": target,
        "wants_matte": target == "fg",
        "mattes": mattes,
        "premultiplied": draw(st.booleans()),
        "exr_layers": {n: text for n in names if n not in mattes for text in [draw(layer)] if text},
        "matte_channels": {n: text for n in names if n in mattes for text in [draw(channel)] if text},
        "colorspace": {target: "ACEScg"} if draw(st.integers(0, 9)) == 0 else {},
    }
    mode = draw(st.sampled_from(["fg", "comp"])) if "bg" in names else "fg"
    drawn = {name: draw(files(MATTES if name in mattes else PICTURES)) for name in names}
    return drawn, {**wanted, "mode": mode}


def checked(paths: dict[str, Path], wanted: dict[str, Any], out: Path) -> list[str]:
    """Return the problems that the check finds."""
    from harmovid.pixels.inputs import FrameRules

    rules = {name: value for name, value in wanted.items() if name != "mode"}
    inputs = {name: str(path) for name, path in paths.items()}
    plan = FilePlan.make(INFOS[wanted["target"]], inputs, str(out))
    facts = examine(plan, FrameRules(**rules, comp=wanted["mode"] == "comp"))
    return [str(problem) for each in facts for problem in each.problems]


def run(paths: dict[str, Path], wanted: dict[str, Any], out: Path) -> list[str]:
    """Return the outcome of measuring and finishing the frame."""
    plan = Plan(layers=tuple(paths), lines=4, strength=1.0, field_layers=True, **wanted)
    body = {"job": "j", "frame": 1, "plan": plan.to_dict(), "paths": {n: str(p) for n, p in paths.items()}}
    codec = Codec()
    for task, arrays in (("proxy", []), ("finish", [FIELD])):
        answer, _ = codec.do({**body, "task": task, "target": str(out)}, arrays)
        if "error" in answer:
            return [answer["error"]["message"]]
    exr.read(out)
    return []


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(jobs())
def test_what_the_check_lets_through_the_run_takes(job: tuple[dict[str, bytes], dict[str, Any]]) -> None:
    """For random headers of every kind: the check finds a problem if the run fails, and only then."""
    data, wanted = job
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.exr" for name in data}
        for name, path in paths.items():
            path.write_bytes(data[name])
        problems = checked(paths, wanted, Path(folder) / "out" / "r.exr")
        failures = run(paths, wanted, Path(folder) / "r.exr")
    event("refused" if problems else "taken")
    assert bool(problems) == bool(failures), (problems, failures)
    assert not any("the server failed" in failure for failure in failures), failures
