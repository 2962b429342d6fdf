#!/usr/bin/env bash
# Runs a command, keeps all it prints, and fails when a secret is among it.
#
# Every key in a test begins with sk-secret- and every token with tok-secret-,
# so that one that leaks into a log, an error or a Debug text is found here.
#
# Usage: tools/run-and-grep.sh LOG COMMAND…
set -euo pipefail
log=$1
shift
mkdir -p "$(dirname "$log")"

status=0
"$@" 2>&1 | tee "$log" || status=$?

if leaks=$(grep -nEai '(sk|tok)-secret-[a-z0-9-]+' "$log"); then
  {
    echo "secrets in the output of the run, at these lines of $log:"
    # The log of a build server must not repeat what leaked.
    sed -E 's/((sk|tok)-secret-)[a-z0-9-]+/\1…/gI' <<<"$leaks" | cut -c1-200
  } >&2
  exit 1
fi
if [ "$status" -eq 0 ]; then
  echo "no secret in the output of the run ($(wc -l <"$log" | tr -d ' ') lines)"
fi
exit "$status"
