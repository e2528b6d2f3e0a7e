"""The deflicker engine on what is not flicker: empty frames, fades, steps, scales, plain cards, a black reference."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.errors import OptionError
from harmovid.pixels.apply.tiles import apply_field
from harmovid_server.engines import load
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo
from harmovid_server.runtimes.base import RuntimeSettings

HEIGHT, WIDTH = 48, 64


def still(
    count: int, gain_stops: np.ndarray | float = 0.0, noise: float = 0.003, seed: int = 0
) -> np.ndarray:
    """Return `(count, H, W, 3)` frames of one textured scene with noise, each times two to its gain."""
    rng = np.random.default_rng(seed)
    scene = np.kron(rng.random((12, 16, 3)), np.ones((4, 4, 1))) * 0.5 + 0.05
    frames = np.clip(scene + rng.normal(0, noise, (count, *scene.shape)), 0.003, None)
    return (frames * np.exp2(np.broadcast_to(gain_stops, count))[:, None, None, None]).astype(np.float32)


def answered(clip: np.ndarray, **options: object) -> list[Answer]:
    """Return the engine's answers, one per frame, numbered from 1."""
    (engine,) = load(["deflicker"])
    engine.activate(RuntimeSettings())
    checked = engine.info.check_options(options)
    running = engine.start(ShotInfo(tuple(range(1, len(clip) + 1)), checked, ("plate",)))
    everything, box = np.ones((HEIGHT, WIDTH), np.float32), (0, 0, WIDTH, HEIGHT)
    found: list[Answer] = []
    for number, frame in enumerate(clip, start=1):
        found += running.push(ProxyFrame(number, {"plate": frame}, {"coverage": everything}, box))
    found += running.finish()
    found.sort(key=lambda answer: answer.number)
    assert [answer.number for answer in found] == list(range(1, len(clip) + 1))
    return found


def levels(clip: np.ndarray, found: list[Answer], scene: np.ndarray) -> np.ndarray:
    """Return each frame's level in stops over the scene after its field was applied."""
    relit = np.stack([apply_field(frame, each.field, origin=(0, 0))[0] for frame, each in zip(clip, found)])
    return np.asarray(np.median(np.log2(np.maximum(relit, 1e-30) / scene), axis=(1, 2, 3)))


# A card before the first picture is a shot of its own: only black is tried there.
@pytest.mark.parametrize(
    ("value", "holes"),
    [(0.0, (0, 1, 2)), *((value, holes) for value in (0.0, 0.18, 1.0) for holes in ((5,), (10, 11)))],
)
def test_frames_without_a_picture_change_nothing(value: float, holes: tuple[int, ...]) -> None:
    """Black, grey and white frames are no part of a shot: all others get the very fields they get without them."""
    clip = still(12, np.random.default_rng(1).normal(0, 0.2, 12))
    clip[list(holes)] = value
    pictures = [i for i in range(12) if i not in holes]
    found, alone = answered(clip), answered(clip[pictures])

    assert [found[i].field.to_bytes() for i in pictures] == [each.field.to_bytes() for each in alone]
    assert all(found[i].field.is_null and "nothing to compare" in found[i].report["reason"] for i in holes)


def test_black_frames_never_make_more_frames_wait_than_the_engine_looks_ahead() -> None:
    """The server sends no more while so many have no answer: a shot with many black frames in it would stand still."""
    (engine,) = load(["deflicker"])
    clip, options = still(64), engine.info.check_options({"quick": True, "motion": "still"})
    clip[30:50] = 0
    shot = ShotInfo(tuple(range(len(clip))), options, ("plate",))
    running, everything = engine.start(shot), np.ones((HEIGHT, WIDTH), np.float32)
    waiting, most = 0, 0
    for i, frame in enumerate(clip):
        pushed = ProxyFrame(i, {"plate": frame}, {"coverage": everything}, (0, 0, WIDTH, HEIGHT))
        waiting += 1 - len(list(running.push(pushed)))
        most = max(most, waiting)

    assert waiting == len(list(running.finish()))
    assert most <= engine.info.lookahead({"quick": True}, range(len(clip)))


@pytest.mark.parametrize("power", [1, 2.2], ids=["light", "display code"])
@pytest.mark.parametrize("frames", [8, 20, 36, 48])
def test_a_fade_from_black_stays(frames: int, power: float) -> None:
    """A fade from black, linear in light or in display code, changes by at most 0.02 stops in every frame."""
    gain = power * np.log2(np.r_[(np.arange(frames) + 1) / frames, np.ones(16)])
    clip = still(len(gain), gain)

    np.testing.assert_allclose(levels(clip, answered(clip), clip), 0, atol=0.02)


