"""From a folder to a cache: photos, panoramas, meshes and mattes; and the check of the folder against the list."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from harmovid.errors import InputError
from harmovid_training.data import cache, mattes
from harmovid_training.data.__main__ import main
from harmovid_training.data.meshes import read_glb, read_obj
from harmovid_training.data.sources import (
    Source,
    check,
    credits_of,
    digest,
    licences,
    listed,
    made,
    save_list,
)


def test_thing_finds_what_stands_out() -> None:
    """GrabCut in the middle of a picture finds the one thing that stands there."""
    rng = np.random.default_rng(1)
    image = rng.integers(90, 110, (cache.HEIGHT, cache.WIDTH, 3)).astype(np.uint8)
    image[50:100, 70:130] = (200, 40, 30)
    matte = mattes.thing(image, rng, central=True)

    assert (matte[55:95, 75:125] == 255).mean() > 0.95
    assert (matte[:40] == 255).mean() < 0.05
    assert mattes.usable(matte)
    assert not mattes.usable(np.zeros_like(matte))


def test_a_folder_becomes_a_cache_and_comes_back(tmp_path: Path) -> None:
    """A wide and a tall photo and a panorama give 1 + 2 + VIEWS pictures in linear light; saving loses nothing."""
    rng = np.random.default_rng(2)
    photos, hdri = tmp_path / "photos" / "some", tmp_path / "hdri"
    photos.mkdir(parents=True)
    hdri.mkdir()
    wide = cv2.resize(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8), (320, 240))
    cv2.imwrite(str(photos / "wide.png"), wide)
    cv2.imwrite(str(photos / "tall.png"), cv2.resize(wide, (240, 400)))
    cv2.imwrite(
        str(hdri / "place.hdr"), cv2.resize(rng.uniform(0, 3, (8, 16, 3)).astype(np.float32), (128, 64))
    )

    scenes = cache.build_scenes(tmp_path)
    cache.save(tmp_path / "scenes.npz", scenes)
    again = cache.load(tmp_path / "scenes.npz")

    assert len(scenes.pictures) == 3 + cache.VIEWS
    assert (again.pictures == scenes.pictures).all()
    assert scenes.counts.min() >= 0
    assert list(scenes.light_of[:3]) == [-1, -1, -1]
    expected = (wide[120, 160, ::-1] / 255.0) ** 2.2
    np.testing.assert_allclose(
        scenes.pictures[1, cache.HEIGHT // 2, cache.WIDTH // 2].astype(float), expected, atol=0.08
    )
    with pytest.raises(InputError, match="no photos"):
        cache.build_scenes(tmp_path / "hdri")


def test_a_cache_is_refused_before_any_work_and_continued_after_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without models/ is refused before anything is written; files that are there already are kept."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (tmp_path / "hdri").mkdir()
    (photos / "one.png").touch()
    (tmp_path / "hdri" / "place.hdr").touch()

    assert main(["cache", str(tmp_path), str(out)]) == 1
    assert "models/ beside hdri/ and photos/" in capsys.readouterr().err
    assert not out.exists()

    (tmp_path / "models" / "makehuman").mkdir(parents=True)
    (tmp_path / "models" / "gltf").mkdir()
    (tmp_path / "models" / "gltf" / "box.glb").touch()
    out.mkdir()
    for name in ("scenes.npz", "subjects.npz"):
        (out / name).write_bytes(b"made earlier")

    assert main(["cache", str(tmp_path), str(out)]) == 0
    assert capsys.readouterr().out.count("is kept") == 2
    assert (out / "scenes.npz").read_bytes() == b"made earlier"


def test_a_mask_beside_a_photo_is_its_first_matte(tmp_path: Path) -> None:
    """A drawn mask is taken before a predicted one, as the subject, and neither counts as a photo."""
    for folder in ("photos", "hdri"):
        (tmp_path / folder).mkdir()
    mask = np.zeros((240, 320), np.uint8)
    mask[60:180, 80:160] = 255
    for ending, pixels in (
        (".jpg", np.full((240, 320, 3), 90, np.uint8)),
        (".mask.png", mask),
        (".automask.png", mask.T),
    ):
        cv2.imwrite(str(tmp_path / "photos" / f"a.b{ending}"), pixels)
    cv2.imwrite(str(tmp_path / "hdri" / "place.hdr"), np.ones((64, 128, 3), np.float32))

    scenes = cache.build_scenes(tmp_path)
    expected = cv2.resize(mask, (cache.WIDTH, cache.HEIGHT), interpolation=cv2.INTER_AREA)

    assert len(scenes.pictures) == 1 + cache.VIEWS
    assert np.abs(scenes.mattes[0, 0].astype(int) - expected).max() <= 1


def test_the_list_is_made_from_what_a_folder_says(tmp_path: Path) -> None:
    """The list has the hashes of photos, each followed by its masks, with their origin in `processing`."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "a.mask.png", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(name.encode())
    (tmp_path / "SOURCES.csv").write_text(
        "file,repo,commit-or-blob,path,licence,author,evidence,processing\n"
        'photos/a.jpg,r,c,p,CC BY 2.0,Ada,e,"JPEG q87; mask: annotated (COCO, CC BY 4.0), union"\n'
        "photos/b.jpg,r,c,p,CC0,,e,JPEG q87\n"
    )
    found = [source for source in made(tmp_path) if source.file.startswith("photos")]
    save_list(tuple(found), tmp_path / "list.csv")

    assert [source.file for source in found] == ["photos/a.jpg", "photos/a.mask.png", "photos/b.jpg"]
    assert (found[1].author, found[1].licence) == ("COCO", "CC BY 4.0")
    assert listed(tmp_path / "list.csv") == tuple(found)
    assert not [fault for _, fault in check(tmp_path, tuple(found)) if fault]
    (tmp_path / "photos" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"b\.jpg is not there"):
        made(tmp_path)


