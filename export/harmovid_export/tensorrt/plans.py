"""All plans of a bundle: built, checked, and added with their hashes to the manifest, which is written again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

from harmovid import bundle
from harmovid.bundle import Manifest, PlanInfo
from harmovid.errors import InputError

from harmovid_export.tensorrt.build import build, library_named
from harmovid_export.tensorrt.check import check

LEFT_OUT = ("prompt",)
"""Networks for which no plan is built, because they compute nothing."""


@dataclass(frozen=True)
class Built:
    """One plan, for the command's output: `checked` is "finite", or why it could not be run."""

    file: str
    seconds: float
    megabytes: float
    checked: str


def build_plans(
    folder: Path, library: str, gpu: str, roles: Sequence[str] = (), workspace: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> Tuple[Manifest, List[Built]]:  # fmt: skip
    """Build the plans of a bundle's networks and return the new manifest; plans of the same name are replaced.

    Args:
        roles: of the networks; all where empty.

    Raises:
        InputError: the bundle has no such role, or no library is installed. BundleError: the bundle is damaged, or a
        plan cannot be built or its outputs are not finite; the manifest is then
            not changed.
    """
    manifest = bundle.verify(folder)
    wanted = tuple(roles) or tuple(role for role in manifest.networks if role not in LEFT_OUT)
    unknown = [role for role in wanted if role not in manifest.networks]
    if unknown:
        raise InputError(
            f"there is no network {unknown[0]!r}.", fix=f"There are {', '.join(manifest.networks)}."
        )
    chosen, told, networks = library_named(library), [], dict(manifest.networks)
    for role in wanted:
        network = networks[role]
        file = f"{role}.{gpu}.{chosen}.plan"
        plan = build(folder, network, file, library=chosen, gpu=gpu, workspace=workspace, tell=tell)
        checked = check(folder, file, network)
        told.append(Built(file, plan.seconds, plan.megabytes, checked))
        named = PlanInfo(file, chosen, plan.version, gpu, manifest.precision)
        others = tuple(one for one in network.plans if one.file != file)
        networks[role] = replace(network, plans=(*others, named))
    return bundle.write(folder, replace(manifest, networks=networks)), told
