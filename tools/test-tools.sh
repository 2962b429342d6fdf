#!/usr/bin/env bash
# Tests of the checks themselves: a check that cannot fail checks nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

expect() { # exit code, sentence, command…
  local wanted=$1 sentence=$2 status=0
  shift 2
  "$@" >"$scratch/output" 2>&1 || status=$?
  if [ "$status" -eq "$wanted" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: %s (exit code %s, not %s)\n' "$sentence" "$status" "$wanted"
  fi
}

for script in tools/*.sh .ci/run; do
  expect 0 "$script parses" bash -n "$script"
done

grepping=(tools/run-and-grep.sh "$scratch/log")
expect 0 'a clean run passes' "${grepping[@]}" echo clean
expect 3 'the exit code of the run is kept' "${grepping[@]}" bash -c 'exit 3'
expect 1 'a key in the output fails' "${grepping[@]}" echo 'Bearer sk-secret-a1'
expect 1 'a key in the errors fails' "${grepping[@]}" bash -c 'echo sk-secret-a1 >&2'
expect 1 'a token in the output fails' "${grepping[@]}" echo 'x tok-secret-b2 y'

texts=$scratch/texts
git init --quiet "$texts"
text_check=$PWD/tools/check-text.sh
check_text() { # one line of a tracked file
  printf '%s\n' "$1" >"$texts/page.md"
  git -C "$texts" add page.md
  (cd "$texts" && "$text_check")
}
# Written in two pieces, so that this file passes the check that it tests.
expect 0 'a plain text passes' check_text 'a plain text, and https://example.org/home/page'
expect 1 'the home of a user fails' check_text "see /home""/somebody/notes"
expect 1 'the home of root fails' check_text "see /root""/notes"
expect 1 'a leftover marker fails' check_text "TO""DO: finish"
expect 1 'a conflict marker fails' check_text "<<<<""<<< HEAD"
expect 0 'a line that says so passes' check_text "/home""/node is in the image (check-text: allow)"

echo "tools: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
