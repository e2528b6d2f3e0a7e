"""The deflicker engine: what it removes, what it leaves alone; windows, cuts and checkpoints change nothing."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from harmovid.errors import OptionError
from harmovid.pixels.apply.tiles import apply_field
from harmovid_server.engines import load
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo
from harmovid_server.engines.deflicker.local_gains import slow_part
from harmovid_server.engines.deflicker.session import Reach
from harmovid_server.runtimes.base import RuntimeSettings

HEIGHT, WIDTH = 72, 112


def textured(count: int, seed: int = 3, pan_px: float = 1.5) -> np.ndarray:
    """Return `(count, H, W, 3)` scene-linear frames: a camera that pans over a coloured texture with values over 1."""
    rng = np.random.default_rng(seed)
    wide = WIDTH + int(count * abs(pan_px)) + 2
    world = np.zeros((HEIGHT, wide, 3))
    for scale in (4, 8, 16, 32):
        small = rng.normal(0, 0.4, (HEIGHT // scale + 2, wide // scale + 2, 3))
        world += np.kron(small, np.ones((scale, scale, 1)))[:HEIGHT, :wide]
    for axis in (0, 1):  # soft edges, as a lens gives
        world = (np.roll(world, 1, axis) + 2 * world + np.roll(world, -1, axis)) / 4
    starts = [round(t * pan_px) for t in range(count)]
    return np.stack([0.25 * np.exp2(world[:, s : s + WIDTH]) for s in starts]).astype(np.float32)


def session(count: int, **options: Any) -> Any:
    """Return a session over frames 1001 onwards."""
    (engine,) = load(["deflicker"])
    engine.activate(RuntimeSettings())
    checked = engine.info.check_options(options)
    return engine.start(ShotInfo(tuple(range(1001, 1001 + count)), checked, ("plate",)))


def proxies(clip: np.ndarray, mask: np.ndarray | None = None) -> list[ProxyFrame]:
    """Return the clip as the worker would push it."""
    mattes = {"coverage": np.ones(clip.shape[1:3], np.float32)}
    if mask is not None:
        mattes["mask"] = mask
    box = (0, 0, clip.shape[2], clip.shape[1])
    return [ProxyFrame(1001 + i, {"plate": image}, mattes, box) for i, image in enumerate(clip)]


def answers(clip: np.ndarray, mask: np.ndarray | None = None, **options: Any) -> list[Answer]:
    """Push a whole clip and return its answers, one per frame in order."""
    running = session(len(clip), **options)
    got = [a for frame in proxies(clip, mask) for a in running.push(frame)] + list(running.finish())
    assert [a.number for a in got] == list(range(1001, 1001 + len(clip)))
    return got


def applied(clip: np.ndarray, found: list[Answer], mask: np.ndarray | None = None) -> np.ndarray:
    """Return the clip with each frame's field applied."""
    pairs = zip(clip, found)
    return np.stack([apply_field(image, a.field, origin=(0, 0), mask=mask)[0] for image, a in pairs])


def stops(clip: np.ndarray) -> np.ndarray:
    """Return log2 of scene-linear light."""
    return np.log2(np.maximum(clip, 1e-6))


def error(result: np.ndarray, truth: np.ndarray) -> float:
    """Return the RMS error in stops after the best constant gain of the clip, as only steadiness can be required."""
    gap = stops(result) - stops(truth)
    return float((gap - gap.mean(axis=(0, 1, 2))).std())


def flickered(clip: np.ndarray, size_stops: float = 0.3, seed: int = 5) -> np.ndarray:
    """Return the clip with white exposure flicker, a little different per channel."""
    rng = np.random.default_rng(seed)
    gain = rng.normal(0, size_stops, (len(clip), 1)) + rng.normal(0, size_stops / 5, (len(clip), 3))
    return (clip * np.exp2(gain)[:, None, None, :]).astype(np.float32)


