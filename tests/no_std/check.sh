#!/usr/bin/env bash
# Runs the library without the standard library, and shows that the check would notice it: with feature `std` the same
# program must not build, since it then has two panic handlers (E0152).
set -euo pipefail
cd "$(dirname "$0")"

# The versions that the library is tested with.
cp ../../Cargo.lock Cargo.lock
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../../target}/no_std
export CARGO_TARGET_DIR

cargo run --quiet
echo "no_std: runs without features"
cargo run --quiet --features all
echo "no_std: runs with serde and getrandom"

if log=$(cargo build --quiet --features std 2>&1); then
    echo "no_std: the control built, so this check proves nothing" >&2
    exit 1
fi
case $log in
    *E0152*panic_impl*) echo "no_std: the control fails as it must (E0152, panic_impl)" ;;
    *)
        echo "$log" >&2
        echo "no_std: the control failed for another reason" >&2
        exit 1
        ;;
esac
