"""A tiny training in the process group it is started in: prints the losses on the main process, first of the loop
(every process has the whole model), then of the same steps with the model's weights spread over the processes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from accelerate import FullyShardedDataParallelPlugin, PartialState
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harmovid_training.models.checkpoint import Card, load_checkpoint, save_checkpoint
from harmovid_training.stages import objectives
from harmovid_training.stages.batches import step_indices
from harmovid_training.stages.ema import Ema
from harmovid_training.stages.state import load_state, save_state
from harmovid_training.stages.train import BETAS, train
from training.inference.tiny import tiny_model
from training.stages.test_train import QUICK, latents

CONFIG = {"name": "spread"}


class Spread:
    """A model whose weights are spread over all processes by Accelerate's own preparation for FSDP 2, read by the first
    process and sent to the other, with what the loop keeps beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        save_checkpoint(folder.with_name(f"{folder.name}-{dist.get_rank()}"), tiny_model("tiny-5b"), Card({}))
        kept = folder.with_name(f"{folder.name}-{dist.get_rank()}")
        model = load_checkpoint(kept, empty=dist.get_rank() > 0)
        self.schedule = model.schedule
        self.model = fsdp2_prepare_model(accelerator(), model)
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


def accelerator() -> SimpleNamespace:
    """Return what `fsdp2_prepare_model` asks an Accelerator for: Accelerate itself makes one on accelerators only."""
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", cpu_ram_efficient_loading=True,
        reshard_after_forward=True,
    )  # fmt: skip
    mesh = {("shard",): init_device_mesh("cpu", (dist.get_world_size(),))}
    return SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin), mixed_precision="no", device=torch.device("cpu"),
        is_main_process=dist.get_rank() == 0, torch_device_mesh=mesh,
        parallelism_config=SimpleNamespace(fsdp_dim_names=["shard"]),
    )  # fmt: skip


def spread_losses(folder: Path) -> list[float]:
    """Return six losses: three of one spread model, three of another that goes on from its state."""
    first = Spread(folder)
    blocks = first.model.backbone.transformer.transformer_blocks
    assert all(isinstance(block, FSDPModule) for block in blocks), "not spread block by block"
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
