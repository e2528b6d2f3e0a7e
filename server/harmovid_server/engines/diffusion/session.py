"""One shot in a diffusion model: encoded as it arrives, sampled when complete, decoded chunk by chunk.

    push      proxies wait until they fill a chunk of the VAE; then only their latents and packed mattes are kept
    finish    the sampler moves the latents of the whole shot, step by step and window by window; then chunk by chunk
              the given and the new pictures are decoded side by side, and each frame's field is fitted to the two

So memory does not grow with the length except for latents and mattes, about 1/100 of the pictures. The VAE is causal; a
shot whose length is not valid for its chunks is extended by repeating the last frame.

A checkpoint between two steps holds all latents and the number of steps done; one between two answers holds the sampled
latents and the number of frames answered: decoding starts again and gives the same pictures. So a worker that is killed
costs the steps since its last checkpoint, or the decoding so far, and the frames are the same to the bit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, cast

import numpy as np
import numpy.typing as npt
from harmovid.errors import EngineFailed
from harmovid.pixels.colour.model_space import ANCHOR_FRAMES

from harmovid_server.engines.base import Answer, ProxyFrame, State
from harmovid_server.engines.diffusion.answer import answer
from harmovid_server.engines.diffusion.codec import Stream
from harmovid_server.engines.diffusion.description import COMPOSITE, STEP, Description
from harmovid_server.engines.diffusion.memory import explained
from harmovid_server.engines.diffusion.pictures import (
    CLIPPED,
    Seen,
    anchor_of,
    coverage,
    from_range,
    packed,
    padded,
    see,
    to_range,
    unpacked,
)
from harmovid_server.engines.diffusion.sampling import Controls, Sampling
from harmovid_server.runtimes.base import Network

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

_LATENTS = "latents."


class DiffusionSession:
    """See the module; `push`, `finish`, `state`, `restore`, `close` as in `base.ShotSession`.

    Args:
        networks: role to loaded network.
        text: `(1, tokens, width)` embedding of the prompt.
        wants_pictures: answers hold the network's own picture, too.
    """

    def __init__(
        self,
        networks: Mapping[str, Network],
        description: Description,
        text: Float32,
        controls: Controls,
        wants_pictures: bool = False,
    ) -> None:
        self._networks, self._text = networks, text
        self._description, self._controls = description, controls
        self._wants_pictures = wants_pictures
        self._waiting: List[Seen] = []
        self._encoders: Dict[str, Stream] = {}
        self._anchor: Optional[float] = None
        self._kept: List[Tuple[int, Tuple[int, int, int, int], bytes]] = []
        self._size = (0, 0)
        self._latents: Dict[str, List[Float32]] = {name: [] for name in (*description.conditions, "mask")}
        self._sampling: Optional[Sampling] = None
        self._sampled: Optional[Float32] = None
        self._answered = 0

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Take one frame. Nothing is answered before the shot is complete."""
        self._waiting.append(see(frame, self._description.conditions))
        if len(self._waiting) == self._description.frames[1 if self._encoders else 0]:
            self._encode(self._waiting)
            self._waiting = []
        return []

    def finish(self) -> Iterator[Optional[Answer]]:
        """Sample the shot, with None after each step, and answer its frames in order, as they are decoded."""
        if self._sampled is None:
            self._encode_rest()
            self._encoders = {}
            if not self._kept:
                return
            self._sampling = self._sampling or self._new_sampling()
            yield from self._sampling.steps()
            self._sampled, self._sampling = self._sampling.latents, None
        yield from self._decoded(self._sampled)

    def _new_sampling(self) -> Sampling:
        return Sampling(
            self._networks["transformer"], self._description, self._text, self._controls, self._conditions(),
            self._networks.get(STEP),
        )  # fmt: skip

    def close(self) -> None:
        """Free what the VAE's streams keep on the device."""
        self._encoders = {}

    def _encode_rest(self) -> None:
        """Encode the frames that still wait, extended by the last frame to a valid length."""
        waiting, self._waiting = self._waiting, []
        if not waiting and not self._kept:
            return
        if waiting:
            count = len(self._kept) + len(waiting)
            missing = self._description.legal_frames(count) - count
            self._encode(waiting, prolong=missing)

    def _encode(self, seen: List[Seen], prolong: int = 0) -> None:
        description = self._description
        if self._anchor is None:
            self._anchor = anchor_of((one.pictures[COMPOSITE] for one in seen[:ANCHOR_FRAMES]), description)
        first = not self._encoders
        self._size = (seen[0].mask.shape[0], seen[0].mask.shape[1])
        self._kept += [(one.number, one.box, packed(one.mask)) for one in seen]
        frames = [*seen, *seen[-1:] * prolong]
        for name in description.conditions:
            pictures = [
                padded(to_range(one.pictures[name], self._anchor, description), description.side_unit)
                for one in frames
            ]
            stream = self._encoders.setdefault(name, Stream(self._networks, description, encode=True))
            clip = np.stack(pictures).transpose(3, 0, 1, 2)[None]
            with explained(f"encoding {len(pictures)} frames of {clip.shape[4]}x{clip.shape[3]}"):
                self._latents[name].append(stream.push(clip))
        masks = np.stack([padded(one.mask, description.side_unit) for one in frames])
        self._latents["mask"].append(coverage(masks, description, first))

    def _conditions(self) -> Float32:
        """Return the conditions of the whole shot, `(1, channels - C, T, h, w)`."""
        return np.concatenate(
            [np.concatenate(self._latents[name], axis=2) for name in (*self._description.conditions, "mask")],
            axis=1,
        )

    def _decoded(self, sampled: Float32) -> Iterator[Answer]:
        """Yield the answers not given yet; decoding is causal, so it always starts with the first chunk.

        While fields of one chunk are fitted on the processor, the next one is decoded on the device. Both have ended
        before an answer is given, because other jobs may use the networks then.
        """
        given = np.concatenate(self._latents[COMPOSITE], axis=2)
        streams = [Stream(self._networks, self._description, encode=False) for _ in range(2)]

        def decode(chunk: slice) -> Tuple[Float32, Float32]:
            with explained(f"decoding frames of {self._size[1]}x{self._size[0]}"):
                before, after = (
                    stream.push(latents[:, :, chunk]) for stream, latents in zip(streams, (given, sampled))
                )
            return before, after

        done, chunks = 0, self._chunks(sampled.shape[2])
        with ThreadPoolExecutor(1, "decode") as pool:
            following = pool.submit(decode, chunks[0])
            for place, _ in enumerate(chunks):
                before, after = following.result()
                if place + 1 < len(chunks):
                    following = pool.submit(decode, chunks[place + 1])
                stop = min(done + before.shape[2], len(self._kept))
                answers = [
                    self._answer(index, before[0, :, index - done], after[0, :, index - done])
                    for index in range(max(done, self._answered), stop)
                ]
                done += before.shape[2]
                wait([following])
                for answer in answers:
                    self._answered += 1
                    yield answer

    def _chunks(self, total: int) -> List[slice]:
        """Return which of `total` latents are decoded together."""
        first, following = self._description.latents
        starts = [0, *range(first, total, following)]
        return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], total])]

    def _answer(self, index: int, before: Float32, after: Float32) -> Answer:
        """Return the answer for a frame from its decoded pictures `(3, H, W)`."""
        number, box, matte = self._kept[index]
        rows, columns = self._size
        pair = [np.clip(one.transpose(1, 2, 0)[:rows, :columns], -1, 1) for one in (before, after)]
        clipped = np.maximum(pair[0].max(axis=2), pair[1].max(axis=2)) > CLIPPED
        weights = np.where(clipped, np.float32(0), unpacked(matte, self._size))
        light = [from_range(one, cast(float, self._anchor), self._description) for one in pair]
        field, facts = answer(light[0], light[1], weights, box, self._controls.detail)
        return Answer(number, field, facts, light[1] if self._wants_pictures else None)

    def state(self) -> State:
        """Return the whole state.

        Before sampling it is only the number of frames, because encoding them again is little work.
        """
        if self._sampled is not None:
            return {**self._frames_state(), "sampled": self._sampled}
        if self._sampling is None:
            return {"pushed": len(self._kept) + len(self._waiting), "answered": 0}
        latents = {_LATENTS + name: np.concatenate(parts, axis=2) for name, parts in self._latents.items()}
        return {**self._frames_state(), **latents, **self._sampling.state()}

    def _frames_state(self) -> State:
        """Return what decoding needs to know of the frames."""
        mattes = b"".join(matte for _, _, matte in self._kept)
        return {
            "answered": self._answered, "anchor": self._anchor, "size": np.array(self._size, np.int64),
            _LATENTS + COMPOSITE: np.concatenate(self._latents[COMPOSITE], axis=2),
            "frames": np.array([[number, *box, len(matte)] for number, box, matte in self._kept], np.int64),
            "mattes": np.frombuffer(mattes, np.uint8),
        }  # fmt: skip

    def restore(self, state: State) -> None:
        """Restore what `state` returned.

        Raises:
            EngineFailed: the state is that of a shot that was not sampled yet.
        """
        held = cast(Dict[str, Any], state)
        if "frames" not in held:
            raise EngineFailed("this shot was not sampled yet.", fix="It is seen again from its first frame.")
        self._answered, self._anchor = int(held["answered"]), float(held["anchor"])
        self._size = (int(held["size"][0]), int(held["size"][1]))
        self._latents = {
            name[len(_LATENTS) :]: [np.asarray(value, np.float32)]
            for name, value in held.items()
            if name.startswith(_LATENTS)
        }
        self._kept, start, mattes = [], 0, held["mattes"].tobytes()
        for number, x0, y0, x1, y1, length in held["frames"].tolist():
            self._kept.append((number, (x0, y0, x1, y1), mattes[start : start + length]))
            start += length
        if "sampled" in held:
            self._sampled = np.asarray(held["sampled"], np.float32)
        else:
            self._sampling = self._new_sampling()
            self._sampling.restore(held)
