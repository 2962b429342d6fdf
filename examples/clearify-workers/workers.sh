#!/usr/bin/env bash
# The three workers of a device, until they are told to stop.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# The same script runs on each device: its name tells whose workers they are.
device=$(uname -n)

work() {
  local id=$device-$1 queues=$2
  credential-rotation worker --id "$id" --queues "$queues" --command 'python3 process.py' "${@:3}" &
}

work worker-1 text_processing:2 "$@"
work worker-2 payments,webhooks:1 "$@"
work worker-3 emails:1 "$@"

# Ctrl-C reaches them by itself; a service manager's signal is passed on.
trap 'kill -TERM $(jobs -p) 2>/dev/null || true' TERM
trap ':' INT
while [ -n "$(jobs -rp)" ]; do wait || true; done
