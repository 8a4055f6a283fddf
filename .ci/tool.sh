#!/usr/bin/env bash
# Installs a tool of cargo's into CI_CACHE, where it is not there in this version yet, and prints the directory it is in.
# Outside of CI it asks first, and ends with 3 where it may not.
#
#   PATH=$PATH:$(.ci/tool.sh cargo-deny 0.20.2)
#
# Built without optimizations, all in one directory: building costs minutes, running seconds.
set -euo pipefail
cache=${CI_CACHE:-$HOME/.cache/keygate-ci}/tools
mkdir -p "$cache"
if ! grep -qsF "\"$1 $2 " "$cache/.crates.toml"; then
    "$(dirname "$0")/may_install.sh" "$1 $2, into $cache" || exit 3
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_TARGET_DIR=$cache/build cargo install --quiet --locked --root "$cache" --version "$2" "$1" >&2
fi
echo "$cache/bin"
