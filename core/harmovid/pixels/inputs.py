"""Which channels a job takes from each file of a frame, and which files it refuses, decided by headers alone.

    rules = FrameRules.of(spec, info)
    chosen = rules.judge({"plate": header, "mask": mask_header})    # raises, naming the input
    chosen.images["plate"], chosen.mattes["mask"], chosen.remarks

`harmovid check` and the server's codec children both use this, so the run does not refuse a header that passed the
check. Pixels can still be damaged; they are not read here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Dict, Mapping, Sequence, Tuple

from harmovid.errors import ColourError, FrameError, FrameMismatch, FrameRefused
from harmovid.job import BACKGROUND, FOREGROUND_MATTE, MATTE, PANORAMA, TARGET, VECTORS, EngineInfo, JobSpec
from harmovid.pixels import exr
from harmovid.pixels.apply.compose import union
from harmovid.pixels.colour.primaries import file_primaries
from harmovid.pixels.exr.choice import beauty_prefix, is_named_beauty
from harmovid.pixels.exr.layers import layer_at
from harmovid.pixels.exr.mattes import check_full, is_full

PANORAMA_TOLERANCE = 0.02
"""Relative difference from twice as wide as high that a panorama may have: one row or column too many."""

ASPECT_TOLERANCE = 1e-3
"""Pixel aspects with at most this relative difference count as equal, because programs round them differently."""


@dataclass
class Chosen:
    """The channels chosen from one frame's files.

    Attributes:
        images: input to the channels of its picture.
        mattes: input to its matte's channel.
        remarks: sentences for the user, which begin with the input's name.
    """

    images: Dict[str, exr.Layer] = field(default_factory=dict)
    mattes: Dict[str, exr.Matte] = field(default_factory=dict)
    remarks: Tuple[str, ...] = ()


@dataclass(frozen=True)
class FrameRules:
    """A job's requirements for the files of every frame.

    Attributes:
        target: the input that is changed and returned.
        wants_matte: the engine works on a foreground: its matte is the input "matte", else the target's alpha.
        mattes: the inputs of which one channel is taken, 0 to 1; all others are images.
        panoramas: the inputs that are panoramas, whose format may differ.
        vectors: the inputs that are no colours, such as normals: channels x, y and z.
        premultiplied: as in `OutputSpec`.
        comp: the result is something else than the changed target (`OutputSpec.mode`).
        exr_layers: image input to the layer, part or view that is its picture; default the beauty.
        matte_channels: matte input to its channel; default chosen by name and content.
        colorspace: inputs whose colour space the user has named, so that the file's primaries do not matter.
    """

    target: str
    wants_matte: bool = False
    mattes: Tuple[str, ...] = ()
    panoramas: Tuple[str, ...] = ()
    vectors: Tuple[str, ...] = ()
    premultiplied: bool = True
    comp: bool = False
    exr_layers: Mapping[str, str] = field(default_factory=dict)
    matte_channels: Mapping[str, str] = field(default_factory=dict)
    colorspace: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: JobSpec, info: EngineInfo) -> FrameRules:
        """Return the rules of a job."""
        return cls(
            target=info.target,
            wants_matte=any(layer.name == FOREGROUND_MATTE for layer in info.layers),
            mattes=info.layers_of(MATTE),
            panoramas=info.layers_of(PANORAMA),
            vectors=info.layers_of(VECTORS),
            premultiplied=spec.output.premultiplied,
            comp=spec.output.mode != TARGET,
            exr_layers=dict(spec.exr_layers),
            matte_channels=dict(spec.matte_channels),
            colorspace=dict(spec.colorspace),
        )

    def layer(self, header: exr.ExrHeader, name: str) -> exr.Layer:
        """Return the channels of an image input's picture, or of its vectors.

        Raises:
            FrameRefused: the file has no such layer.
        """
        find = exr.find_vectors if name in self.vectors else exr.find_layer
        return find(header, self.exr_layers.get(name, ""))

    def companions(self, header: exr.ExrHeader) -> Dict[str, exr.Layer]:
        """Return the other views of the target that get the same correction, by their names.

        None if the user has chosen one picture, or a composite is made. Otherwise both eyes stay alike. A view whose
        channels cannot be relit is left out.
        """
        if self.comp or self.exr_layers.get(self.target):
            return {}
        layer = self.layer(header, self.target)
        views = exr.other_views(header.parts, layer.part, _prefix(layer))
        found = {view.name: layer_at(header, view.part, view.prefix) for view in views if view.alike}
        return {name: each for name, each in found.items() if self._can_relight(header, each, layer)}

    def _can_relight(self, header: exr.ExrHeader, layer: exr.Layer, like: exr.Layer) -> bool:
        part = header.parts[layer.part]
        names = [*layer.rgb, *([layer.alpha] if layer.alpha and self.wants_matte else [])]
        same = not self.wants_matte or (layer.alpha is None) == (like.alpha is None)
        return same and all(is_full(part, name) for name in names)

    def matte(self, header: exr.ExrHeader, name: str) -> exr.Matte:
        """Return the channel of a matte input.

        Raises:
            FrameRefused: the file has none, or none of half or float.
        """
        return exr.find_matte(header, self.matte_channels.get(name, ""))

    def judge(self, headers: Mapping[str, exr.ExrHeader]) -> Chosen:
        """Choose the channels of one frame's files and check that the job can take them.

        Args:
            headers: of the frame's files by input, the target's among them.

        Raises:
            FrameRefused, FrameMismatch, ColourError: the run would refuse the files; `layer` names the input.
        """
        chosen = Chosen()
        target = headers[self.target]
        for name in sorted(headers, key=lambda each: each != self.target):
            try:
                part = self._choose(name, headers[name], chosen, FOREGROUND_MATTE in headers)
                first = target.parts[chosen.images[self.target].part]
                chosen.remarks += self._agree(name, part, first)
            except FrameError as error:
                error.layer = name
                raise
            except ColourError as error:
                refused = FrameRefused(error.message, fix="Name its colour space (--colorspace).", layer=name)
                raise refused from error
        if self.comp and BACKGROUND in headers:
            self._check_room(headers, chosen)
        return chosen

    def _choose(self, name: str, header: exr.ExrHeader, chosen: Chosen, has_matte: bool) -> exr.PartHeader:
        """Record the channels chosen from one file and return the header of their part."""
        if name in self.mattes:
            matte = chosen.mattes[name] = self.matte(header, name)
            return header.parts[matte.part]
        layer = chosen.images[name] = self.layer(header, name)
        part = header.parts[layer.part]
        for channel in layer.rgb:
            check_full(part, channel)
        if layer.alpha and self._uses_alpha(name, has_matte):
            check_full(part, layer.alpha)
        if name == self.target and self.wants_matte and not has_matte and layer.alpha is None:
            raise FrameRefused(
                "it has no alpha, and no matte was given.", fix="Give a matte, or write the alpha."
            )
        if name not in self.vectors and name not in self.colorspace:
            file_primaries(part.chromaticities)
        chosen.remarks += self._remarks(name, header, layer)
        if name == self.target and self.wants_matte and has_matte and self.premultiplied and not layer.alpha:
            chosen.remarks += (
                f"{name}: it has no alpha, so its colours are taken as multiplied by the matte; otherwise "
                "--unpremultiplied",
            )
        return part

    def _uses_alpha(self, name: str, has_matte: bool) -> bool:
        """Return whether an image's own alpha is read: to unpremultiply, as the matte, or for the composite."""
        if name == self.target:
            return self.wants_matte and (self.premultiplied or not has_matte)
        return self.comp and name == BACKGROUND

    def _remarks(self, name: str, header: exr.ExrHeader, layer: exr.Layer) -> Tuple[str, ...]:
        """Return remarks on what is ignored in an image's file: other views, and parts that could be the picture."""
        remarks = []
        relit = self.companions(header) if name == self.target else {}
        for view in (each.name for each in exr.other_views(header.parts, layer.part, _prefix(layer))):
            if view in relit:
                said = (
                    f"the view {view} gets the same correction; --layer {view} measures and corrects it alone"
                )
            else:
                said = f"the view {view} is left as it is; --layer {view} chooses it"
            remarks.append(f"{name}: {said}")
        pictures = [part.name for part in header.parts if beauty_prefix(part) is not None]
        unsure = not is_named_beauty(header.parts[layer.part]) and not self.exr_layers.get(name)
        if len(pictures) > 1 and unsure:
            taken = header.parts[layer.part].name
            remarks.append(
                f"{name}: of the parts {', '.join(pictures)} the first one, {taken}, is taken as the picture; "
                "--layer chooses another"
            )
        return tuple(remarks)

    def _agree(self, name: str, part: exr.PartHeader, target: exr.PartHeader) -> Tuple[str, ...]:
        """Check that a file has the target's format; return a remark if only a matte's pixel aspect differs.

        Raises:
            FrameMismatch: it has another one.
        """
        if name in self.panoramas:
            return _check_panorama(part)
        if part.display_window != target.display_window:
            raise FrameMismatch(
                f"its display window is {size_text(part.display_window)}, that of {self.target} "
                f"{size_text(target.display_window)}.",
                fix="Render all inputs in one format.",
            )
        if math.isclose(part.pixel_aspect, target.pixel_aspect, rel_tol=ASPECT_TOLERANCE):
            return ()
        told = f"{part.pixel_aspect:g}, that of {self.target} {target.pixel_aspect:g}"
        if name in self.mattes:
            return (f"{name}: its pixel aspect is {told}; it is laid over pixel by pixel",)
        raise FrameMismatch(f"its pixel aspect is {told}.", fix="Render all inputs in one format.")

    def _check_room(self, headers: Mapping[str, exr.ExrHeader], chosen: Chosen) -> None:
        """Raise `FrameRefused` if a composite would have to enlarge a part with subsampled channels."""
        front = headers[self.target].parts[chosen.images[self.target].part].data_window
        part = headers[BACKGROUND].parts[chosen.images[BACKGROUND].part]
        sampled = [
            name for name, each in part.channels.items() if (each.x_sampling, each.y_sampling) != (1, 1)
        ]
        if sampled and union(front, part.data_window) != part.data_window:
            raise FrameRefused(
                f"its channel {sampled[0]} is subsampled, and the composite is larger than its data window.",
                fix="Write it at full size, or crop the foreground.",
                layer=BACKGROUND,
            )


def _check_panorama(part: exr.PartHeader) -> Tuple[str, ...]:
    """Refuse a file that cannot be a whole panorama in latitude and longitude; return no remark.

    Raises:
        FrameMismatch: it is not twice as wide as high.
    """
    x0, y0, x1, y1 = part.display_window
    if not math.isclose((x1 - x0) * part.pixel_aspect, 2 * (y1 - y0), rel_tol=PANORAMA_TOLERANCE):
        raise FrameMismatch(
            f"its format is {size_text(part.display_window)}, but a panorama is twice as wide as high.",
            fix="Give the whole panorama, unwrapped to latitude and longitude.",
        )
    return ()


def _prefix(layer: exr.Layer) -> str:
    return layer.rgb[0].rpartition(".")[0]


def size_text(box: Sequence[int]) -> str:
    """Return a window as text, "1920 x 1080", with its corner if that is not 0, 0."""
    place = "" if box[0] == box[1] == 0 else f" at {box[0]}, {box[1]}"
    return f"{box[2] - box[0]} x {box[3] - box[1]}{place}"
