"""The training loop that all stages share: a plain loop over steps with Accelerate around it.

    train(config, model, batches, objective, folder, validate)

With one process or many (`accelerate launch`, FSDP for 5b through its configuration file), each takes its own samples
of every step by index. A run that is started again resumes from its newest state with the same losses, step by step.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Sequence

import torch
from accelerate import Accelerator
from harmovid.errors import InputError
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from harmovid_training.device import process_state
from harmovid_training.models.lora import add_lora
from harmovid_training.models.model import ConditionedModel
from harmovid_training.stages.batches import LatentBatch, step_indices
from harmovid_training.stages.config import TrainConfig
from harmovid_training.stages.ema import Ema
from harmovid_training.stages.new_channels import NewChannels
from harmovid_training.stages.objectives import Objective
from harmovid_training.stages.state import load_state, save_state

BETAS = (0.9, 0.95)
"""Of AdamW, as in diffusers' CogVideoX training scripts."""

Batches = Callable[[Sequence[int]], LatentBatch]
Validate = Callable[[ConditionedModel, int, "SummaryWriter | None"], None]


def train(
    config: TrainConfig,
    model: ConditionedModel,
    batches: Batches,
    objective: Objective,
    folder: Path,
    validate: Validate | None = None,
    progress: bool = True,
) -> list[float]:
    """Train to `config.iterations` steps and return the losses of the steps taken now, means over processes.

    Args:
        model: on the CPU; it is moved, and holds the averaged weights afterwards where `config.ema` is set.
        batches: returns the batch for sample indices.
        folder: of the run: `state/`, TensorBoard's `events/`.
        validate: called with model, step and, on the main process, a writer, with averaged weights in the model. Every
            process calls it, since a model that FSDP has sharded needs them all.

    Raises:
        InputError: the batch cannot be divided among processes and accumulations, or the state is of another
            configuration.
    """
    process_state()
    accelerator = Accelerator(
        mixed_precision=config.precision, gradient_accumulation_steps=1, cpu=not torch.cuda.is_available()
    )
    check_fsdp(accelerator)
    if config.batch % (config.accumulate * accelerator.num_processes):
        raise InputError(
            f"a batch of {config.batch} cannot be shared by {accelerator.num_processes} processes "
            f"and {config.accumulate} accumulations.",
            fix="Make it a multiple of both together.",
        )
    run = _Run(config, accelerator, model, folder)
    losses: list[float] = []
    writer = SummaryWriter(str(folder / "events"), purge_step=run.step + 1) if run.main else None
    bar = tqdm(range(run.step, config.iterations), desc=config.name, disable=not progress or not run.main)
    for step in bar:
        losses.append(run.take(step, batches, objective))
        if writer is not None:
            writer.add_scalar("loss", losses[-1], step + 1)
            writer.add_scalar("learning_rate", run.optimizer.param_groups[0]["lr"], step + 1)
        last = step + 1 == config.iterations
        if last or (step + 1) % config.save_every == 0:
            run.save(step + 1)
        if validate is not None and (last or (step + 1) % config.validate_every == 0):
            with run.averaged():
                validate(accelerator.unwrap_model(run.model), step + 1, writer)
    if writer is not None:
        writer.close()
    run.finish()
    return losses


