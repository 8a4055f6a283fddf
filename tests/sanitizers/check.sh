#!/usr/bin/env bash
# Runs tests of the library under a tool that sees what memory is used for. Each tool is first given a program that does
# what it must report.
#
#   tests/sanitizers/check.sh address     address and leak sanitizer, all tests; needs nightly
#   tests/sanitizers/check.sh thread      thread sanitizer, the tests with threads; fetches Rust 1.96 and clang
#   tests/sanitizers/check.sh memcheck    valgrind over the driver
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
host=x86_64-unknown-linux-gnu
controls=tests/sanitizers/Cargo.toml
memcheck="valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite"
memcheck+=" --show-leak-kinds=definite"

# The leak sanitizer is part of the address sanitizer on Linux.
address() {
    export RUSTFLAGS=-Zsanitizer=address CARGO_BUILD_TARGET=$host CARGO_TARGET_DIR=$target/asan
    cargo=(cargo +nightly)
    reports 'LeakSanitizer: detected memory leaks' leak
    reports 'AddressSanitizer: heap-use-after-free' use_after_free
    tests --lib --tests
    echo "sanitizers: no report of the address and leak sanitizers over all tests; the controls are reported"
}

# The standard library has to be built with the sanitizer, too: else what it does to synchronize is not seen.
thread() {
    local toolchain
    toolchain=$(.ci/toolchain.sh 1.96)
    [ "$toolchain" != none ]
    if ! command -v clang-22 >/dev/null; then
        .ci/may_install.sh "with apt-get: clang-22 libclang-rt-22-dev" || exit 3
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clang-22 libclang-rt-22-dev >/dev/null
    fi
    export RUSTC_BOOTSTRAP=1 CARGO_BUILD_TARGET=$host CARGO_TARGET_DIR=$target/tsan
    export RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Clinker=clang-22 -Clink-arg=-fsanitize=thread"
    cargo=(cargo "+$toolchain") build=(-Zbuild-std)
    reports 'ThreadSanitizer: data race' race
    tests --test it -- cache:: lifecycle:: linearizability:: store_conformance:: tower::
    echo "sanitizers: no report of the thread sanitizer over the tests with threads; the control is reported"
}

# The driver's test asks it all of its lines; cargo, which the test calls, is not looked at.
memcheck() {
    local runner=CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER
    export "$runner=$memcheck"
    reports 'are definitely lost' leak
    reports 'Invalid read of size 1' use_after_free
    export "$runner=$memcheck --trace-children=yes --trace-children-skip=*cargo*,*rustc*,*rustup*"
    tests --test it driver::
    echo "sanitizers: no report of memcheck over the driver; the controls are reported"
}

# Runs a control, which must fail with the report.
reports() {
    local log
    if log=$("${cargo[@]}" run --quiet "${build[@]}" --manifest-path "$controls" -- "$2" 2>&1) ||
        ! grep -qF -- "$1" <<<"$log"; then
        echo "$log" >&2
        echo "sanitizers: no report of $2" >&2
        return 1
    fi
}

tests() {
    "${cargo[@]}" test --quiet "${build[@]}" --no-fail-fast -p keygate --all-features "$@"
}

cargo=(cargo) build=()
"$1"
