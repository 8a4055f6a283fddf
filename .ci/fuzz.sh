#!/usr/bin/env bash
# Fuzzes each target for a number of seconds, two at a time, and prints executions and coverage. Starts from the corpora;
# what is added stays out of the tree. What is found is in fuzz/artifacts.
#
#   .ci/fuzz.sh 30
#   .ci/fuzz.sh 900 parse decide
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p "$target/fuzz"
target=$(cd "$target/fuzz" && pwd)
export CARGO_TARGET_DIR=$target

seconds=$1
shift
targets=("$@")
if [ ${#targets[@]} = 0 ]; then mapfile -t targets < <(basename -s .rs fuzz/fuzz_targets/*.rs); fi

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: no nightly toolchain: the corpora are replayed, and nothing new is tried"
    exit
fi
tools=$(.ci/tool.sh cargo-fuzz 0.13.2) || { echo "fuzz: left out"; exit; }
export PATH=$PATH:$tools
cargo +nightly fuzz build

fuzz() {
    local name=$1 log=$target/$1.log
    mkdir -p "$target/corpus/$name"
    if ! cargo +nightly fuzz run "$name" "$target/corpus/$name" "fuzz/corpus/$name" -- \
        -max_total_time="$seconds" -max_len=1024 -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "fuzz: $name fails"
        return 1
    fi
    echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions in $seconds s," \
        "$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)"
}

while [ ${#targets[@]} -gt 0 ]; do
    running=()
    for name in "${targets[@]:0:2}"; do
        fuzz "$name" &
        running+=($!)
    done
    targets=("${targets[@]:2}")
    for process in "${running[@]}"; do wait "$process"; done
done
