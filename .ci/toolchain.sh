#!/usr/bin/env bash
# Prints the name of a rustup toolchain made of Debian's package `rustc-web`, or `none`:
#
#   .ci/toolchain.sh 1.85    the minimum version: a compiler from a distribution is what users of an old version have
#   .ci/toolchain.sh 1.96    with the source of the standard library, which some sanitizers need to be built in
#
# The packages are only unpacked, not installed: they would replace the system's compiler. What is there is used again.
# Outside of CI it asks first.
set -euo pipefail

series=$1
toolchain=deb-$series
cache=${CI_CACHE:-$HOME/.cache/keygate-ci}/$toolchain

works() { rustc "+$toolchain" --version 2>/dev/null | grep -q "^rustc $series\."; }

fetch() {
    mkdir -p "$cache/debs"
    cd "$cache/debs"
    local version package library
    version=$(newest)
    if [ -z "$version" ]; then
        apt-get update -qq
        version=$(newest)
    fi
    [ -n "$version" ]
    # The compiler, cargo, the standard library, and the libraries that these are linked with.
    local packages=("rustc-web=$version" "cargo-web=$version" "libstd-rust-web-dev=$version"
        "libstd-rust-web-$series=$version" libz3-4 libhttp-parser2.9)
    case $series in
        1.85) packages+=(libllvm19 libpcre3) ;;
        *) packages+=("rust-web-src=$version" libllvm22 libgit2-1.5 libmbedtls14 libmbedcrypto7 libmbedx509-1) ;;
    esac
    apt-get download -qq "${packages[@]}"
    for package in *.deb; do
        dpkg -x "$package" "$cache"
    done
    # rustup lets the loader look in lib/, and Debian has the libraries one level deeper.
    cd "$cache/usr/lib"
    for library in x86_64-linux-gnu/*.so* ../../lib/x86_64-linux-gnu/*.so*; do
        if [ -e "$library" ]; then ln -sf "$library" .; fi
    done
    rustup toolchain link "$toolchain" "$cache/usr"
}

newest() {
    apt-cache madison rustc-web | awk -F'|' -v series="$series." '
        { gsub(/ /, "", $2) }
        index($2, series) == 1 { print $2; exit }
    '
}

if [ "${2:-}" = --fetch ]; then
    fetch
    exit
fi
if ! works && [ -x "$cache/usr/bin/rustc" ]; then
    rustup toolchain link "$toolchain" "$cache/usr" >&2 || true
fi
if ! works && "$(dirname "$0")/may_install.sh" "Rust $series of Debian, unpacked into $cache"; then
    # A process of its own: in a function behind `||` bash would ignore `set -e`.
    "$0" "$series" --fetch >&2 || true
fi
if works; then echo "$toolchain"; else echo none; fi
