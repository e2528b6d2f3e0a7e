"""Nodes of a Ray cluster killed at random under running jobs: frames lost, doubled or wrong.

    python bench/cluster_kills.py [--kills 30] [--seed 1] [--json FILE]

The nodes are processes of this machine. Every job's results have to have the bytes of an undisturbed run without Ray.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support.kills import arguments, save


def main() -> int:
    """Run it, print the tally, and return 1 when anything is wrong."""
    args = arguments("Kills of nodes in the middle of jobs.", 30)
    from fakes.cluster_kills import JOBS, kill_often
    from fakes.ray_cluster import RayCluster, environment
    from fakes.running import RunningServer

    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        environ = environment(work / "installed")
        flags = ("--backend", "ray", "--ray-actors", str(JOBS), "--codecs", "1", "--ray-address")
        with (
            RayCluster(environ, nodes=JOBS + 1) as cluster,
            RunningServer(work / "local", "--codecs", "1", echo=False, environ=environ) as local,
            RunningServer(work / "ray", *flags, cluster.address, echo=False, environ=environ) as server,
        ):
            tally = kill_often(work, local, server, cluster, args.kills, args.seed)
    print(f"{tally.kills} kills in {tally.rounds} rounds of jobs, {tally.attempts} attempts")
    print(f"frames lost or wrong, jobs not whole: {len(tally.wrong)}")
    for each in tally.wrong:
        print(f"  {each}")
    save(tally, args.json)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
