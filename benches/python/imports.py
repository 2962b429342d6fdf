"""What importing the package costs: time over a bare interpreter's, and peak memory."""

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 15
# The peak of this program alone: getrusage would count the parent's as well.
MEMORY = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM:"):
        print(line.split()[1])
"""


def run(code: str) -> tuple[float, float]:
    """Milliseconds and megabytes of an interpreter that runs this."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + MEMORY], stdout=subprocess.PIPE, text=True, check=True
    )
    return (time.perf_counter() - started) * 1000, int(done.stdout) / 1024


run("import credential_rotation")  # Compiles the modules, and warms the page cache.
costs, memory = [], []
for _ in range(ROUNDS):
    bare, _ = run("")
    full, peak = run("import credential_rotation")
    costs.append(full - bare)
    memory.append(peak)
print(json.dumps({"name": "python import", "value": statistics.median(costs), "unit": "ms"}))
print(json.dumps({"name": "python memory", "value": statistics.median(memory), "unit": "MB"}))