def test_authors_who_want_to_be_named_are() -> None:
    """Credits list each author once, by licence and only where it requires attribution; numbered photos are grouped."""
    rows = (("Ada", "CC BY 2.0"), ("Ada", "CC-BY-2.0"), ("Flickr photo 77", "CC BY 2.0"), ("Bob", "CC0-1.0"))
    lines = list(credits_of(tuple(Source("f", "h", "r", "c", "p", *row) for row in rows)))

    assert lines == ["CC BY 2.0: Ada; the photos 77 on Flickr."]
    assert main(["credits"]) == 0


def test_meshes_are_read_where_their_scene_puts_them(tmp_path: Path) -> None:
    """An OBJ quad gives two triangles and normals; a textured GLB node is moved, one in no scene is left out."""
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1/1 2/2 3/3 4/4\n")
    flat = read_obj(tmp_path / "a.obj")
    assert flat.triangles.shape == (2, 3)
    np.testing.assert_allclose(flat.normals, [[0, 0, 1]] * 4)

    picture = cv2.imencode(".png", np.full((2, 2, 3), (10, 20, 200), np.uint8))[1].tobytes()
    points = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]).tobytes()
    uv, faces = np.float32([[0, 0], [1, 0], [0, 1]]).tobytes(), np.uint16([0, 1, 2, 0]).tobytes()
    body = points + uv + faces + picture
    starts = np.cumsum([0, len(points), len(uv), len(faces)])
    sizes = [len(points), len(uv), len(faces), len(picture)]
    tree = {
        "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"translation": [0, 0, 5], "children": [1]}, {"mesh": 0, "scale": [2, 2, 2]}, {"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}], "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "bufferViews": [{"byteOffset": int(s), "byteLength": n} for s, n in zip(starts, sizes)],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
    }  # fmt: skip
    text = json.dumps(tree).encode()
    (tmp_path / "a.glb").write_bytes(
        b"glTF"
        + struct.pack("<II", 2, 0)
        + struct.pack("<II", len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", len(body), 0)
        + body
    )
    (mesh,) = read_glb(tmp_path / "a.glb")
    np.testing.assert_allclose(mesh.points, [[0, 0, 5], [2, 0, 5], [0, 2, 5]])
    assert mesh.texture is not None
    assert tuple(mesh.texture[0, 0]) == (200, 20, 10)
    with pytest.raises(InputError, match="no binary glTF"):
        read_glb(tmp_path / "a.obj")


def test_check_tells_missing_from_different(tmp_path: Path) -> None:
    """A right file passes, a changed one differs, one that is not there is missing."""
    for name in ("right", "changed"):
        (tmp_path / name).write_bytes(b"light")
    good = digest(tmp_path / "right")
    (tmp_path / "changed").write_bytes(b"dark")
    sources = tuple(Source(name, good, "r", "c", "p", "", "CC0") for name in ("right", "changed", "gone"))

    assert [fault for _, fault in check(tmp_path, sources)] == ["", "differs", "missing"]


def test_every_listed_file_has_a_licence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The committed list names hash, repository and licence of 3,214 files, and the command says what is missing."""
    sources = listed()

    assert len(sources) == 3214
    assert all(len(source.sha256) == 64 and source.repository and source.licence for source in sources)
    assert sum(count for *_, count in licences(sources)) == len(sources)
    assert main(["check", str(tmp_path)]) == 1
    assert "0 of 3214" in capsys.readouterr().out


@pytest.mark.real
def test_the_real_material_is_what_the_list_says(real_data: Path) -> None:
    """The models of the evaluation folder have the listed hashes."""
    models = tuple(source for source in listed() if source.file.startswith("models/"))

    assert not [source.file for source, fault in check(real_data, models) if fault]
