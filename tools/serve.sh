#!/usr/bin/env bash
# Runs the qwen service on this machine, with the accounts and keys that its
# configuration names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
config=${CREDENTIAL_ROTATION_CONFIG:-credential-rotation.toml}
if [ ! -f "$config" ]; then
  echo "make serve: no $config: copy examples/qwen-service/credential-rotation.toml here, chmod 600, and name your accounts or keys in it" >&2
  exit 1
fi
if [ -z "${SERVICE_API_KEY:-}" ]; then
  echo 'make serve: set SERVICE_API_KEY: callers send it as X-API-Key' >&2
  exit 1
fi
CREDENTIAL_ROTATION_CONFIG=$(realpath "$config")
export CREDENTIAL_ROTATION_CONFIG
exec .venv/bin/uvicorn --app-dir examples/qwen-service app:app --workers 2 --port "${PORT:-8000}"