def check_fsdp(accelerator: Accelerator) -> None:
    """Refuse version 1 of FSDP, and set the number formats of version 2.

    Version 1 flattens weights, so that they cannot be saved and averaged by name. In version 2 weights are gathered in
    the run's precision and gradients added in float32. Inputs are not cast: bfloat16 has no number between 996 and
    1000, and times and positions need more. Autocast casts the products, as in one process.

    Raises:
        InputError: it is version 1.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        return
    if plugin.fsdp_version == 1:
        raise InputError(
            "this configuration spreads weights with FSDP version 1.",
            fix="Set fsdp_version: 2, or start with: harmovid train --gpus 8 stage3 ...",
        )
    if plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=plugin.mixed_precision_policy.param_dtype,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        )


class _Run:
    """The state of a run: prepared model, optimizer, averaged weights, and the current step."""

    def __init__(
        self, config: TrainConfig, accelerator: Accelerator, model: ConditionedModel, folder: Path
    ) -> None:
        self.config = config
        self.accelerator = accelerator
        self.main = bool(accelerator.is_main_process)
        if config.lora_rank and not any("lora_" in name for name, _ in model.named_parameters()):
            add_lora(model, config.lora_rank)
        if config.checkpointing:
            model.backbone.gradient_checkpointing()
        model.train()
        self._schedule = model.schedule
        optimizer = torch.optim.AdamW(
            _trained(model), config.learning_rate, BETAS, weight_decay=config.weight_decay
        )
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self._plain: ConditionedModel = accelerator.unwrap_model(self.model)
        # With FSDP, Accelerate finds the new weights by the addresses of the old ones. Where a process has no weights
        # but waits for those of the first, all addresses are 0, and the optimizer would get the last weight only.
        self.optimizer.param_groups[0]["params"] = _trained(self._plain)
        backbone = self._plain.backbone
        self._boost = (
            NewChannels(backbone, config.new_rate / config.learning_rate) if config.new_rate else None
        )
        self.ema = Ema(self._plain.named_parameters(), config.ema) if config.ema else None
        self._states = folder / "state"
        self._inner: torch.optim.Optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        self.step = load_state(self._states, self.model, self._inner, self.ema, asdict(config))

    def take(self, step: int, batches: Batches, objective: Objective) -> float:
        """Take one optimizer step and return its loss."""
        config, accelerator = self.config, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate(step)
        parts = step_indices(
            step, config.batch, config.accumulate, accelerator.process_index, accelerator.num_processes
        )
        total = torch.zeros((), device=accelerator.device)
        for number, indices in enumerate(parts):
            batch = _moved(batches(indices), accelerator.device)
            quiet = number + 1 < len(parts)
            with accelerator.no_sync(self.model) if quiet else nullcontext(), accelerator.autocast():
                loss = objective(self.model, self._schedule, batch, config.seed) / len(parts)
            accelerator.backward(loss)
            total += loss.detach()
        accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        if self._boost:
            self._boost.before()
        self.optimizer.step()
        if self._boost:
            self._boost.after()
        self.optimizer.zero_grad()
        if self.ema:
            self.ema.update(self._plain.named_parameters(), step)
        return float(accelerator.reduce(total, "mean"))

    def save(self, step: int) -> None:
        """Write the state after `step` steps."""
        save_state(self._states, step, self.model, self._inner, self.ema, asdict(self.config), self.main)
        self.accelerator.wait_for_everyone()

    def averaged(self) -> Any:
        """Return a context in which the model holds the averaged weights and is in evaluation mode."""
        return _Averaged(self._plain, self.ema)

    def finish(self) -> None:
        """Leave the averaged weights in the model, in evaluation mode."""
        self.averaged().__enter__()
        self.accelerator.wait_for_everyone()


class _Averaged:
    def __init__(self, model: torch.nn.Module, ema: Ema | None) -> None:
        self._model, self._ema = model, ema
        self._kept: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def __enter__(self) -> None:
        self._model.eval()
        for name, weight in self._model.named_parameters():
            if self._ema is not None and name in self._ema.average:
                self._kept[name] = weight.detach().clone()
                weight.copy_(self._ema.average[name])

    @torch.no_grad()
    def __exit__(self, *error: object) -> None:
        for module in self._model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # after a forward pass without gradients the outermost weights are whole
        for name, weight in self._model.named_parameters():
            if name in self._kept:
                weight.copy_(self._kept[name])
        self._model.train()


def _trained(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _moved(batch: LatentBatch, device: torch.device) -> LatentBatch:
    return LatentBatch(
        batch.clean.to(device),
        batch.conditions.to(device),
        batch.composite.to(device),
        batch.indices,
        batch.padding,
    )
