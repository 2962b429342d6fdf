#!/usr/bin/env bash
# Measures the core and its bindings beside their peers; words go to benches/report.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec python3 benches/report.py "$@"
