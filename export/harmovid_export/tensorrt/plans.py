"""All plans of a bundle: built, checked, and added with their hashes to the manifest, which is written again."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

from harmovid import bundle
from harmovid.bundle import Manifest, NetworkInfo, PlanInfo
from harmovid.errors import InputError
from harmovid.storage.atomic import write_whole

from harmovid_export.tensorrt.build import Plan, build, library_named
from harmovid_export.tensorrt.check import check, clip_for

LEFT_OUT = ("prompt",)
"""Networks for which no plan is built, because they compute nothing."""

FP8_CAPABILITY = 89
"""The first GPUs with FP8: Ada, compute capability 8.9."""


@dataclass(frozen=True)
class Built:
    """One plan, for the command's output: `checked` is "finite", or why it could not be run."""

    file: str
    seconds: float
    megabytes: float
    peak_megabytes: float
    checked: str


def build_plans(
    folder: Path, library: str, gpu: str, roles: Sequence[str] = (), workspace: int = 0, *, refit: bool = False,
    footage: Sequence[Path] = (), tell: Callable[[str], None] = lambda line: None,
) -> Tuple[Manifest, List[Built]]:  # fmt: skip
    """Build the plans of a bundle's networks and return the new manifest; plans of the same name are replaced.

    Args:
        roles: of the networks; all where empty.
        refit: whether their weights can be changed later; then `PLAN.refit.json` says which weight is which.
        footage: on which plans are checked for finite results; a drawn clip where empty.

    Raises:
        InputError: the bundle has no such role, or no library is installed. BundleError: the bundle is damaged, or a
            plan cannot be built or its outputs are not finite; the manifest is then not changed.
    """
    manifest = bundle.verify(folder)
    wanted = tuple(roles) or tuple(role for role in manifest.networks if role not in LEFT_OUT)
    unknown = [role for role in wanted if role not in manifest.networks]
    if unknown:
        raise InputError(
            f"there is no network {unknown[0]!r}.", fix=f"There are {', '.join(manifest.networks)}."
        )
    chosen, plans, networks = library_named(library), [], dict(manifest.networks)
    clip = clip_for(manifest, footage)
    for role in wanted:
        network = networks[role]
        file = f"{role}.{gpu}.{chosen}.plan"
        fp8 = manifest.precision == "float8" and role == "transformer"
        plan = build(
            folder, network, file, library=chosen, gpu=gpu, capability=FP8_CAPABILITY if fp8 else 0,
            workspace=workspace, refit=refit, timing_cache=f"timing.{gpu}.{chosen}.cache", tell=tell,
        )  # fmt: skip
        if refit:
            write_refit_map(folder, network, plan)
        plans.append(plan)
        named = PlanInfo(file, chosen, plan.version, gpu, manifest.precision)
        networks[role] = replace(network, plans=(*(one for one in network.plans if one.file != file), named))
    checked = check(folder, manifest, {role: plan.file for role, plan in zip(wanted, plans)}, clip)
    told = [
        Built(plan.file, plan.seconds, plan.megabytes, plan.peak_mb, checked[role])
        for role, plan in zip(wanted, plans)
    ]
    return bundle.write(folder, replace(manifest, networks=networks)), told


def write_refit_map(folder: Path, network: NetworkInfo, plan: Plan) -> None:
    """Write beside a plan which of its weights is which of the checkpoint's (`onnx/names.py`)."""
    from harmovid_export.onnx.names import names_in

    names = names_in(folder / network.file)
    known: Dict[str, Any] = {name: names.get(name, []) for name in plan.weights}
    text = json.dumps({"plan": plan.file, "weights": known}, indent=2, sort_keys=True) + "\n"
    write_whole(str(folder / f"{plan.file}.refit.json"), text.encode())
