#!/usr/bin/env bash
# Succeeds if something may be installed on this machine: in CI, where CI_INSTALL=yes says so, or where the person at the
# terminal says yes.
#
#   .ci/may_install.sh "cargo-deny 0.20.2, into $HOME/.cache/keygate-ci" || exit 3
set -euo pipefail
[ "${CI:-}" = true ] || [ "${CI_INSTALL:-}" = yes ] && exit
answer=no
if { exec 3<>/dev/tty; } 2>/dev/null && [ -t 2 ]; then
    printf 'install %s? [y/N] ' "$1" >&3
    read -r answer <&3 || true
fi
case $answer in
    y | yes) ;;
    *)
        echo "not installed: $1 (CI_INSTALL=yes installs without asking)" >&2
        exit 1
        ;;
esac
