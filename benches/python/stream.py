"""Memory while 100 MB of streamed text pass. Usage: stream.py URL."""

import json
import sys
from pathlib import Path

from credential_rotation import Credential, Wrapper


def resident() -> float:
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


wrapper = Wrapper(
    base_url=f"{sys.argv[1]}/v1",
    model="sim-1",
    credentials=[Credential("stream", "sk-secret-stream")],
)
total, first, most = 0, 0.0, 0.0
for number, chunk in enumerate(wrapper.stream("a long story")):
    total += len(chunk.get("text", ""))
    if total > 2 << 20 and not first:
        first = resident()
    if number % 256 == 0:
        most = max(most, resident())
assert total == 100 << 20, total
row = {"name": "python stream 100 MB", "value": max(0.0, most - first), "unit": "MB grown"}
print(json.dumps(row))
