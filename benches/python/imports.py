"""What importing the package costs: time over a bare interpreter's, and resident memory."""

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 11
MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def run(code: str) -> tuple[float, float]:
    """Milliseconds and megabytes of an interpreter that runs this."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + MEMORY], capture_output=True, text=True, check=True
    )
    return (time.perf_counter() - started) * 1000, int(done.stdout) / 1024


bare = [run("")[0] for _ in range(ROUNDS)]
full = [run("import credential_rotation\n") for _ in range(ROUNDS)]
cost = statistics.median(ms for ms, _ in full) - statistics.median(bare)
memory = statistics.median(mb for _, mb in full)
print(json.dumps({"name": "python import", "value": cost, "unit": "ms"}))
print(json.dumps({"name": "python import memory", "value": memory, "unit": "MB"}))
