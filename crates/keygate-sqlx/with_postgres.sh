#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own, a standby of it, and a PgBouncer for each mode, which are stopped and
# removed when the command ends:
#
#   bash crates/keygate-sqlx/with_postgres.sh cargo test -p keygate-sqlx --all-features
#
# Installs nothing; on Debian: apt-get install -y postgresql pgbouncer. Without PgBouncer its tests are skipped.
# The servers listen on 127.0.0.1 and on sockets in their directory, and trust every local user. Their data is not
# synced to the disk: it is thrown away, and what is tested is killed with the server running on.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 2; }

bin=$(dirname "$(command -v initdb || true)")
for found in /usr/lib/postgresql/*/bin; do
    if [ -x "$found/initdb" ]; then bin=$found; fi
done
[ -x "$bin/initdb" ] || { echo "$0: no initdb: install postgresql" >&2; exit 1; }
bouncer=$(PATH=$PATH:/usr/sbin command -v pgbouncer || true)

directory=$(mktemp -d "${TMPDIR:-/tmp}/keygate-postgres.XXXXXX")
# PostgreSQL refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    chown postgres: "$directory"
fi
server() { (cd "$directory" && "${as[@]}" "$@"); }

finish() {
    local status=$? data
    trap - EXIT INT TERM HUP
    for mode in transaction session statement; do
        if [ -s "$directory/$mode.pid" ]; then kill "$(cat "$directory/$mode.pid")" || true; fi
    done
    for data in standby data; do
        if [ -e "$directory/$data/postmaster.pid" ]; then
            server "$bin/pg_ctl" -D "$directory/$data" -m immediate -w stop >"$directory/stop" 2>&1 ||
                cat "$directory/stop" >&2
        fi
    done
    rm -rf "$directory"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Runs a command with a port at its end until it succeeds: nobody can reserve a port, so one that somebody else took
# meanwhile is replaced by another one. The port is in $port then.
with_port() {
    local attempt
    for attempt in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 20000))
        if "$@" "$port" >"$directory/start" 2>&1; then return; fi
    done
    cat "$directory/start" "$directory"/*.log >&2
    return 1
}

start() { # DATA PORT
    server "$bin/pg_ctl" -D "$directory/$1" -l "$directory/$1.log" -w start \
        -o "-h 127.0.0.1 -p $2 -k $directory -c max_connections=300"
}

# A pooler that takes any database of the server.
start_bouncer() { # MODE PORT
    cat >"$directory/$1.ini" <<INI
[databases]
* = host=127.0.0.1 port=$primary user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $2
unix_socket_dir =
auth_type = any
pool_mode = $1
max_client_conn = 300
default_pool_size = 30
logfile = $directory/$1.log
pidfile = $directory/$1.pid
INI
    server "$bouncer" --daemon "$directory/$1.ini" && sleep 0.3 && (: </dev/tcp/127.0.0.1/"$2")
}

server "$bin/initdb" -D "$directory/data" -A trust -U postgres -E UTF8 --locale=C --no-sync \
    >"$directory/initdb.log" 2>&1 || { cat "$directory/initdb.log" >&2; exit 1; }
# In the file, so that a program that counts syncs can switch them on.
echo "fsync = off" >>"$directory/data/postgresql.conf"
with_port start data
primary=$port
server "$bin/pg_basebackup" -D "$directory/standby" -d "host=127.0.0.1 port=$primary user=postgres" --checkpoint=fast \
    --no-sync --write-recovery-conf >"$directory/backup.log" 2>&1 || { cat "$directory/backup.log" >&2; exit 1; }
with_port start standby
standby=$port
for mode in transaction session statement; do
    if [ -n "$bouncer" ]; then
        with_port start_bouncer "$mode"
        export "KEYGATE_TEST_PGBOUNCER_${mode^^}=postgres://postgres@127.0.0.1:$port/postgres"
    fi
done

export KEYGATE_TEST_POSTGRES="postgres://postgres@127.0.0.1:$primary/postgres"
export KEYGATE_TEST_POSTGRES_STANDBY="postgres://postgres@127.0.0.1:$standby/postgres"
"$@"
