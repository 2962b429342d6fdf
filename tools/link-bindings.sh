#!/usr/bin/env bash
# Puts the libraries that cargo built where Python and Node load them from.
# Usage: tools/link-bindings.sh [debug|release]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
profile=${1:-debug}
built=${CARGO_TARGET_DIR:-target}/$profile
case $(uname -s) in
  Darwin) library=$built/lib_native.dylib ;;
  *) library=$built/lib_native.so ;;
esac

# A rename, so that a running process keeps the library it has mapped.
module=bindings-python/python/credential_rotation/_native.abi3.so
if ! cmp -s "$library" "$module"; then
  cp "$library" "$module.new"
  mv -f "$module.new" "$module"
fi

(cd bindings-node && npm run --silent build:native -- "$profile" && npm run --silent build:types)
