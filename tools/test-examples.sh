#!/usr/bin/env bash
# Runs the tests that lie beside the examples, in Python and in Node.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
none=1
# Nothing to look through until the first example is there.
mkdir -p examples

if [ -n "$(find examples -name 'test_*.py' -not -path '*/node_modules/*' -print -quit)" ]; then
  none=0
  .venv/bin/python -m pytest -c bindings-python/pyproject.toml --rootdir=. examples
fi

mapfile -t node_tests < <(find examples -name '*.test.*js' -not -path '*/node_modules/*' | sort)
if [ "${#node_tests[@]}" -gt 0 ]; then
  none=0
  node --test "${node_tests[@]}"
fi
if [ "$none" -eq 1 ]; then
  echo 'the examples have no tests yet'
fi
