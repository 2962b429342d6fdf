#!/usr/bin/env bash
# Runs the example service.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo 'make serve: there is nothing to run yet' >&2
exit 1
