#!/usr/bin/env bash
# What a release is made of: the package, its dependencies and their oldest versions, and the public API.
#
#   .ci/releases.sh              the short form
#   .ci/releases.sh powerset     every set of features as well
#   .ci/releases.sh ready        whether a release can be made of what is committed
#
# `UPDATE_GOLDEN=1 .ci/releases.sh api` writes the snapshot of the public API again: read the difference before you commit.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p "$target"
target=$(cd "$target" && pwd)
export CARGO_TARGET_DIR=$target

main() {
    case ${1:-} in
        api) public_api ;;
        powerset) powerset ;;
        ready) ready ;;
        *)
            package
            dependencies
            minimal_versions
            public_api
            semver
            ;;
    esac
}

# Packs the library, and builds what was packed. All that follows looks at this, which is what users get.
package() {
    # What is not committed yet is packed as well: the check is of this tree.
    cargo package --quiet --allow-dirty --package keygate --package keygate-sqlx --package keygate-cli --all-features
    packed=$(newest 'keygate-[0-9]*')
    cp deny.toml "$packed/"
    local package
    for package in "$packed" "$(newest 'keygate-sqlx-*')" "$(newest 'keygate-cli-*')"; do
        echo "releases: $(find "$package" -name '*.rs' | wc -l) source files of ${package##*/} packed, and built with all features"
    done
}

newest() { find "$target/package" -maxdepth 1 -type d -name "$1" | sort -V | tail -n 1; }

# Licences, duplicates and sources. Advisories need a database, which is not here.
dependencies() {
    local deny
    deny=$(.ci/tool.sh cargo-deny 0.20.2)/cargo-deny || { echo "releases: licences are left out"; return; }
    # A tree of its own, or cargo would look for the workspace around it.
    rm -rf "$target/packed"
    cp -r "$packed" "$target/packed"
    packed=$target/packed
    grep -q '^\[workspace\]' "$packed/Cargo.toml" || printf '\n[workspace]\n' >>"$packed/Cargo.toml"
    (cd "$packed" && cargo fetch --quiet && "$deny" --offline --all-features check licenses bans sources)
    # The control: without the licences that are allowed, it must complain.
    if (cd "$packed" && sed 's/^allow = .*/allow = ["Zlib"]/' deny.toml >none.toml &&
        "$deny" --offline --all-features check --config none.toml licenses) >/dev/null 2>&1; then
        echo "releases: cargo deny allows whatever there is" >&2
        return 1
    fi
}

# The oldest versions that the manifest allows. Only nightly can choose them; it is stable that builds.
minimal_versions() {
    if ! cargo +nightly --version >/dev/null 2>&1; then
        echo "releases: no nightly toolchain: the oldest versions of dependencies are not built"
        return
    fi
    (
        cd "$packed"
        # Users do not have what only the tests need; it would rule out versions that the library itself allows.
        awk '/^\[/ { inside = /^\[dev-dependencies/ } !inside' Cargo.toml >without.toml
        mv without.toml Cargo.toml
        cargo +nightly update --quiet -Zdirect-minimal-versions
        CARGO_TARGET_DIR=$target/minimal cargo check --quiet --lib --all-features
    )
    echo "releases: builds with the oldest direct dependencies that the manifest allows"
}

# The public API as text, and the crates whose types are in it: those that Cargo.toml calls public, and no others.
public_api() {
    if ! cargo +nightly --version >/dev/null 2>&1; then
        echo "releases: no nightly toolchain: the public API is not compared"
        return
    fi
    local tools now=$target/public_api.txt foreign
    tools=$(.ci/tool.sh cargo-public-api 0.52.0) || { echo "releases: the public API is left out"; return; }
    PATH=$PATH:$tools CARGO_TARGET_DIR=$target/nightly \
        cargo +nightly public-api --package keygate --all-features -sss >"$now" 2>"$now.log" || {
        cat "$now.log" >&2
        return 1
    }
    if [ "${UPDATE_GOLDEN:-}" = 1 ]; then cp "$now" .ci/public_api.txt; fi
    diff .ci/public_api.txt "$now" || {
        echo "releases: the public API changed: say so in the changelog, and write the snapshot again" >&2
        return 1
    }
    # A path of a foreign type begins with its crate; the bound of an associated type is printed without the colon.
    foreign=$(sed -E 's/(Error|Future|IntoIter|Item|Output|Response)([a-z][a-z_0-9]+::)/\1 \2/g' "$now" |
        grep -oE '(^|[^A-Za-z0-9_:])[a-z_0-9]+::[A-Za-z_]' | grep -oE '[a-z_0-9]+::' | sort -u |
        grep -vxE '(alloc|axum_core|core|std|keygate|http|rand_core|serde_core|subtle|tower_layer|tower_service)::' || true)
    if [ -n "$foreign" ]; then
        echo "releases: types of these crates are public, and Cargo.toml does not say so:" $foreign >&2
        return 1
    fi
    echo "releases: the public API is the one of the snapshot, $(wc -l <"$now") lines; its foreign types are those allowed"
}

# Nothing to compare with before the first release; from then on, with the newest tag.
semver() {
    local tag tools
    tag=$(git tag --list 'v[0-9]*' --sort=-v:refname | head -n 1)
    if [ -z "$tag" ]; then
        echo "releases: there is no release yet to compare with"
        return
    fi
    tools=$(.ci/tool.sh cargo-semver-checks 0.51.0) || { echo "releases: the comparison is left out"; return; }
    PATH=$PATH:$tools cargo semver-checks --package keygate --baseline-rev "$tag"
}

powerset() {
    local features=() set place count=0 bits
    mapfile -t features < <(awk '/^\[/ { inside = ($0 == "[features]") } inside && /^[a-z_-]+ *=/ && !/^default / { print $1 }' Cargo.toml)
    for ((bits = 0; bits < 1 << ${#features[@]}; bits++)); do
        set=
        for place in "${!features[@]}"; do
            if ((bits >> place & 1)); then set+=${features[place]},; fi
        done
        cargo check --quiet --package keygate --lib --no-default-features --features "$set" ||
            { echo "releases: does not build with features $set" >&2; return 1; }
        count=$((count + 1))
    done
    echo "releases: builds with each of $count sets of features"
}

# What only a person can do before a release. Nothing is published here.
ready() {
    local missing=() manifest version
    if grep -qE '^(repository|homepage) = .*\.example' Cargo.toml; then
        missing+=("Cargo.toml has placeholders for repository and homepage")
    fi
    if [ -n "$(git status --porcelain)" ]; then missing+=("not everything is committed"); fi
    for manifest in Cargo.toml crates/keygate-{sqlx,cli}/Cargo.toml; do
        version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$manifest" | head -n 1)
        if ! grep -qE "^## $version - [0-9]{4}-[0-9]{2}-[0-9]{2}$" "$(dirname "$manifest")/CHANGELOG.md"; then
            missing+=("$(dirname "$manifest")/CHANGELOG.md has no date for $version")
        fi
    done
    if [ ${#missing[@]} -gt 0 ]; then
        printf 'releases: %s\n' "${missing[@]}" >&2
        return 1
    fi
    echo "releases: ready: cargo publish keygate, keygate-sqlx and keygate-cli in this order, and tag the commit"
}

main "$@"
