#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own, which is stopped and removed when the command ends:
#
#   bash crates/keygate-sqlx/with_postgres.sh cargo test -p keygate-sqlx
#
# Installs nothing; on Debian: apt-get install -y postgresql
# The server listens on 127.0.0.1 and on a socket in its directory, and trusts whoever gets there. Its data is not
# synced to the disk: it is thrown away, and what is tested is killed with the server running on.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 2; }

bin=$(dirname "$(command -v initdb || true)")
for found in /usr/lib/postgresql/*/bin; do
    if [ -x "$found/initdb" ]; then bin=$found; fi
done
[ -x "$bin/initdb" ] || { echo "$0: no initdb: install postgresql" >&2; exit 1; }

directory=$(mktemp -d "${TMPDIR:-/tmp}/keygate-postgres.XXXXXX")
# PostgreSQL refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    chown postgres: "$directory"
fi
server() { (cd "$directory" && "${as[@]}" "$@"); }

finish() {
    local status=$?
    trap - EXIT INT TERM HUP
    if [ -e "$directory/data/postmaster.pid" ]; then
        server "$bin/pg_ctl" -D "$directory/data" -m immediate -w stop >"$directory/stop" 2>&1 ||
            cat "$directory/stop" >&2
    fi
    rm -rf "$directory"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

server "$bin/initdb" -D "$directory/data" -A trust -U postgres -E UTF8 --locale=C --no-sync \
    >"$directory/initdb" 2>&1 || { cat "$directory/initdb" >&2; exit 1; }

# Nobody can reserve a port, so a port that somebody else took meanwhile is replaced by another one.
for attempt in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    options="-h 127.0.0.1 -p $port -k $directory -c fsync=off -c max_connections=300"
    if server "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -o "$options" -w start \
        >"$directory/start" 2>&1; then
        break
    fi
    if [ "$attempt" = 5 ]; then
        cat "$directory/start" "$directory/log" >&2
        exit 1
    fi
done

export KEYGATE_TEST_POSTGRES="postgres://postgres@127.0.0.1:$port/postgres"
"$@"
