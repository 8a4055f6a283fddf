#!/usr/bin/env bash
# Looks at the compiled library: what branches on secret bytes, what is left of a secret in memory, what can panic. Each
# check has a control, which must fail.
#
#   tests/native/check.sh            all of them
#   tests/native/check.sh timing     the statistical test of time as well, which wants a quiet machine
set -euo pipefail
cd "$(dirname "$0")"
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../../target}/native
export CARGO_TARGET_DIR
release=$CARGO_TARGET_DIR/release

main() {
    cargo build --quiet --release
    constant_time
    wiped
    no_panic
    if [ "${1:-}" = timing ]; then timing; fi
}

# Where memcheck reports a branch or an address that depends on secret bytes: one source file a report.
reports() {
    valgrind --quiet "$release/secret_bytes" "$1" 2>&1 >/dev/null | sed -nE \
        '/Conditional jump|Use of uninit|points to uninit/ { n; s/^==[0-9]+== +at 0x[0-9A-F]+: ([^ ]*).*\(([^)]*)\)$/\2 \1/p }'
}

constant_time() {
    if ! command -v valgrind >/dev/null; then
        echo "native: no valgrind: what depends on secret bytes is not checked"
        [ "${CI:-}" != true ]
        return
    fi
    if ! reports planted | grep -q ' bcmp$'; then
        echo "native: valgrind does not report the control" >&2
        return 1
    fi
    local found
    found=$(reports compare)
    if [ -n "$found" ]; then
        echo "$found" >&2
        echo "native: the comparison depends on secret bytes" >&2
        return 1
    fi
    # What may be known: is it well-formed, is its checksum right, does it open the key? One report for each, and one
    # more where the program asks for the verdict.
    only_what_may_be_known verify token 4
    # Of a key made elsewhere: is it visible, has it the shape of its format, does it open the key, with which secret?
    only_what_may_be_known legacy legacy 5
}

# Runs `secret_bytes` in a mode, and allows a number of reports: in one source file beside those of every mode.
only_what_may_be_known() {
    local found allowed="^(src/)?($2|verify)\.rs:|^(src/bin/)?secret_bytes\.rs:"
    found=$(reports "$1")
    if grep -vE "$allowed" <<<"$found" || [ "$(wc -l <<<"$found")" -gt "$3" ]; then
        echo "$found" >&2
        echo "native: more depends on secret bytes than may be known" >&2
        return 1
    fi
    echo "native: $1: the comparison depends on no secret byte, and what comes before and after branches only on what may" \
        "be known: $(cut -d' ' -f1 <<<"$found" | paste -sd' ')"
}

wiped() {
    "$release/wiped" used
    local control
    for control in copied on_stack; do
        if "$release/wiped" "$control" >/dev/null; then
            echo "native: a secret that was $control is not found in memory" >&2
            return 1
        fi
    done
    echo "native: nothing of a dropped token is left in memory; what is left on purpose is found on heap and stack"
}

no_panic() {
    "$release/no_panic" >/dev/null
    local log
    if log=$(cargo build --quiet --release --features panics --bin no_panic 2>&1); then
        echo "native: what can panic links" >&2
        return 1
    fi
    case $log in
        *'detected panic in function `parse`'*) ;;
        *)
            echo "$log" >&2
            echo "native: the control of no_panic fails for another reason" >&2
            return 1
            ;;
    esac
    echo "native: parse, verify and decide cannot panic; the control does not link"
}

# Beyond 4.5 the times of two classes differ. A machine that does other work is noisy: the median of three runs counts.
timing() {
    local name times t log=$CARGO_TARGET_DIR/timing.log
    : >"$log"
    for _ in 1 2 3; do "$release/timing" >>"$log"; done
    for name in compare_equal_first compare_equal_last compare_first_last verify_first_last \
        planted_loop_first_last planted_slices_first_last \
        information_slices_first_last information_verify_wrong_unknown; do
        times=$(grep "^bench $name " "$log" | grep -oE 'max t = [-+.0-9]+' | grep -oE '[.0-9]+$' | sort -g) || true
        if [ "$(grep -c . <<<"$times")" != 3 ]; then
            echo "native: $name was not measured" >&2
            return 1
        fi
        echo "timing: $name: |t| of $(paste -sd' ' <<<"$times")"
        t=$(sed -n 2p <<<"$times")
        case $name in
            information_*) ;;
            planted_*)
                if ! tells "$t"; then
                    echo "native: the time of the control does not tell" >&2
                    return 1
                fi
                ;;
            *)
                if tells "$t"; then
                    echo "native: the time tells" >&2
                    return 1
                fi
                ;;
        esac
    done
}

tells() { awk -v t="$1" 'BEGIN { exit !(t > 4.5) }'; }

main "$@"
