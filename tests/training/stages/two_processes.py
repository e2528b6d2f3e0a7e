"""Tiny trainings in a group of two processes; prints the losses on the main process.

The second process is forked once all is imported, which takes longer than the trainings.

First every process has the whole model. Then the weights are spread over the processes with the shipped FSDP
configuration, through the same loop: read by the first process, sent to the others, saved in the middle and resumed.
Accelerate turns FSDP on only where it finds GPUs; that one check is passed here by naming the group one of GPUs.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from torch.distributed.fsdp import FSDPModule

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harmovid_training.command import FSDP2
from harmovid_training.models.checkpoint import load_checkpoint
from harmovid_training.models.model import ConditionedModel
from harmovid_training.stages import objectives, stage2
from harmovid_training.stages.config import TrainConfig
from harmovid_training.stages.run import sent_weights
from harmovid_training.stages.train import train
from training.inference.tiny import tiny_model
from training.stages.test_train import NEW_RATE, latents


def use_fsdp() -> None:
    """Set what `accelerate launch` sets for the shipped configuration, and let the next Accelerator take it."""
    words = ["--config_file", str(FSDP2), "--num_processes", "2", "script"]
    given, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    told = {name: value for name, value in prepare_multi_gpu_env(given).items() if "FSDP" in name}
    os.environ.update({name: value for name, value in told.items() if os.environ.get(name) != value})
    start_again()


def start_again() -> None:
    """Let the next Accelerator choose its precision, with FSDP."""
    AcceleratorState._reset_state()
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def spread(config: TrainConfig, checkpoint: Path, folder: Path) -> list[float]:
    """Return the losses of a model whose weights the first process reads and sends to the other."""
    start_again()
    assert sent_weights()
    model = load_checkpoint(checkpoint, empty=dist.get_rank() > 0)
    seen: list[torch.dtype] = []

    def validate(plain: ConditionedModel, step: int, writer: object) -> None:
        blocks = plain.backbone.transformer.transformer_blocks if config.size == "tiny-5b" else [plain]
        assert all(isinstance(block, FSDPModule) for block in blocks), "not spread block by block"
        batch = latents([step])
        with torch.no_grad():
            plain(batch.clean, batch.conditions, torch.tensor([500]))

    def times(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen.append(given[1].dtype)

    model.backbone.register_forward_pre_hook(times)
    losses = train(config, model, latents, objectives.diffusion, folder, validate, progress=False)
    assert torch.bfloat16 not in seen, "times have lost digits"
    return losses


def main(out: Path, words: list[str]) -> None:
    """Train, and run stage 2 with its own words."""
    told = {
        "losses": train(
            NEW_RATE, tiny_model("tiny-5b"), latents, objectives.diffusion, out / "whole", progress=False
        )
    }
    use_fsdp()
    half = replace(NEW_RATE, iterations=3)
    told["spread"] = spread(half, out / "tiny-5b", out / "spread")
    told["spread"] += spread(NEW_RATE, out / "tiny-5b", out / "spread")
    brief = replace(NEW_RATE, size="tiny-wan", precision="bf16", checkpointing=True, iterations=2)
    told["brief"] = spread(brief, out / "tiny-wan", out / "brief")
    start_again()
    told["stage2"] = [stage2.main(words)]
    if PartialState().is_main_process:
        for name, losses in told.items():
            sys.stdout.write(f"{name} {' '.join(map(repr, losses))}\n")
        sys.stdout.write(f"processes {dist.get_world_size()}\n")


def become_two() -> int:
    """Fork, and tell each process its place as `torch.distributed.run` does; return the child's id, 0 in the child."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = os.fork()
    rank = "0" if child else "1"
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ.update(group, RANK=rank, LOCAL_RANK=rank)
    return child


if __name__ == "__main__":
    torch.set_num_threads(1)
    second = become_two()
    main(Path(sys.argv[1]), sys.argv[2:])
    dist.destroy_process_group()
    if second:
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]))
