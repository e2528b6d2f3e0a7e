"""One shot in the harmonizer.

The first answer waits for `LOOKAHEAD_FRAMES` frames; then the network's vectors are averaged over a window that grows
to `smoothing` frames, so the answer changes slowly and never jumps. The grid of local gains follows the subject's box.
At a cut the session starts again (`cuts.py`). Answers depend on the order of frames, not on when they arrive.

With a reference frame the vectors, the exposure and the colours are those of that frame alone, so that parts of a shot
have the same answer wherever they begin. Frames before it wait for it, without their pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple, cast

import numpy as np
import numpy.typing as npt
from harmovid.pixels.colour.model_space import ANCHOR_FRAMES, exposure_anchor
from harmovid.pixels.field import NULL

from harmovid_server.engines.base import Answer, ProxyFrame, State
from harmovid_server.engines.harmonize import cuts
from harmovid_server.engines.harmonize.answer import Controls, Found, Where, field_of, unscaled
from harmovid_server.engines.harmonize.features import FrameFeatures, extract_features, without_pictures
from harmovid_server.engines.harmonize.light import NORMALS
from harmovid_server.engines.harmonize.network import Network
from harmovid_server.engines.harmonize.shading import measure_shading
from harmovid_server.engines.harmonize.source import NOTHING_ALIKE, SOURCE_PLATE, Comparison, compare
from harmovid_server.engines.reference import not_seen, nothing_to_measure

Array = npt.NDArray[Any]

LOOKAHEAD_FRAMES = 16
NO_PLACES = np.zeros(0, np.float32)
COLOURS = 384
"""Number of typical colours of the foreground that are kept, for options and report."""
BOX_SHARE = 0.5
"""How far the smoothed box of the subject moves towards each new one, because mattes vary a little."""
BOX_FRAMES = 16
"""Frames after which the smoothed box has forgotten where it was, but for a share of 2^-16."""
WAITING = ("picture", "matte", "seen", "window", "box", "signature", "compared", "sides", "shading")
"""The fields of a waiting frame that are saved."""


@dataclass
class Memory:
    """Running means over frames of weight, weight times vector, weight times local features; number of frames."""

    trust: float
    vector: Array
    local: Array
    count: int = 1

    def take(self, trust: float, vector: Array, local: Array, window: int) -> None:
        """Add a frame: a plain mean at first, an exponential one after `window` frames."""
        self.count += 1
        share = 1 / min(self.count, window)
        self.trust += (trust - self.trust) * share
        self.vector = self.vector + (trust * vector - self.vector) * np.float32(share)
        self.local = self.local + (trust * local - self.local) * np.float32(share)


class HarmonizeSession:
    """See the module; `push`, `finish`, `state`, `restore` as in `base.ShotSession`."""

    def __init__(
        self, network: Network, controls: Controls, smoothing: int, reference: Optional[int] = None
    ) -> None:
        self._network, self._controls = network, controls
        self._window = max(smoothing, LOOKAHEAD_FRAMES)
        self._reference = reference
        self._waiting: List[FrameFeatures] = []
        self._before: Optional[Array] = None
        self._cut: Optional[int] = None
        self._forget()

    def _forget(self) -> None:
        """Reset to the state before any frame."""
        self._anchor: Optional[float] = None
        self._memory: Optional[Memory] = None
        self._source: Optional[Memory] = None
        self._shading: Optional[Memory] = None
        self._colours = np.zeros((0, 3))
        self._box: Optional[Array] = None

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Take one frame; answer it, and the waiting first ones too once enough frames have been seen.

        Raises:
            OptionError: the reference frame has nothing to measure.
        """
        numbers = self._network.numbers
        seen = extract_features(frame, (numbers.rows, numbers.columns))
        if SOURCE_PLATE in frame.images:
            told = compare(frame, self._network) if seen.says_something else NOTHING_ALIKE
            seen = replace(seen, compared=np.array([told.pairs, *told.map]))
        if NORMALS in frame.images:
            shaded = measure_shading(frame)
            seen = replace(seen, sides=shaded.sides, shading=np.array([shaded.weight, *shaded.slopes]))
        owed = self._ended(seen)
        if self._anchor is not None:
            self._take(seen)
            return [*owed, self._answer(seen)]
        if self._reference is None:
            self._waiting.append(seen)
            return [*owed, *(self._start() if len(self._waiting) > LOOKAHEAD_FRAMES else [])]
        if self._reference != seen.number:
            self._waiting.append(without_pictures(seen))
            return []
        if not seen.says_something:
            raise nothing_to_measure(seen.number)
        self._waiting.append(seen)
        return self._start()

    def _ended(self, seen: FrameFeatures) -> List[Answer]:
        """If this frame begins a new shot, return the open answers of the one before and start again.

        A job with a reference frame keeps matching that frame.
        """
        before, self._before = self._before, seen.signature
        if self._reference is not None or before is None or not cuts.is_cut(before, self._before):
            return []
        owed = self.finish()
        self._forget()
        self._cut = seen.number
        return owed

    def finish(self) -> List[Answer]:
        """Answer the frames that still wait: all frames of a shot shorter than the lookahead.

        Raises:
            OptionError: they wait for a reference frame that could not be read.
        """
        if self._waiting and self._reference is not None:
            raise not_seen(self._reference)
        return self._start() if self._waiting else []

    def _start(self) -> List[Answer]:
        """Measure the shot's exposure, then process and answer all waiting frames."""
        telling = [
            seen for seen in self._waiting if seen.says_something and self._reference in (None, seen.number)
        ]
        self._anchor = exposure_anchor(seen.plate for seen in telling[:ANCHOR_FRAMES])
        self._colours = _typical(telling, self._anchor)
        for seen in self._waiting:
            self._take(seen)
        answers = [self._answer(seen) for seen in self._waiting]
        self._waiting = []
        return answers

    def _take(self, seen: FrameFeatures) -> None:
        if self._anchor is None or not seen.says_something:
            return
        if self._reference not in (None, seen.number):
            return
        if not len(self._colours):
            self._colours = _typical([seen], self._anchor)
        vector, trust, local = self._network.encode(seen, self._anchor)
        self._memory = self._taken(self._memory, trust, vector, local)
        if len(seen.compared):
            self._source = self._taken(self._source, float(seen.compared[0]), seen.compared[1:], NO_PLACES)
        if len(seen.shading):
            self._shading = self._taken(self._shading, float(seen.shading[0]), seen.shading[1:], NO_PLACES)

    def _taken(self, memory: Optional[Memory], trust: float, vector: Array, local: Array) -> Memory:
        """Return the memory with one frame more."""
        if memory is None:
            return Memory(trust, trust * vector, trust * local)
        memory.take(trust, vector, local, self._window)
        return memory

    def _answer(self, seen: FrameFeatures) -> Answer:
        if self._anchor is None or self._memory is None or not len(self._colours):
            reason = "no foreground or no background to measure"
            return Answer(
                seen.number, NULL, {"decision": "nothing", "reason": reason, **self._cut_fact(seen)}
            )
        memory = self._memory
        share = np.float32(1 / memory.trust)
        said, numbers = (
            self._network.answer(memory.vector * share, memory.local * share),
            self._network.numbers,
        )
        found = Found(
            unscaled(said.coeffs, numbers.unit_stops), np.transpose(said.grid, (2, 3, 1, 0)),
            dict(zip(numbers.variants, said.gate)), said.need, said.error, self._colours, self._anchor,
            None if self._source is None else Comparison.of(self._source.trust, self._source.vector),
            self._shading.vector / self._shading.trust if self._shading and self._shading.trust else None,
        )  # fmt: skip
        where = Where(self._followed(seen), seen.frame, seen.sides)
        field, facts = field_of(found, self._controls, numbers, where)
        return Answer(seen.number, field, {**facts, "frames_seen": memory.count, **self._cut_fact(seen)})

    def _cut_fact(self, seen: FrameFeatures) -> Dict[str, bool]:
        return {"cut": True} if seen.number == self._cut else {}

    def _followed(self, seen: FrameFeatures) -> Tuple[float, float, float, float]:
        """Return the subject's smoothed box in plate pixels."""
        if self._box is None:
            self._box = seen.box_in_frame
        elif seen.says_something:
            self._box = self._box + np.float32(BOX_SHARE) * (seen.box_in_frame - self._box)
        x0, y0, x1, y1 = seen.frame
        a, b, c, d = (float(edge) for edge in self._box)
        return (x0 + a * (x1 - x0), y0 + b * (y1 - y0), x0 + c * (x1 - x0), y0 + d * (y1 - y0))

    def state(self) -> State:
        """Return the whole state, as plain values and arrays."""
        state: Dict[str, Any] = {
            "anchor": self._anchor, "colours": self._colours, "box": self._box, "before": self._before,
            "cut": self._cut,
        }  # fmt: skip
        if self._memory is not None:
            memory = self._memory
            state.update(trust=memory.trust, vector=memory.vector, local=memory.local, count=memory.count)
        for name, held in (("source", self._source), ("shading", self._shading)):
            if held is not None:
                state.update(
                    {f"{name}.trust": held.trust, f"{name}.vector": held.vector, f"{name}.count": held.count}
                )
        if self._waiting:
            state["numbers"] = np.array([[seen.number, *seen.frame] for seen in self._waiting], np.int64)
            for name in WAITING:
                state[f"waiting.{name}"] = np.stack([getattr(seen, name) for seen in self._waiting])
        return state

    def restore(self, state: State) -> None:
        """Restore what `state` returned."""
        held = cast(Dict[str, Any], state)
        self._anchor = None if held["anchor"] is None else float(held["anchor"])
        self._colours = np.asarray(held["colours"], np.float64).reshape(-1, 3)
        self._box = None if held["box"] is None else np.asarray(held["box"], np.float32)
        self._before = None if held["before"] is None else np.asarray(held["before"], np.float32)
        self._cut = None if held["cut"] is None else int(held["cut"])
        self._memory = None
        if "trust" in held:
            self._memory = Memory(float(held["trust"]), held["vector"], held["local"], int(held["count"]))
        self._source, self._shading = (_memory(held, name) for name in ("source", "shading"))
        self._waiting = []
        for i, (number, x0, y0, x1, y1) in enumerate(held.get("numbers", ())):
            parts = (held[f"waiting.{name}"][i] for name in WAITING)
            self._waiting.append(FrameFeatures(int(number), (int(x0), int(y0), int(x1), int(y1)), *parts))

    def close(self) -> None:
        """Do nothing: the networks belong to the engine."""


def _memory(held: Mapping[str, Any], name: str) -> Optional[Memory]:
    """Return one of the memories without places from a saved state."""
    if f"{name}.trust" not in held:
        return None
    return Memory(float(held[f"{name}.trust"]), held[f"{name}.vector"], NO_PLACES, int(held[f"{name}.count"]))


def _typical(seen: List[FrameFeatures], anchor: float) -> npt.NDArray[np.float64]:
    """Return up to `COLOURS` colours of the foreground, `log2(rgb / anchor)`, evenly from all frames."""
    if not seen:
        return np.zeros((0, 3))
    pixels = np.concatenate([one.picture[one.matte > 0.5 * one.matte.max()] for one in seen])
    thinned = pixels[:: max(1, -(-len(pixels) // COLOURS))]
    return np.log2(np.maximum(thinned.astype(np.float64), anchor * 2.0**-8) / anchor)
