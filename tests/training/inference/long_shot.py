"""A short and a long shot through a tiny one-step model, in a process of its own: prints for each the frames that came
out and the most memory it was seen to hold, in bytes.

Pages of files, such as the libraries', are not counted: the system takes them from a process and gives them back as
other processes need memory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterator

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harmovid_training.inference.shot import Settings, Streams, run_shot
from training.inference.tiny import tiny_codec, tiny_model

SIDE = 32


class Watch:
    """Yields frames on demand, and records the peak memory."""

    def __init__(self) -> None:
        self.peak = 0

    def look(self) -> None:
        """Read this process's own resident memory now."""
        resident, of_files = map(int, Path("/proc/self/statm").read_text().split()[1:3])
        self.peak = max(self.peak, (resident - of_files) * os.sysconf("SC_PAGE_SIZE"))

    def blocks(self, count: int, channels: int) -> Iterator[torch.Tensor]:
        """Yield `count` frames, eight at a time."""
        for start in range(0, count, 8):
            self.look()
            yield torch.rand(1, channels, min(8, count - start), SIDE, SIDE)


def run(count: int) -> tuple[int, int]:
    """Return frames and peak of one shot."""
    watch = Watch()
    pictures = {"composite": watch.blocks(count, 3), "background": watch.blocks(count, 3)}
    settings = Settings("one-step", 1, window_frames=33, overlap_frames=8)
    frames = 0
    for block in run_shot(
        tiny_model(), tiny_codec(), Streams(count, pictures, watch.blocks(count, 1)), settings
    ):
        watch.look()
        frames += block.shape[2]
    return frames, watch.peak


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(40)  # what the libraries take at their first use is not the shot's
    for count in (40, 1000):
        sys.stdout.write("{} {}\n".format(*run(count)))
