"""A tiny training in the process group it is started in: prints the losses on the main process, first of the loop
(every process has the whole model), then of the same steps with the model's weights spread over the processes."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harmovid_training.stages import objectives
from harmovid_training.stages.batches import step_indices
from harmovid_training.stages.ema import Ema
from harmovid_training.stages.state import load_state, save_state
from harmovid_training.stages.train import BETAS, train
from training.inference.tiny import tiny_model
from training.stages.test_train import QUICK, latents

CONFIG = {"name": "spread"}


class Spread:
    """A model whose weights are spread over all processes, with what the loop keeps beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, tiny_model("tiny-5b")
        self.schedule = self.model.schedule
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        for block in self.model.backbone.transformer.transformer_blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(self.model, mesh=mesh)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), QUICK.learning_rate, BETAS, weight_decay=QUICK.weight_decay
        )
        self.ema = Ema(self.model.named_parameters(), QUICK.ema)

    def step(self, step: int) -> float:
        """Take one step as the loop does and return the loss."""
        (indices,) = step_indices(step, QUICK.batch, 1, dist.get_rank(), dist.get_world_size())
        for group in self.optimizer.param_groups:
            group["lr"] = QUICK.rate(step)
        loss = objectives.diffusion(self.model, self.schedule, latents(indices), QUICK.seed)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), QUICK.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model.named_parameters(), step)
        total = loss.detach().clone()
        dist.all_reduce(total)
        return float(total) / dist.get_world_size()

    def save(self, step: int) -> None:
        """Write the state."""
        save_state(self.folder, step, self.model, self.optimizer, self.ema, CONFIG, dist.get_rank() == 0)
        dist.barrier()

    def load(self) -> int:
        """Take over the newest state."""
        return load_state(self.folder, self.model, self.optimizer, self.ema, CONFIG)


def spread_losses(folder: Path) -> list[float]:
    """Return six losses: three of one spread model, three of another that goes on from its state."""
    first = Spread(folder)
    losses = [first.step(step) for step in range(3)]
    first.save(3)
    second = Spread(folder)
    return losses + [second.step(step) for step in range(second.load(), 6)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    told = {
        "losses": train(
            QUICK, tiny_model("tiny-5b"), latents, objectives.diffusion, out / "whole", progress=False
        ),
        "spread": spread_losses(out / "spread"),
    }
    if PartialState().is_main_process:
        for name, losses in told.items():
            sys.stdout.write(f"{name} {' '.join(map(repr, losses))}\n")
        sys.stdout.write(f"processes {dist.get_world_size()}\n")
    dist.destroy_process_group()
