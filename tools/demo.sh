#!/usr/bin/env bash
# Answers a prompt although one key is out of quota and another is throttled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo run --locked --quiet --package credential-rotation --example rotation
