#!/usr/bin/env bash
# Answers a prompt although one key is out of quota and another is throttled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo 'make demo: there is nothing to run yet' >&2
exit 1
