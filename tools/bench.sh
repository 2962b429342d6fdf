#!/usr/bin/env bash
# Measures the core and its bindings beside their peers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo 'make bench: there is nothing to run yet' >&2
exit 1
