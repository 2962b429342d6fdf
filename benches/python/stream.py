"""Memory while 100 MB of streamed text pass. Usage: stream.py URL."""

import json
import sys
import time
from pathlib import Path

from credential_rotation import Credential, Wrapper

WHOLE = 100 << 20
# Buffers and allocators have taken what they need by then.
SETTLED = 10 << 20
LOOK_EVERY = 256


def resident() -> float:
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


wrapper = Wrapper(
    base_url=f"{sys.argv[1]}/v1",
    model="sim-1",
    credentials=[Credential("stream", "sk-secret-stream")],
)
started = time.perf_counter()
total, settled, most = 0, 0.0, 0.0
for number, chunk in enumerate(wrapper.stream("a long story")):
    total += len(chunk.get("text", ""))
    if number % LOOK_EVERY == 0:
        most = max(most, resident())
        if total < SETTLED:
            settled = most
seconds = time.perf_counter() - started
assert total == WHOLE, total
row = {"name": "python stream", "value": most - settled, "unit": "MB grown"}
print(json.dumps(row | {"chunks": number + 1, "MB/s": total / 2**20 / seconds}))
