#!/usr/bin/env bash
# Fails when a tracked file holds a path of one machine, the host of a package
# registry, or a marker that somebody left behind. A line that means it says
# "check-text: allow".
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

start='(^|[^[:alnum:]_.*}-])'
paths="$start/(root|work|Users)/|$start/home/[a-z]"
hosts='registry\.npmjs\.org|files\.pythonhosted\.org|index\.crates\.io'
markers='^(<<<<<<<|>>>>>>>) |\b(TODO|FIXME)\b|\bdbg!\('

found=$(git grep -nIE -e "$paths" -e "$hosts" -e "$markers" -- . \
  ':!tools/check-text.sh' ':!Cargo.lock' | grep -v 'check-text: allow' || true)
if [ -n "$found" ]; then
  printf 'these lines hold a path of a machine, a registry host or a leftover marker:\n%s\n' "$found" >&2
  exit 1
fi
