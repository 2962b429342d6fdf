#!/usr/bin/env bash
# Says what is missing on this machine and how to get it; silent when all is there.
set -euo pipefail
missing=0

need() { # what, how to get it
  printf 'missing: %s\n   get it: %s\n' "$1" "$2" >&2
  missing=1
}

command -v cargo >/dev/null ||
  need 'Rust (cargo)' 'https://rustup.rs, or your system'"'"'s rustup package'
if command -v rustc >/dev/null; then
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  found=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n1)" = "$wanted" ] ||
    need "Rust $wanted or newer (found $found)" 'rustup update stable'
fi
for part in fmt clippy; do
  cargo "$part" --version >/dev/null 2>&1 || need "cargo $part" "rustup component add ${part/fmt/rustfmt}"
done
command -v cc >/dev/null ||
  need 'a C compiler (cc), for SQLite and ring' 'apt-get install build-essential, or xcode-select --install'

python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
  need 'Python 3.10 or newer' 'apt-get install python3 python3-venv, or https://www.python.org'
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  need "Python 3.10 or newer (found $("$python" -V 2>&1))" 'install a newer one and run make with PYTHON=/its/path'
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  need "the venv module of $("$python" -V 2>&1)" 'apt-get install python3-venv'
fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  need 'Node 20 or newer, with npm' 'https://nodejs.org, or your system'"'"'s packages'
elif ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then
  need "Node 20 or newer (found $(node -v))" 'https://nodejs.org'
fi
exit "$missing"
