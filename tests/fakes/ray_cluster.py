"""A real Ray cluster of several nodes on this machine, in processes of its own; tests can kill its nodes.

    with RayCluster(environ, nodes=2) as cluster:
        RunningServer(folder, "--backend", "ray", "--ray-address", cluster.address, environ=environ)
        cluster.kill(cluster.nodes[0]); cluster.add()

The head has no room for actors; every node says that it has a GPU, which is not there. `environment` makes the engines
of `engines_for_tests` installed for all of them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, List

TESTS = Path(__file__).resolve().parents[1]
INSTALLED = importlib.util.find_spec("ray") is not None
MISSING = "Ray is not installed (pip install 'harmovid[cluster]')"
END_S = 300.0

QUICK = {"health_check_period_ms": 500, "health_check_timeout_ms": 3000, "health_check_failure_threshold": 3}
"""Settings with which Ray notices a killed node sooner than with its defaults for networks."""

STORE_BYTES = 80 << 20


def environment(folder: Path) -> Dict[str, str]:
    """Return variables for cluster and server: the engine `memory` is installed, and nothing is read of the user's."""
    about = folder / "engines_for_tests-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: engines-for-tests\nVersion: 1\n", "utf-8")
    entry = "[harmovid.engines]\nmemory = fakes.engines_for_tests:MemoryEngine\n"
    (about / "entry_points.txt").write_text(entry, "utf-8")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HARMOVID_", "RAY_"))}
    return {
        **own, "PYTHONPATH": os.pathsep.join([str(folder), str(TESTS)]), "XDG_CONFIG_HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"), "RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_worker_prestart": "0",
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


class RayCluster:
    """The cluster's processes. `nodes` are the ids of the running nodes without the head."""

    def __init__(self, environ: Dict[str, str], nodes: int = 2, actors: int = 1) -> None:
        """Store what to start: the number of nodes beside the head, and of one-core actors that fit on each."""
        self.address = ""
        self.nodes: List[str] = []
        self._environ = environ
        self._count = nodes
        self._actors = actors

    def __enter__(self) -> RayCluster:
        self._folder = tempfile.mkdtemp(prefix="hvray")  # a short path, as it holds sockets
        self._log = open(Path(self._folder) / "cluster.log", "wb")
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._folder, str(self._actors)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, env=self._environ,
        )  # fmt: skip
        self.address = self._hear()["address"]
        for _ in range(self._count):
            self.add()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process that all others descend from."""
        return self._process.pid

    def add(self) -> None:
        """Add a node."""
        self.nodes.append(self._ask("add")["node"])

    def kill(self, node: str) -> None:
        """kill -9 a node's raylet; what it ran dies with it."""
        self.nodes.remove(node)
        self._ask("kill", node=node)

    def logs(self) -> str:
        """Return what all actors have written to stderr."""
        files = Path(self._folder).glob("session_2*/logs/worker-*.err")
        return "".join(path.read_text("utf-8", errors="replace") for path in files)

    def _ask(self, op: str, **fields: Any) -> Dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, **fields}).encode() + b"\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Dict[str, Any]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith(b"{"):
                found: Dict[str, Any] = json.loads(line)
                return found
        raise AssertionError((Path(self._folder) / "cluster.log").read_text(errors="replace")[-3000:])


def say(fields: Dict[str, Any]) -> None:
    """Write one JSON line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def main(folder: str, actors: int) -> None:
    """Run as the cluster's own process: start the head, execute JSON lines from stdin, end at its end."""
    warnings.simplefilter("ignore")
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False, "temp_dir": folder,
        "_system_config": QUICK,
    }  # fmt: skip
    # Ray notes the address there, and fails where no Ray has ever run on the machine.
    Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir()), "ray").mkdir(exist_ok=True)
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes: Dict[str, Any] = {}
    say({"address": cluster.address})
    for line in sys.stdin:
        said = json.loads(line)
        if said["op"] == "add":
            node = cluster.add_node(num_cpus=actors, num_gpus=1, object_store_memory=STORE_BYTES)
            nodes[node.node_id] = node
            say({"node": node.node_id})
        else:
            cluster.remove_node(nodes.pop(said["node"]), allow_graceful=False)
            say({"killed": said["node"]})
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