@pytest.mark.parametrize("frames", [7, 12])
@pytest.mark.parametrize("power", [1, 2.2], ids=["light", "display code"])
def test_a_shot_that_is_nothing_but_a_fade_stays(frames: int, power: float) -> None:
    """Part of a fade out, processed without handles, changes by at most 0.02 stops in every frame."""
    clip = still(frames, power * np.log2((np.arange(frames)[::-1] + 1) / frames))

    np.testing.assert_allclose(levels(clip, answered(clip), clip), 0, atol=0.02)


def test_a_fade_in_display_code_stays_on_a_noisy_shot() -> None:
    """Its first frames are nearly black, so that grain fits badly in stops; they are not brightened."""
    gain = 2.2 * np.log2(np.r_[(np.arange(12) + 1) / 12, np.ones(16)])
    grain = np.random.default_rng(4).normal(0, 0.003, still(28, np.zeros(28)).shape)
    clip = np.maximum(still(28, np.zeros(28)) + grain, 0.003) * 2.0 ** gain[:, None, None, None]
    clip = clip.astype(np.float32)

    np.testing.assert_allclose(levels(clip, answered(clip), clip), 0, atol=0.02)


def test_a_step_stays() -> None:
    """Lights that go on by one stop stay on: no frame changes by more than 0.02 stops."""
    clip = still(32, np.repeat([0.0, 1.0], 16))

    np.testing.assert_allclose(levels(clip, answered(clip), clip), 0, atol=0.02)


def test_flicker_goes_at_every_scale() -> None:
    """A clip times 0.001 or 1000 is corrected as the clip itself, within 0.01 stops."""
    clip = still(12, np.random.default_rng(2).normal(0, 0.25, 12))
    expected = levels(clip, answered(clip), still(1, noise=0)[0])

    assert np.ptp(expected) < 0.03
    for scale in (0.001, 1000.0):
        scaled = (clip * scale).astype(np.float32)
        got = levels(scaled, answered(scaled), still(1, noise=0)[0] * scale)
        np.testing.assert_allclose(got, expected, atol=0.01)


def test_a_plain_card_is_steadied() -> None:
    """A grey card with grain and nothing else on it keeps at most 0.03 stops of flicker; its noise makes no cuts."""
    rng = np.random.default_rng(3)
    gain = rng.normal(0, 0.25, 16)
    card = 0.18 * np.exp2(rng.normal(0, 0.03, (16, HEIGHT, WIDTH, 3)) + gain[:, None, None, None])
    clip = card.astype(np.float32)
    found = answered(clip)

    assert np.ptp(levels(clip, found, np.full(3, 0.18))) < 0.03
    assert not any(each.report.get("cut") for each in found)


def test_a_reference_without_light_is_refused() -> None:
    """A black reference frame has no light to hold: the error names it, and nothing is multiplied by thousands."""
    clip = still(6)
    clip[0] = 0

    with pytest.raises(OptionError, match="frame 1 holds no picture"):
        answered(clip, reference_frame=1)


def test_quick_answers_after_24_frames() -> None:
    """With `quick` the first answers come with the 24th frame, and flicker goes as well."""
    (engine,) = load(["deflicker"])
    clip = still(30, np.random.default_rng(5).normal(0, 0.2, 30))
    shot = ShotInfo(tuple(range(30)), engine.info.check_options({"quick": True}), ("plate",))
    running, everything = engine.start(shot), np.ones((HEIGHT, WIDTH), np.float32)
    frames = [
        ProxyFrame(i, {"plate": frame}, {"coverage": everything}, (0, 0, WIDTH, HEIGHT))
        for i, frame in enumerate(clip)
    ]
    counts = [len(list(running.push(frame))) for frame in frames]

    assert counts.index(8) == 23
    assert engine.info.lookahead({"quick": True}, range(30)) == 24 < engine.info.lookahead({}, range(30))
    assert np.ptp(levels(clip, answered(clip, quick=True), still(1, noise=0)[0])) < 0.05


def test_the_report_says_which_frames_the_level_is_of() -> None:
    """A part of a shot has a level of its own: the report names the frames that it was found from."""
    assert answered(still(5))[2].report["level"] == "frames 1 to 5 alone"
