#!/usr/bin/env bash
# How much of the library its tests come to; documentation tests and examples are not counted.
#
#   .ci/coverage.sh             lines, on stable; fails below the floor
#   .ci/coverage.sh branches    lines and branches, on nightly, with the lines that are not come to
set -euo pipefail
cd "$(dirname "$0")/.."
# A little below what there is: a change that leaves a file untested goes below it, a change of two lines does not.
floor=96
llvm=/usr/lib/llvm-22/bin
target=${CARGO_TARGET_DIR:-$PWD/target}

# The tools have to be of the compiler's LLVM.
if [ ! -x "$llvm/llvm-cov" ]; then
    .ci/may_install.sh "with apt-get: llvm-22" || { echo "coverage: left out"; exit; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends llvm-22 >/dev/null
fi
tools=$(.ci/tool.sh cargo-llvm-cov 0.9.1) || { echo "coverage: left out"; exit; }
export PATH=$PATH:$tools LLVM_COV=$llvm/llvm-cov LLVM_PROFDATA=$llvm/llvm-profdata CARGO_TARGET_DIR=$target/coverage
what=(-p keygate --all-features --lib --tests --ignore-filename-regex '(examples|tests)/')
case ${1:-} in
    branches) report=$(cargo +nightly llvm-cov --branch "${what[@]}" --show-missing-lines) ;;
    # Coverage does not grow with the number of cases.
    *) report=$(PROPTEST_CASES=${PROPTEST_CASES:-16} cargo llvm-cov --quiet "${what[@]}" --fail-under-lines "$floor") ;;
esac
echo "$report"
# Columns: regions, functions, lines, branches, each with the number missed and a percentage.
awk '/^TOTAL/ { print "coverage: lines " $10 (NF > 10 && $11 > 0 ? ", branches " $13 : "") }' <<<"$report"
