#!/usr/bin/env bash
# The container's entrypoint: makes ready what a mount can't, refuses a data
# folder that this PostgreSQL can't use, finishes what an interrupted first start
# left undone, then hands over to the image's own entrypoint.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${PGDATA:-/var/lib/postgresql/data}
archive=${COLLECTIVE_WAL_ARCHIVE:-/var/lib/postgresql/wal_archive}
tls=${COLLECTIVE_TLS_DIR:-/etc/postgresql/tls}
run=${COLLECTIVE_RUN_DIR:-/run/collective}
# setup.sh writes it when roles and schema are in place.
marker=$data/collective.ready

say() { echo "start: $*" >&2; }

fail() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

is_relaxed() {
    case ${COLLECTIVE_ENVIRONMENT:-} in
    development | dev | test) return 0 ;;
    *) return 1 ;;
    esac
}

# A short password of the administrator is refused, as setup.sh refuses those of the
# roles. One that is missing is refused by the image at its first start, and isn't
# needed later.
check_password() {
    local value=${POSTGRES_PASSWORD:-} file=${POSTGRES_PASSWORD_FILE:-}
    if is_relaxed; then return 0; fi
    if [ -z "$value" ] && [ -n "$file" ]; then
        [ -r "$file" ] || fail "POSTGRES_PASSWORD_FILE: the file $file can't be read"
        value=$(cat "$file")
    fi
    [ -z "$value" ] || [ ${#value} -ge 20 ] ||
        fail "POSTGRES_PASSWORD has ${#value} characters" "take 20 or more: openssl rand -hex 24"
}

# Runs a command as the user that PostgreSQL runs as.
as_postgres() {
    if ! is_root; then
        "$@"
    elif command -v gosu >/dev/null; then
        gosu postgres "$@"
    elif command -v su-exec >/dev/null; then
        su-exec postgres "$@"
    else
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    fi
}

# A new volume is root's where the image lacks the folder.
prepare_archive() {
    if is_root; then
        if ! { mkdir -p "$archive" && chown postgres:postgres "$archive" && chmod 0700 "$archive"; }; then
            say "warning: $archive can't be made ready; WAL is archived only once it can be written"
        fi
    elif ! [ -w "$archive" ]; then
        say "warning: $archive can't be written by uid $(id -u); WAL is archived only once it can"
    fi
}

# PostgreSQL takes a key only if it is its own and nobody else can read it, which
# a mounted file rarely is: it gets a copy.
prepare_tls() {
    mkdir -p "$run" || fail "the folder $run can't be made" "mount a tmpfs at $run"
    rm -f "$run/postgres-tls.conf"
    if ! [ -e "$tls/server.crt" ]; then
        [ "${POSTGRES_REQUIRE_TLS:-false}" != true ] ||
            fail "POSTGRES_REQUIRE_TLS is true and $tls/server.crt is missing" \
                "mount server.crt and server.key at $tls"
        return 0
    fi
    [ -r "$tls/server.key" ] || fail "$tls/server.key is missing or can't be read" \
        "mount it beside server.crt"
    install -m 0644 "$tls/server.crt" "$run/server.crt"
    install -m 0600 "$tls/server.key" "$run/server.key"
    {
        echo "ssl = on"
        echo "ssl_cert_file = '$run/server.crt'"
        echo "ssl_key_file = '$run/server.key'"
        echo "ssl_min_protocol_version = 'TLSv1.2'"
    } >"$run/postgres-tls.conf"
    ! is_root || chown postgres:postgres "$run" "$run/server.crt" "$run/server.key"
}

# Whether the data folder is one that this version can open.
check_data() {
    local found wanted
    [ -s "$data/PG_VERSION" ] || return 0
    found=$(cat "$data/PG_VERSION")
    wanted=$(postgres --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
    [ "$found" = "$wanted" ] || fail \
        "the volume at $data is of PostgreSQL $found, this image is PostgreSQL $wanted" \
        "use an image of PostgreSQL $found, or dump there and restore here; see DATABASE_README.md"
    [ -s "$data/global/pg_control" ] || fail \
        "the volume at $data holds a first start that was killed before there was a database" \
        "nothing was ever in it: remove the volume and start again"
}

# A first start that was killed after the database was made leaves it without
# roles or schema, and the image's entrypoint doesn't run the init scripts twice.
finish_first_start() {
    [ -s "$data/PG_VERSION" ] && ! [ -e "$marker" ] || return 0
    say "the first start was not finished (or the volume is older than this setup); finishing it"
    local options
    printf -v options '%q ' "$@" -c listen_addresses= -c archive_mode=off
    as_postgres pg_ctl -D "$data" -w -t 120 -o "$options" start >&2 ||
        fail "PostgreSQL can't be started on $data" "what it says is above"
    local done=0
    as_postgres "$here/setup.sh" --in-container || done=$?
    as_postgres pg_ctl -D "$data" -w -m fast stop >&2
    [ "$done" = 0 ] || fail "setup.sh failed" "what it says is above; start again once it is mended"
}

[ $# -gt 0 ] || set -- postgres
if [ "$1" = postgres ]; then
    check_data
    check_password
    prepare_tls
    prepare_archive
    finish_first_start "${@:2}"
fi
exec docker-entrypoint.sh "$@"
