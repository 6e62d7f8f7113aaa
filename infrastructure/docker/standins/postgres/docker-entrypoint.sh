#!/usr/bin/env bash
# The contract of the official image's entrypoint: makes the database at the
# first start, runs /docker-entrypoint-initdb.d (not its folders), then serves.
set -euo pipefail

fail() { echo "error: $1" >&2; exit 1; }

# NAME, or the content of the file that NAME_FILE names.
from_file() {
    local name=$1 file_name=$1_FILE
    [ -z "${!name:-}" ] || [ -z "${!file_name:-}" ] || fail "$name and $file_name are both set"
    [ -z "${!file_name:-}" ] || export "$name"="$(<"${!file_name}")"
    unset "$file_name"
}

make_database() {
    [ -n "${POSTGRES_PASSWORD:-}" ] || [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ] ||
        fail "the database is new and POSTGRES_PASSWORD is not set"
    local -a options=()
    read -ra options <<<"${POSTGRES_INITDB_ARGS:-}"
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") \
        "${options[@]}"
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" \
        >>"$PGDATA/pg_hba.conf"
}

query() { psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --no-password "$@"; }

run_init_scripts() {
    local script
    for script in /docker-entrypoint-initdb.d/*; do
        [ -f "$script" ] || continue
        case $script in
        *.sh)
            echo "running $script"
            if [ -x "$script" ]; then
                "$script"
            else
                # shellcheck disable=SC1090
                . "$script"
            fi
            ;;
        *.sql) echo "running $script" && query --dbname "$POSTGRES_DB" -f "$script" ;;
        *.sql.gz) echo "running $script" && gunzip -c "$script" | query --dbname "$POSTGRES_DB" ;;
        *) echo "ignoring $script" ;;
        esac
    done
}

first_start() {
    make_database
    local options
    printf -v options '%q ' "$@"
    PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -o "$options -c listen_addresses=''" -w start
    if [ "$POSTGRES_DB" != postgres ]; then
        PGPASSWORD=$POSTGRES_PASSWORD query --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
    export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
    run_init_scripts
    PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
    echo 'PostgreSQL init process complete; ready for start up.'
}

[ "${1:0:1}" != - ] || set -- postgres "$@"
if [ "$1" = postgres ]; then
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$PGDATA" && chmod 0700 "$PGDATA"
        mkdir -p /var/run/postgresql
        find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
        find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
        exec gosu postgres "$0" "$@"
    fi
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER
    from_file POSTGRES_DB
    : "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
    export POSTGRES_USER POSTGRES_DB
    [ -s "$PGDATA/PG_VERSION" ] || first_start "${@:2}"
fi
exec "$@"
