"""The harmonize engine: its contract, its controls, and cases without any change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List

import cv2
import numpy as np
import pytest
from fakes.sessions import run, run_restored
from harmovid.errors import EngineFailed, OptionError
from harmovid.pixels.apply.tiles import field_stops
from harmovid.pixels.field import Curve, Grid
from harmovid_server.engines import load
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo
from harmovid_server.engines.harmonize import LOOKAHEAD_FRAMES, VARIANTS
from harmovid_server.engines.harmonize.cuts import QUANTILES, log_quantiles
from harmovid_server.engines.harmonize.features import halved
from harmovid_server.engines.harmonize.network import FOLDER
from harmovid_server.engines.harmonize.session import HarmonizeSession
from harmovid_server.runtimes.base import RuntimeSettings

SCALE = 2
"""Pixels of the plate per pixel of the proxy, in each direction."""

BOX = (0, 0, 128 * SCALE, 96 * SCALE)
NUMBERS = tuple(range(1001, 1101))
LARGEST_BYTES, LARGEST_FILE = 25_000_000, 16_000_000


@pytest.fixture(scope="module")
def engine() -> Any:
    """Return the engine with its shipped weights."""
    (made,) = load(["harmonize"])
    made.activate(RuntimeSettings())
    return made


def start(engine: Any, **options: Any) -> HarmonizeSession:
    """Return a session with `options` over the defaults."""
    session: HarmonizeSession = engine.start(
        ShotInfo(NUMBERS, engine.info.check_options(options), ("fg", "bg"))
    )
    return session


def frame(number: int, fg_stops: float = 1.5, bg_stops: float = -1.0, area: int = 60) -> ProxyFrame:
    """Return a bright blue foreground `area` pixels wide on a dim warm plate, both textured."""
    rng = np.random.default_rng(number)
    texture = np.exp2(rng.normal(0, 0.6, (96, 128, 1)))
    matte = np.zeros((96, 128), np.float32)
    matte[20:90, 30 : 30 + area] = 1
    return ProxyFrame(
        number,
        {
            "fg": (0.18 * 2.0**fg_stops * texture * [0.7, 1.0, 1.5]).astype(np.float32),
            "bg": (0.18 * 2.0**bg_stops * texture[::-1] * [1.5, 1.0, 0.6]).astype(np.float32),
        },
        {"matte": matte, "coverage": np.ones((96, 128), np.float32)},
        BOX,
    )


def stops(answer: Answer, shown: ProxyFrame) -> np.ndarray:
    """Return the stops on the foreground's pixels, `(n, 3)`, in the plate's pixels, where the field lies."""
    image = np.kron(shown.images["fg"], np.ones((SCALE, SCALE, 1), np.float32))
    inside = np.kron(shown.mattes["matte"], np.ones((SCALE, SCALE), np.float32)) > 0
    found: np.ndarray = field_stops(image, answer.field, origin=(0, 0))[inside]
    return found


def same(a: Answer, b: Answer) -> bool:
    """Whether two answers are equal to the bit."""
    return a.number == b.number and a.field.to_bytes() == b.field.to_bytes()


def test_shipped_weights_are_small(engine: Any) -> None:
    """All files together stay under 25 MB, each under 16, and the engine is the default way to harmonize."""
    sizes = [path.stat().st_size for path in FOLDER.iterdir()]
    assert sum(sizes) < LARGEST_BYTES
    assert max(sizes) < LARGEST_FILE
    assert engine.info.default
    assert [other.info.name for other in load() if other.info.task == "harmonize" and other.info.default] == [
        "harmonize"
    ]


def test_a_wrong_foreground_moves_towards_its_plate(engine: Any) -> None:
    """A foreground far too bright and blue gets darker and warmer."""
    frames = [frame(n) for n in NUMBERS[:20]]
    answers = run(start(engine), frames)
    mean = stops(answers[-1], frames[-1]).mean(axis=0)

    assert [answer.number for answer in answers] == list(NUMBERS[:20])
    assert mean.mean() < -0.1
    assert mean[0] > mean[2]
    assert answers[-1].report["decision"] == "harmonized"
    assert 0 <= answers[-1].report["confidence"] <= 1.5


def test_variants_come_from_one_inference_and_a_bolder_one_is_never_less_sure(engine: Any) -> None:
    """The report names the variant, its confidence and the expected error; confidence never falls with boldness."""
    for fg_stops in (0.3, 1.5):
        frames = [frame(n, fg_stops) for n in NUMBERS[:4]]
        reports = [run(start(engine, variant=name), frames)[0].report for name in VARIANTS]
        sure = [report["confidence"] for report in reports]

        assert sure == sorted(sure)
        assert [report["variant"] for report in reports] == list(VARIANTS)
        assert len({report["wrong_stops"] for report in reports}) == 1
        assert all(report["error_stops"] > 0 for report in reports)


def test_answers_wait_for_the_lookahead_and_never_longer(engine: Any) -> None:
    """Nothing is answered before 17 frames are in, then every frame at once; a short shot is answered at its end."""
    session = start(engine)
    counts = [len(session.push(frame(n))) for n in NUMBERS[:20]]

    assert counts == [0] * LOOKAHEAD_FRAMES + [LOOKAHEAD_FRAMES + 1, 1, 1, 1]
    assert session.finish() == []
    assert len(run(start(engine), [frame(1001)])) == 1


@pytest.mark.parametrize("cut", [3, LOOKAHEAD_FRAMES, 19])
def test_a_restored_session_answers_the_same_bits(engine: Any, cut: int) -> None:
    """Saved and restored at any frame, a session gives the same answers."""
    frames = [frame(n) for n in NUMBERS[:24]]
    whole = run(start(engine), frames)
    first, second = start(engine), start(engine)
    answers = [answer for one in frames[:cut] for answer in first.push(one)]
    second.restore(first.state())
    answers += run(second, frames[cut:])

    assert all(same(a, b) for a, b in zip(whole, answers))
    assert len(whole) == len(answers)


def other_scene(number: int) -> ProxyFrame:
    """Return a frame of another shot: a lit sky over dark ground, a dark foreground elsewhere."""
    shown = frame(number, fg_stops=-3.0)
    shown.images["bg"][:] *= np.where(np.arange(96) < 40, 12.0, 0.3).astype(np.float32)[:, None, None]
    shown.images["bg"][:] *= np.float32([0.4, 0.9, 2.0])
    shown.mattes["matte"][:] = 0
    shown.mattes["matte"][50:90, 80:120] = 1
    return shown


@pytest.mark.parametrize("cut", [4, LOOKAHEAD_FRAMES + 4])
def test_nothing_is_averaged_across_a_cut(engine: Any, cut: int) -> None:
    """Two scenes sent as one job are answered as two jobs would be, to the bit, and the report names the cut."""
    first = [frame(n) for n in NUMBERS[:cut]]
    second = [other_scene(n) for n in NUMBERS[cut : cut + 20]]
    whole = run(start(engine), first + second)
    apart = run(start(engine), first) + run(start(engine), second)

    assert all(same(a, b) for a, b in zip(whole, apart))
    assert [answer.number for answer in whole] == [shown.number for shown in first + second]
    assert [answer.number for answer in whole if answer.report.get("cut")] == [NUMBERS[cut]]


def test_a_restored_session_knows_of_the_cut(engine: Any) -> None:
    """Restored right before a cut, and after it, a session finds and reports it as well."""
    frames = [frame(n) for n in NUMBERS[:5]] + [other_scene(n) for n in NUMBERS[5:9]]
    whole = run(start(engine), frames)
    for at in (5, 7):
        answers = run_restored(lambda: start(engine), frames, at)
        assert all(same(a, b) and a.report == b.report for a, b in zip(whole, answers))


def test_exposure_changes_and_motion_are_no_cuts(engine: Any) -> None:
    """A plate that brightens by three stops, and one that pans by an eighth of its width a frame, stay one shot."""
    brighter = [replace(frame(1001, 0.2 * i, 0.2 * i), number=n) for i, n in enumerate(NUMBERS[:15])]
    # Like most scenes, large shapes and small ones.
    noise = np.random.default_rng(3).normal(0, 1, (96, 400, 3))
    wide = np.exp2(sum(1.5 * size * cv2.GaussianBlur(noise, (0, 0), size) for size in (4, 12, 36)))
    panned = [frame(n) for n in NUMBERS[:15]]
    for i, shown in enumerate(panned):
        shown.images["bg"][:] = 0.18 * wide[:, 16 * i : 16 * i + 128]
    for frames in (brighter, panned):
        assert not any(answer.report.get("cut") for answer in run(start(engine), frames))


def test_the_field_is_steady(engine: Any) -> None:
    """From frame to frame the field changes by less than a tenth of what it does when every frame is a shot."""
    frames = [replace(frame(n), number=n) for n in NUMBERS[:30]]
    steady = run(start(engine), frames)
    alone = [run(start(engine), [one])[0] for one in frames[:8]]

    def change(answers: List[Answer]) -> float:
        read = np.stack([stops(answer, frames[0]) for answer in answers])
        return float(np.sqrt((np.diff(read, axis=0) ** 2).mean()))

    assert change(steady[17:]) < 0.1 * change(alone) + 1e-4


@pytest.mark.parametrize("kind", ["no foreground", "tiny foreground", "black plate", "no plate to measure"])
def test_hopeless_inputs_are_left_alone(engine: Any, kind: str) -> None:
    """Without usable foreground or plate the answer is the null field, with the reason."""
    frames = [frame(n, area=0 if kind == "no foreground" else 60) for n in NUMBERS[:3]]
    for one in frames:
        if kind == "tiny foreground":
            one.mattes["matte"][:] = 0
            one.mattes["matte"][40:42, 50:52] = 1
        if kind == "black plate":
            one.images["bg"][:] = 0
        if kind == "no plate to measure":
            one.mattes["measure_mask"] = np.zeros((96, 128), np.float32)
    for answer in run(start(engine), frames):
        assert answer.field.is_null
        assert answer.report["decision"] == "nothing"
        assert answer.report["reason"]


@pytest.mark.parametrize(("fg", "bg"), [(6.0, 0.0), (-9.0, -9.0), (0.0, 7.0)])
def test_extremes_stay_finite(engine: Any, fg: float, bg: float) -> None:
    """Foregrounds far over 1, night plates and blown plates give finite fields of a few stops."""
    frames = [frame(n, fg, bg) for n in NUMBERS[:3]]
    for answer, shown in zip(run(start(engine), frames), frames):
        found = stops(answer, shown)
        assert np.isfinite(found).all()
        assert np.abs(found).max() < 16


def test_amounts_of_zero_leave_their_part_out(engine: Any) -> None:
    """With all amounts at 0 the field is null; without direction it has no grid; without colour all channels are
    equal."""
    frames = [frame(n) for n in NUMBERS[:4]]
    nothing = run(start(engine, exposure=0, colour=0, contrast=0, direction=0), frames)[0]
    flat = run(start(engine, direction=0), frames)[0]
    grey = run(start(engine, colour=0, direction=0), frames)[0]

    assert nothing.field.is_null
    assert not any(isinstance(part, Grid) for part in flat.field.parts)
    (curve,) = grey.field.parts
    assert isinstance(curve, Curve)
    np.testing.assert_allclose(curve.coeffs[0], curve.coeffs[2], atol=1e-6)


def test_protected_colours_change_less(engine: Any) -> None:
    """Saturated blue under full protection changes less than without."""
    frames = [frame(n) for n in NUMBERS[:4]]
    for one in frames:
        one.images["fg"][:, :, 0] *= 0.2
    free, kept = (run(start(engine, protect_saturated=value, direction=0), frames)[0] for value in (0.0, 1.0))

    assert np.abs(stops(kept, frames[0])).mean() < 0.6 * np.abs(stops(free, frames[0])).mean()


def test_protected_skin_changes_less(engine: Any) -> None:
    """A face in the foreground under full protection changes less than without; its blue clothes hardly differ."""
    frames = [frame(n) for n in NUMBERS[:4]]
    face = (slice(30, 50), slice(40, 60))
    for one in frames:
        one.images["fg"][face] = np.float32([0.5, 0.5 * 2**-0.9, 0.5 * 2**-1.5])
    seen = []
    for value in (0.0, 1.0):
        answer = run(start(engine, protect_skin=value, direction=0), frames)[0]
        found = np.abs(field_stops(frames[0].images["fg"], answer.field, origin=(0, 0)))
        seen.append((found[face].mean(), found[60:80, 40:80].mean()))
    (face_free, cloth_free), (face_kept, cloth_kept) = seen

    assert face_kept < 0.6 * face_free
    assert abs(cloth_kept - cloth_free) < 0.5 * cloth_free


def test_longer_smoothing_is_slower(engine: Any) -> None:
    """Where the plate brightens slowly, an average over 1,000 frames follows less than one over 16."""
    frames = [frame(n, bg_stops=-2 + 0.08 * i) for i, n in enumerate(NUMBERS[:50])]
    moved = []
    for smoothing in (16, 1000):
        answers = run(start(engine, smoothing=smoothing), frames)
        first, last = (stops(answers[at], frames[0]).mean() for at in (17, 49))
        moved.append(abs(last - first))

    assert moved[1] < moved[0]


def test_holes_hair_and_motion_blur(engine: Any) -> None:
    """A matte with holes and soft, half covered borders is answered, nearly as the solid one is."""
    solid, soft = ([frame(n) for n in NUMBERS[:3]] for _ in range(2))
    for one in soft:
        matte = one.mattes["matte"]
        matte[40:50, 45:55] = 0
        matte[:] = cv2.GaussianBlur(matte, (0, 0), sigmaX=6, sigmaY=1)
    a, b = (stops(run(start(engine), frames)[0], solid[0]) for frames in (solid, soft))

    assert np.isfinite(b).all()
    assert np.sqrt(((a - b) ** 2).mean()) < 0.5 * np.sqrt((a**2).mean())


def test_a_reference_frame_decides_alone(engine: Any) -> None:
    """Matching frame 1003 gives the same answer whatever the other frames show; one that is not there is refused."""
    frames = [frame(n) for n in NUMBERS[:6]]
    others = [
        one if one.number == 1003 else replace(one, images={**one.images, "fg": one.images["fg"] * 0.9})
        for one in frames
    ]
    a, b = (run(start(engine, reference_frame=1003), shown)[-1] for shown in (frames, others))
    c = run(start(engine), frames)[-1]

    curves = [[part.coeffs for part in one.field.parts if isinstance(part, Curve)] for one in (a, b)]
    assert curves[0]
    np.testing.assert_array_equal(*curves)
    assert a.report["frames_seen"] == b.report["frames_seen"] == 1
    assert c.report["frames_seen"] == 6
    with pytest.raises(OptionError, match="reference frame 1140"):
        start(engine, reference_frame=1140)


def test_parts_of_a_shot_match_one_reference_frame_wherever_it_lies(engine: Any) -> None:
    """A reference long before, within and long after a part: the frames have the fields of the whole shot, also where a
    session is restored while they wait.
    """
    shot = [frame(n) for n in NUMBERS[:32]]
    for reference in (NUMBERS[0], NUMBERS[22], NUMBERS[31]):
        whole = {a.number: a for a in run(start(engine, reference_frame=reference), shot)}
        assert list(whole) == list(NUMBERS[:32])
        seen = [one for one in shot if one.number in (reference, *NUMBERS[4:24])]
        part, again = start(engine, reference_frame=reference), start(engine, reference_frame=reference)
        answers = [a for one in seen[:10] for a in part.push(one)]
        again.restore(part.state())
        answers += [a for one in seen[10:] for a in again.push(one)] + list(again.finish())
        assert [a.number for a in answers] == [one.number for one in seen]
        for one in (a for a in answers if a.number in NUMBERS[20:24]):
            np.testing.assert_allclose(stops(one, shot[0]), stops(whole[one.number], shot[0]), atol=1e-4)
            assert one.report["frames_seen"] == 1


def test_a_reference_frame_that_cannot_be_measured_is_an_error(engine: Any) -> None:
    """Without a foreground in it, or if it cannot be read, the job ends with a sentence instead of doing nothing."""
    frames = [frame(n) for n in NUMBERS[:4]]
    frames[2].mattes["matte"][:] = 0
    with pytest.raises(OptionError, match="frame 1003 has too little"):
        run(start(engine, reference_frame=1003), frames)
    session = start(engine, reference_frame=1003)
    assert [session.push(one) for one in (*frames[:2], frames[3])] == [[], [], []]
    with pytest.raises(OptionError, match="frame 1003 could not be read"):
        session.finish()


def test_a_missing_matte_is_told(engine: Any) -> None:
    """Without a matte the engine says so; not activated it refuses to start."""
    bare = replace(frame(1001), mattes={"coverage": np.ones((96, 128), np.float32)})
    with pytest.raises(EngineFailed, match="needs a matte"):
        start(engine).push(bare)
    (fresh,) = load(["harmonize"])
    with pytest.raises(EngineFailed, match="activated"):
        fresh.start(ShotInfo(NUMBERS, fresh.info.check_options({}), ("fg", "bg")))


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 147_456])
def test_quantiles_are_those_of_numpy(count: int) -> None:
    """Quantiles of logarithms equal `np.quantile` to the last bit: light, few levels, flat, far apart, sorted."""
    values = np.random.default_rng(count).normal(size=count)
    for stops in (
        values,
        values.round(1),
        values * 0,
        np.where(values < 0, -20, values * 30),
        np.sort(values),
    ):
        light = np.exp2(stops).astype(np.float32)
        assert (log_quantiles(light) == np.quantile(np.log2(light), QUANTILES)).all()


@pytest.mark.parametrize("shape", [(144, 192), (144, 192, 3), (2, 2, 3)])
def test_half_size_is_the_mean_of_four(shape: Any) -> None:
    """A halved plane holds the means of 2 x 2 pixels."""
    plane = np.random.default_rng(0).random(shape, np.float32)
    means = plane.reshape(shape[0] // 2, 2, shape[1] // 2, 2, *shape[2:]).mean(axis=(1, 3))
    assert np.allclose(halved(plane), means, rtol=1e-6, atol=0)
