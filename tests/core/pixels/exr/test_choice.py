"""Which part of a file is the picture, and which views it holds beside it."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.errors import FrameRefused
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, ExrHeader, PartHeader
from harmovid.pixels.exr.header import Channel, channels_attribute


def part(name: str = "", view: str = "", channels: str = "R G B", views: tuple = ()) -> PartHeader:
    """Return a part's header with half channels."""
    texts = {"name": name, "view": view}
    attributes = {key: Attribute.of("string", text) for key, text in texts.items() if text}
    if views:
        attributes["multiView"] = Attribute.of("stringvector", views)
    listed = {each: Channel(each, np.float16) for each in channels.split()}
    return PartHeader.make((0, 0, 4, 4), attributes={**attributes, "channels": channels_attribute(listed)})


def header(*parts: PartHeader) -> ExrHeader:
    """Return the header of a file with these parts."""
    return ExrHeader(parts, exr.main_part(parts))


@pytest.mark.parametrize(
    ("parts", "main"),
    [
        ([part("albedo"), part("rgba")], 1),
        ([part("albedo"), part("diffuse"), part("RGBA")], 2),
        ([part("N", channels="X Y Z"), part("albedo"), part("Beauty")], 2),
        ([part("albedo"), part("C")], 1),
        ([part("albedo"), part("specular")], 0),
        ([part("depth", channels="Z"), part("albedo")], 1),
        ([part("depth", channels="Z"), part("ids", channels="id")], 0),
        ([part("albedo.left", "left"), part("rgba.left", "left"), part("rgba.right", "right")], 1),
        ([part("rgba_right", "right", views=("left", "right")), part("rgba_left", "left")], 1),
        ([part("right"), part("left")], 0),
        ([part("albedo", channels="r g b"), part("rgba", channels="r g b")], 1),
        ([part("albedo"), part("rgba", channels="rgba.R rgba.G rgba.B")], 1),
    ],
)
def test_the_part_named_as_the_beauty_comes_first(parts: list, main: int) -> None:
    """`rgba` and its like go before any other part wherever they stand, the default view before others."""
    assert exr.main_part(tuple(parts)) == main


@pytest.mark.parametrize(
    ("parts", "layer", "left_alone"),
    [
        ([part("rgba.left", "left"), part("rgba.right", "right")], "", ("right",)),
        ([part("rgba.left", "left"), part("rgba.right", "right")], "right", ("left",)),
        ([part("left"), part("right")], "", ("right",)),
        ([part(channels="R G B right.R right.G right.B", views=("left", "right"))], "", ("right",)),
        ([part(channels="R G B right.R right.G right.B", views=("left", "right"))], "right", ("left",)),
        ([part(channels="R G B b.R b.G b.B c.R c.G c.B", views=("a", "b", "c"))], "", ("b", "c")),
        ([part(channels="R G B right.Z", views=("left", "right"))], "", ()),
        ([part("rgba"), part("albedo")], "", ()),
        ([part(channels="R G B diffuse.R diffuse.G diffuse.B")], "", ()),
    ],
)
def test_views_left_alone_are_named(parts: list, layer: str, left_alone: tuple) -> None:
    """Every view with a picture other than the chosen one is listed; layers that are not views are not."""
    file = header(*parts)
    found = exr.find_layer(file, layer)
    views = exr.other_views(file.parts, found.part, found.rgb[0].rpartition(".")[0])
    assert tuple(view.name for view in views) == left_alone


def test_names_of_the_beauty_find_it_where_nothing_else_has_them() -> None:
    """`rgba` is the plain R, G, B of a single part, and the layer of that name where there is one."""
    assert exr.find_layer(header(part()), "rgba").rgb == ("R", "G", "B")
    both = header(part(channels="R G B rgba.R rgba.G rgba.B"))
    assert exr.find_layer(both, "rgba").rgb == ("rgba.R", "rgba.G", "rgba.B")


def test_every_name_that_is_offered_is_found() -> None:
    """The layers that an error lists can be given as --layer, in every kind of file."""
    file = header(part("albedo"), part("rgba"), part("aov", channels="d.R d.G d.B s.red s.green s.blue"))
    assert exr.layer_names(file) == ("albedo", "", "d", "s")
    assert [exr.find_layer(file, name).part for name in exr.layer_names(file)] == [0, 1, 2, 2]
    with pytest.raises(FrameRefused, match="no layer 'spec'"):
        exr.find_layer(file, "spec")


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (
            [part("rgba.left", "left"), part("albedo.right", "right"), part("rgba.right", "right")],
            (2, "", True),
        ),
        ([part("rgba.left", "left"), part("albedo.right", "right")], (1, "", False)),
        (
            [
                part(
                    channels="R G B d.right.R d.right.G d.right.B right.R right.G right.B",
                    views=("left", "right"),
                )
            ],
            (0, "right", True),
        ),
        (
            [part(channels="R G B d.right.R d.right.G d.right.B", views=("left", "right"))],
            (0, "d.right", False),
        ),
    ],
)
def test_the_same_picture_of_another_view_is_told_from_other_pictures(parts: list, found: tuple) -> None:
    """Of several pictures of a view the one named as the chosen one is meant; another picture is not alike."""
    (view,) = exr.other_views(parts, 0, "")
    assert (view.part, view.prefix, view.alike) == found


@pytest.mark.parametrize(
    ("parts", "layer", "found"),
    [
        ([part(channels="R G B A N.x N.y N.z")], "", "N.x N.y N.z"),
        ([part(channels="R G B A N.X N.Y N.Z P.X P.Y P.Z")], "", "N.X N.Y N.Z"),
        ([part(channels="R G B A N.X N.Y N.Z P.X P.Y P.Z")], "p", "P.X P.Y P.Z"),
        (
            [part("rgba"), part("aov", channels="Normals.x Normals.y Normals.z")],
            "",
            "Normals.x Normals.y Normals.z",
        ),
        ([part(channels="R G B A N.R N.G N.B")], "N", "N.R N.G N.B"),
        (
            [part(channels="R G B normals.red normals.green normals.blue")],
            "",
            "normals.red normals.green normals.blue",
        ),
        ([part(channels="R G B Z")], "", "R G B"),
    ],
)
def test_vectors_are_found_beside_a_picture(parts: list, layer: str, found: str) -> None:
    """Channels x, y, z go before the file's picture; of several such layers the normals are taken; R, G, B is last."""
    assert exr.find_vectors(header(*parts), layer).rgb == tuple(found.split())


def test_vectors_that_could_be_either_of_two_are_refused() -> None:
    """Two layers with x, y, z of which none is called normals have to be chosen from; the error lists them."""
    with pytest.raises(FrameRefused, match=r"P, motion.*\(--layer\)"):
        exr.find_vectors(header(part(channels="R G B P.x P.y P.z motion.x motion.y motion.z")))
