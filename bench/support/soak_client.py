"""One job of `bench/soak.py`, in a process of its own that may be killed and started again.

    python soak_client.py ENDPOINT KEYFILE PLATE OUT FRAMES ENGINE SLOW_S LOG

It takes SLOW_S seconds for each result, as a reader that is slow does. Each result that is on the disk and noted in the
journal is a line with its frame in LOG. At the end one JSON line: the failed frames with their codes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, List, Mapping

from harmovid import Client, JobFiles
from harmovid.keys import load_secret


def main(words: List[str]) -> None:
    """Run the job to its end, or until killed."""
    endpoint, key, plate, out, frames, engine, slow_s, log_file = words
    log = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def arrived(frame: int, _report: Mapping[str, Any]) -> None:
        os.write(log, f"{frame}\n".encode())
        time.sleep(float(slow_s))

    # A machine that is too busy to answer in five seconds is none of the faults that are looked for.
    with Client(endpoint, load_secret(key), timeout_s=60.0, patience_s=300.0) as client:
        job = JobFiles.prepare(client.engine(engine), {"plate": plate}, out, frames=frames)
        result = client.start(job, on_result=arrived).result()
    failed = {frame: error.code for frame, error in result.failed.items()}
    sys.stdout.write(json.dumps(failed) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