def test_exposure_flicker_goes() -> None:
    """White exposure flicker on a moving shot falls to less than a twentieth from frame to frame, a third in all."""
    truth = textured(40)
    bad = flickered(truth)
    result = applied(bad, answers(bad))
    before, after = ((stops(clip) - stops(truth)).mean(axis=(1, 2)) for clip in (bad, result))

    assert np.diff(after, axis=0).std() < 0.05 * np.diff(before, axis=0).std()
    assert error(result, truth) < error(bad, truth) / 3


def test_faint_flicker_of_a_whole_picture_goes() -> None:
    """White flicker of 0.02 stops, as time-lapse has, is reduced to a third; on a small foreground it is left alone."""
    truth = textured(40)
    bad = flickered(truth, 0.02)
    found = answers(bad)
    before, after = ((stops(clip) - stops(truth)).mean(axis=(1, 2, 3)) for clip in (bad, applied(bad, found)))
    small = np.zeros((HEIGHT, WIDTH), np.float32)
    small[: HEIGHT // 3, : WIDTH // 3] = 1.0

    assert np.diff(after, n=2).std() < np.diff(before, n=2).std() / 3
    assert all(a.field.is_null for a in answers(bad, small))


def test_local_flicker_goes() -> None:
    """A spot of light that flickers in one place while the camera moves falls to less than half."""
    truth = textured(40)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    spot = np.exp(-(((columns - 40) / 25.0) ** 2) - ((rows - 35) / 20.0) ** 2)
    size = np.random.default_rng(2).normal(0, 0.6, 40)
    bad = (truth * np.exp2(size[:, None, None] * spot)[..., None]).astype(np.float32)

    assert error(applied(bad, answers(bad)), truth) < 0.5 * error(bad, truth)


def test_steady_shot_is_left_bit_identical() -> None:
    """A panning shot without flicker gets the null field on every frame, and the report says why."""
    found = answers(textured(40))

    assert all(a.field.is_null for a in found)
    assert "no flicker" in found[0].report["reason"]


def test_fade_survives() -> None:
    """A two-stop fade over 40 frames under flicker keeps its course: the fade's slope is not flattened."""
    truth = textured(60, pan_px=0.5)
    fade = np.clip((np.arange(60) - 10) / 40, 0, 1) * -2
    truth = (truth * np.exp2(fade)[:, None, None, None]).astype(np.float32)
    bad = flickered(truth, 0.15)
    trace = (stops(applied(bad, answers(bad))) - stops(truth)).mean(axis=(1, 2, 3))

    assert abs(float(np.polyfit(np.arange(60), trace, 1)[0])) * 40 < 0.15
    assert float(np.abs(np.diff(trace)).max()) < 0.08


def test_clean_fade_is_not_touched() -> None:
    """A fade without flicker gets the null field."""
    fade = np.linspace(0, -2, 60)
    clip = (textured(60, pan_px=0.5) * np.exp2(fade)[:, None, None, None]).astype(np.float32)

    assert all(a.field.is_null for a in answers(clip))


@pytest.mark.parametrize(("frames", "stops_apart"), [(8, -2.0), (8, 1.5), (24, 1.5)])
def test_a_dissolve_of_two_moving_shots_stays(frames: int, stops_apart: float) -> None:
    """Two pans in opposite directions, one brighter: no frame's level changes by more than 0.02 stops."""
    count = frames + 24
    shots = textured(count), textured(count, seed=11)[::-1] * 2.0**stops_apart
    share = np.clip((np.arange(count) - 11) / (frames + 1), 0, 1)[:, None, None, None]
    clip = (shots[0] * (1 - share) + shots[1] * share).astype(np.float32)
    change = np.median(stops(applied(clip, answers(clip))) - stops(clip), axis=(1, 2, 3))

    assert np.abs(change).max() < 0.02


def test_frames_around_a_cut_are_those_of_the_shots_alone() -> None:
    """Two shots joined give the very fields of the two shots run apart."""
    first, second = flickered(textured(20, seed=1)), flickered(textured(20, seed=77), seed=9)
    joined = answers(np.concatenate([first, second]))
    apart = answers(first) + answers(second)
    sample = textured(1)[0]

    for mine, theirs in zip(joined, apart):
        expected = apply_field(sample, theirs.field, origin=(0, 0))[0]
        np.testing.assert_array_equal(apply_field(sample, mine.field, origin=(0, 0))[0], expected)


def test_blocks_join_without_a_seam() -> None:
    """On a long shot the correction's error steps no more between two blocks than within them."""
    truth = textured(56, pan_px=0.5)
    bad = flickered(truth, 0.2)
    left = (stops(applied(bad, answers(bad, radius=6))) - stops(truth)).mean(axis=(1, 2, 3))
    steps = np.abs(np.diff(left))

    assert steps[15::16].max() < max(2 * np.quantile(steps, 0.95), 0.02)


@pytest.mark.parametrize(("cycles", "drift"), [(1.3, 0.31), (2.3, 0.17), (5.1, 0.31)])
def test_drifting_bands_go(cycles: float, drift: float) -> None:
    """Rolling bands of a quarter stop leave at most 0.03 stops of moving row profile, and are called bands."""
    truth = textured(40)
    rows = np.arange(HEIGHT) / HEIGHT
    phase = cycles * rows[None, :] + drift * np.arange(40)[:, None]
    bad = (truth * np.exp2(0.25 * np.sin(2 * np.pi * phase))[:, :, None, None]).astype(np.float32)
    found = answers(bad)
    left = (stops(applied(bad, found)) - stops(truth)).mean(axis=(2, 3))
    left -= left.mean(
        axis=1, keepdims=True
    )  # a frame's gain is not a band, and a static pattern is not flicker

    assert float((left - left.mean(axis=0)).std()) < 0.03
    assert "bands" in found[20].report["mode"]


@pytest.mark.parametrize("mode", ["auto", "bands"])
@pytest.mark.parametrize(("frames", "height", "pan_px"), [(20, 72, 9.0), (20, 144, 1.5), (8, 72, 0.0)])
def test_bands_go_in_few_frames_and_fast_motion(mode: str, frames: int, height: int, pan_px: float) -> None:
    """Two bands of 0.3 stops leave a tenth, the level of whole frames stays, and nothing else is found.

    Objects that nothing can follow, a third of the picture, do not hide the bands.
    """
    truth = textured(frames, pan_px=pan_px)
    rng = np.random.default_rng(6)
    third = truth[:, :, : WIDTH // 3]
    third[:] = 0.25 * np.exp2(rng.normal(0, 0.6, third.shape))
    truth = np.repeat(truth, height // HEIGHT, axis=1)
    phase = 2 * (np.arange(height) + 0.5)[None, :] / height + 0.37 * np.arange(frames)[:, None]
    bad = (truth * np.exp2(0.3 * np.sin(2 * np.pi * phase))[:, :, None, None]).astype(np.float32)
    found = answers(bad, mode=mode)
    left = (stops(applied(bad, found)) - stops(truth)).mean(axis=(2, 3))
    level = left.mean(axis=1, keepdims=True)

    assert float((left - level - (left - level).mean(axis=0)).std()) < 0.03
    assert float(level.std()) < 0.01
    assert found[0].report["mode"].startswith(f"{mode}: rolling bands")


def test_mode_bands_takes_out_bands_alone() -> None:
    """Exposure flicker stays as it is, beside bands and without them; then every frame gets the null field."""
    truth = textured(30)
    phase = 2 * np.arange(HEIGHT)[None, :] / HEIGHT + 0.37 * np.arange(30)[:, None]
    exposed = flickered(truth)
    bad = (exposed * np.exp2(0.3 * np.sin(2 * np.pi * phase))[:, :, None, None]).astype(np.float32)
    found = answers(bad, mode="bands")
    left = (stops(applied(bad, found)) - stops(exposed)).mean(axis=(2, 3))
    plain = answers(exposed, mode="bands")

    assert float((left - left.mean()).std()) < 0.02
    assert all(a.field.is_null for a in plain)
    assert plain[0].report["reason"] == "no rolling bands found"


def test_mode_exposure_leaves_local_light_alone() -> None:
    """With mode exposure no frame gets a gain map."""
    found = answers(flickered(textured(20)), mode="exposure")

    assert all(len(a.field.parts) == 1 for a in found)


def test_trims_are_added() -> None:
    """A trim moves just its frames by its stops, also where there is nothing else to do."""
    clip = textured(12)
    found = answers(clip, trims="1003:+0.5, 1005-1006:-0.25")
    moved = (stops(applied(clip, found)) - stops(clip)).mean(axis=(1, 2, 3))

    np.testing.assert_allclose(moved, [0, 0, 0.5, 0, -0.25, -0.25, 0, 0, 0, 0, 0, 0], atol=1e-3)


@pytest.mark.parametrize("text", ["1003", "1003:a", "1003:99", "1010-1003:1", "1:1;2:2"])
def test_bad_trims_are_refused(text: str) -> None:
    """Trims that cannot be read are refused before the first frame, with the form that is wanted."""
    with pytest.raises(OptionError, match="1001:"):
        session(3, trims=text)


def drifting(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a pan under a slow change of half a stop with flicker, and the change's course in stops."""
    course = np.linspace(0, 0.5, count)
    clip = textured(count, pan_px=0.5) * np.exp2(course)[:, None, None, None]
    return flickered(clip.astype(np.float32), 0.15), course


def course_of(clip: np.ndarray, found: list[Answer], truth: np.ndarray) -> np.ndarray:
    """Return the light's course that is left, in stops."""
    return (stops(applied(clip, found)) - stops(truth)).mean(axis=(1, 2, 3))


def test_hold_takes_the_slow_change_out_too() -> None:
    """With hold 1 one level is left of half a stop of drift, also across windows; with 0 the drift stays."""
    truth = textured(90, pan_px=0.5)
    bad, course = drifting(90)
    held, kept = (course_of(bad, answers(bad, hold=h), truth) for h in (1.0, 0.0))

    assert held.std() < 0.03
    assert abs(np.polyfit(course, kept, 1)[0] - 1) < 0.2


@pytest.mark.parametrize("reference", [1001, 1030, 1085])
def test_reference_gives_the_level(reference: int) -> None:
    """The reference frame stays as it is, and with hold 1 all others have its light, wherever in the shot it is."""
    truth = textured(90, pan_px=0.5)
    bad, _ = drifting(90)
    before = (stops(bad) - stops(truth)).mean(axis=(1, 2, 3))[reference - 1001]
    found = answers(bad, hold=1.0, reference_frame=reference)

    np.testing.assert_allclose(course_of(bad, found, truth), before, atol=0.08)
    sample = bad[reference - 1001]
    unchanged = apply_field(sample, found[reference - 1001].field, origin=(0, 0))[0]
    np.testing.assert_allclose(stops(unchanged), stops(sample), atol=0.01)
    assert found[0].report["level"] == f"frame {reference}"


def test_reference_in_another_shot_leaves_this_one_to_itself() -> None:
    """After a cut the reference of the earlier shot is not used: the shot is held at its own beginning."""
    first, second = flickered(textured(20, seed=1)), flickered(textured(20, seed=77), seed=9)
    joined = answers(np.concatenate([first, second]), reference_frame=1005, hold=1.0)
    alone = answers(second, hold=1.0)

    assert joined[25].report["level"] == "start of the shot"
    assert joined[25].field.to_bytes() == alone[5].field.to_bytes()


@pytest.mark.parametrize("frame", [12, -1, "first", 1001.5])
def test_a_reference_that_is_no_frame_is_refused(frame: Any) -> None:
    """The error names the frames there are, before anything is computed."""
    with pytest.raises(OptionError, match=r"1001 to 1003|number of a frame"):
        session(3, reference_frame=frame)


def test_still_treats_motion_as_outliers() -> None:
    """With motion still a locked-off shot is corrected as well as by following."""
    truth = textured(30, pan_px=0)
    bad = flickered(truth)

    assert error(applied(bad, answers(bad, motion="still")), truth) < error(bad, truth) / 3


def test_measured_and_applied_masks_differ() -> None:
    """Light is measured in the measure mask alone, and taken out wherever the mask says."""
    truth = textured(30)
    measure, apply = np.zeros((2, HEIGHT, WIDTH), np.float32)
    measure[:, : WIDTH // 2], apply[:, WIDTH // 4 :] = 1, 1
    bad = flickered(truth)
    bad[:, :, 3 * WIDTH // 4 :] = flickered(truth, 0.6, seed=8)[:, :, 3 * WIDTH // 4 :]  # must not be used
    running, got = session(len(bad)), []
    for frame in proxies(bad, apply):
        frame.mattes["measure_mask"] = measure
        got += list(running.push(frame))
    result = applied(bad, [*got, *running.finish()], apply)

    np.testing.assert_array_equal(result[:, :, : WIDTH // 4], bad[:, :, : WIDTH // 4])
    middle = slice(WIDTH // 4, 3 * WIDTH // 4)
    assert (
        error(result[:, :, middle], truth[:, :, middle]) < error(bad[:, :, middle], truth[:, :, middle]) / 3
    )


def test_report_tells_courses_and_cuts() -> None:
    """The report has the measured and corrected light per channel, and marks the first frame after a cut."""
    first, second = flickered(textured(12, seed=1)), flickered(textured(12, seed=77), seed=9)
    found = answers(np.concatenate([first, second]))

    assert [a.number for a in found if a.report.get("cut")] == [1013]
    measured, corrected = (np.array([a.report[k] for a in found[:12]]) for k in ("measured", "corrected"))
    assert np.diff(corrected, axis=0).std() < 0.25 * np.diff(measured, axis=0).std()


def test_only_the_mask_is_measured_and_changed() -> None:
    """With a mask, flicker outside it neither moves the field nor is touched."""
    truth = textured(30)
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[:, : WIDTH // 2] = 1
    bad = np.where(mask[None, ..., None] > 0, truth, flickered(truth)).astype(np.float32)

    result = applied(bad, answers(bad, mask), mask)

    np.testing.assert_array_equal(result[:, :, WIDTH // 2 :], bad[:, :, WIDTH // 2 :])
    assert error(result[:, :, : WIDTH // 2], truth[:, :, : WIDTH // 2]) < 0.02


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shortest_shots_are_answered(count: int) -> None:
    """Shots of one to three frames get an answer for each frame and no number that is not finite."""
    found = answers(flickered(textured(count)))

    assert np.isfinite(applied(textured(count), found)).all()


@pytest.mark.parametrize("value", [0.0, -0.5, 6e4])
def test_flat_frames_are_left_alone(value: float) -> None:
    """Black, negative and blown-out frames have nothing to measure and come back as they are."""
    clip = np.full((6, HEIGHT, WIDTH, 3), value, np.float32)

    assert all(a.field.is_null for a in answers(clip))


def test_amounts_of_nothing_are_null() -> None:
    """With luma, chroma and local at 0 nothing is changed."""
    found = answers(flickered(textured(20)), luma=0.0, chroma=0.0, local=0.0)

    assert all(a.field.is_null for a in found)


@pytest.mark.parametrize(
    ("stop", "options"),
    [(1, {"radius": 4}), (41, {"radius": 4}), (41, {"reference_frame": 1040, "hold": 0.5})],
)
def test_restored_session_answers_as_the_undisturbed_one(stop: int, options: dict[str, Any]) -> None:
    """A session saved and restored after any frame gives the very answers of an undisturbed one."""
    clip = flickered(textured(48, pan_px=0.5))
    frames = proxies(clip)
    expected = answers(clip, **options)
    first, second = session(48, **options), session(48, **options)
    got = [a for frame in frames[:stop] for a in first.push(frame)]
    second.restore(first.state())
    got += [a for frame in frames[stop:] for a in second.push(frame)] + list(second.finish())

    assert [a.field.to_bytes() for a in got] == [a.field.to_bytes() for a in expected]


@pytest.fixture
def short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let blocks of eight frames be answered, so that short shots have many."""
    reach = Reach(block=8, back=12, ahead=8, later=6)
    monkeypatch.setattr("harmovid_server.engines.deflicker.FULL", reach)


@pytest.mark.parametrize("stop", [15, 16, 19, 21, 22, 30])
def test_a_block_that_is_being_solved_survives_a_restart(short_window: None, stop: int) -> None:
    """Saved while a block is solved beside its frames (from 16 on), before and after, a session answers the same."""
    frames = proxies(flickered(textured(40, pan_px=0.5)))
    expected, last = undisturbed()
    first, second = (session(40, radius=4) for _ in range(2))
    got = [[a.field.to_bytes() for a in first.push(frame)] for frame in frames[:stop]]
    second.restore(first.state())
    got += [[a.field.to_bytes() for a in second.push(frame)] for frame in frames[stop:]]

    assert got == expected
    assert sum(map(len, expected)) == 24
    assert [a.field.to_bytes() for a in second.finish()] == last


@cache
def undisturbed() -> tuple[list[list[bytes]], list[bytes]]:
    """Return what a short window answers to the frames of the restarts, one after the other and at the end."""
    frames = proxies(flickered(textured(40, pan_px=0.5)))
    whole = session(40, radius=4)
    pushed = [[a.field.to_bytes() for a in whole.push(frame)] for frame in frames]
    return pushed, [a.field.to_bytes() for a in whole.finish()]


def test_blocks_are_the_same_whether_a_shot_ends_early_or_late(short_window: None) -> None:
    """A block whose answers were not due yet when the shot ended is the one that a longer shot gets."""
    frames = proxies(flickered(textured(34, pan_px=0.5)))
    ending, going_on = session(34, radius=4), session(34, radius=4)
    for frame in frames[:18]:
        assert list(ending.push(frame)) == []
    early = [a.field.to_bytes() for a in ending.finish()]
    late = [a.field.to_bytes() for frame in frames for a in going_on.push(frame)]

    assert early[:8] == late[:8]


def test_memory_is_bounded_by_the_window(short_window: None) -> None:
    """What a session keeps does not grow with the shot, once that is longer than the window (here a short one)."""
    clip = flickered(textured(24, pan_px=0.5))
    running = session(96, radius=4)
    sizes = {}
    for number, frame in enumerate(
        (proxies(clip) + proxies(clip)[::-1]) * 2
    ):  # forwards and backwards: no cut
        list(running.push(frame))
        if number >= 30 and number % 3 == 0:  # at all places in a block of eight
            sizes[number] = sum(np.asarray(value).nbytes for value in running.state().values())

    early, late = (
        [size for number, size in sizes.items() if (number >= 60) is late] for late in (False, True)
    )
    assert max(late) <= max(early) * 1.05


def test_fast_pan_is_no_cut() -> None:
    """A camera that pans by a seventh of the picture per frame is followed: one segment, and its flicker goes."""
    truth = textured(14, pan_px=16)
    bad = flickered(truth)
    found = answers(bad)
    result = applied(bad, found)
    before, after = ((stops(clip) - stops(truth)).mean(axis=(1, 2)) for clip in (bad, result))

    assert not any(a.report.get("cut") for a in found)
    assert np.diff(after, axis=0).std() < 0.2 * np.diff(before, axis=0).std()


def test_slow_part_passes_straight_lines() -> None:
    """The operator of slow change reproduces a ramp exactly, at the ends too: fades pass."""
    ramp = np.linspace(-3, 5, 30)

    np.testing.assert_allclose(slow_part(30, 6.0) @ ramp, ramp, atol=1e-6)


def test_a_job_looks_ahead_as_far_as_its_reference() -> None:
    """The server asks for as many frames more as there are up to the reference: none can be answered before it."""
    (engine,) = load(["deflicker"])
    numbers = range(1001, 1201)
    plain = engine.info.lookahead({}, numbers)

    assert plain == engine.info.lookahead_frames == engine.info.lookahead({"reference_frame": None}, numbers)
    assert engine.info.lookahead({"reference_frame": 1150}, numbers) == plain + 150
