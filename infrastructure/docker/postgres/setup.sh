#!/usr/bin/env bash
# Makes a PostgreSQL ready for Collective: database, roles, schema, access, and
# in development some tasks to look at. See --help.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Where the folder lies inside the container.
inside=/opt/collective/postgres
# How long it is waited for a server that is still starting, in seconds.
wait_limit=${COLLECTIVE_SETUP_WAIT:-60}

steps=(database roles schema seeds finish)
only=""
container=""
in_container=false
dry_run=false
dev_data=${COLLECTIVE_DEV_DATA:-false}

usage() {
    cat <<'TEXT'
usage: setup.sh [--only STEP] [--dev-data] [--dry-run] [--container [NAME]]

Makes a PostgreSQL ready for Collective. It may be run as often as you like and
may be interrupted: each step is one transaction, and the next run goes on.

steps, in order
  database   the database, where it is missing
  roles      collective_app, collective_readonly, collective_monitor
  schema     the server's schema, owned by collective_app, and what may be read
  seeds      tasks to look at, only with --dev-data
  finish     pg_hba.conf and pg_ident.conf of the data folder (in a container)

options
  --only STEP         one step instead of all
  --dev-data          also load seeds/dev_data.sql (refused in staging and production)
  --dry-run           say what would be done, change nothing
  --container [NAME]  run inside this container; without NAME, agent_postgres
                      with the prefix of STACK_PREFIX
  --help

where   PGHOST, PGPORT, PGUSER, PGPASSWORD (or PGPASSFILE) as psql takes them, by a
        superuser; in a container POSTGRES_USER over the socket.
        The database is POSTGRES_DB, else agent_orchestrator.
secrets COLLECTIVE_DB_PASSWORD, COLLECTIVE_READONLY_PASSWORD, POSTGRES_EXPORTER_PASSWORD,
        each also as a file named by …_FILE.
        Where COLLECTIVE_ENVIRONMENT is development or test, what is missing is
        POSTGRES_PASSWORD. Elsewhere the first one must be there, 20 characters or
        more, and a role whose password is missing can't log in.
TEXT
}

say() { echo "setup: $*"; }

fail() {
    echo "setup: error: $1" >&2
    [ $# -lt 2 ] || echo "setup: hint: $2" >&2
    exit 1
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --only)
            [ $# -gt 1 ] || fail "--only wants a step" "one of: ${steps[*]}"
            only=$2
            shift
            ;;
        --dev-data) dev_data=true ;;
        --dry-run) dry_run=true ;;
        --in-container) in_container=true ;;
        --container)
            container=${STACK_PREFIX:-}agent_postgres
            if [ $# -gt 1 ] && [[ $2 != --* ]]; then
                container=$2
                shift
            fi
            ;;
        *) fail "there is no option '$1'" "setup.sh --help lists them" ;;
        esac
        shift
    done
    [ -z "$only" ] || [[ " ${steps[*]} " == *" $only "* ]] ||
        fail "there is no step '$only'" "one of: ${steps[*]}"
}

# Runs this script inside the container. Passwords go by name, so that they are
# taken from the environment and stand in no command line.
run_in_container() {
    local docker=(docker exec -i) name
    for name in COLLECTIVE_DB_PASSWORD COLLECTIVE_READONLY_PASSWORD POSTGRES_EXPORTER_PASSWORD \
        COLLECTIVE_ENVIRONMENT; do
        if [ -n "${!name:-}" ]; then docker+=(--env "$name"); fi
    done
    local options=(--in-container)
    if [ -n "$only" ]; then options+=(--only "$only"); fi
    if [ "$dev_data" = true ]; then options+=(--dev-data); fi
    if [ "$dry_run" = true ]; then options+=(--dry-run); fi
    command -v docker >/dev/null || fail "the program docker is missing" "leave --container out for a local server"
    exec "${docker[@]}" "$container" "$inside/setup.sh" "${options[@]}"
}

# The secret of a name, from NAME or from the file that NAME_FILE names.
secret() {
    local name=$1 file_name=$1_FILE value=""
    local file=${!file_name:-}
    if [ -n "$file" ] && [ -n "${!name:-}" ]; then
        fail "both $name and $file_name are set" "leave one of them out"
    fi
    if [ -n "$file" ]; then
        [ -r "$file" ] || fail "$file_name: the file $file can't be read"
        value=$(cat "$file")
        [ -n "$value" ] || fail "$file_name: the file $file is empty"
    else
        value=${!name:-}
    fi
    case $value in
    *$'\n'*) fail "$name holds a line break" "a password is one line" ;;
    esac
    printf '%s' "$value"
}

is_relaxed() {
    case ${COLLECTIVE_ENVIRONMENT:-} in
    development | dev | test) return 0 ;;
    *) return 1 ;;
    esac
}

# The password of a role, by the rules that --help tells.
password() {
    local name=$1 is_needed=$2 value
    value=$(secret "$name") || exit 1
    if is_relaxed; then
        [ -n "$value" ] || value=$(secret POSTGRES_PASSWORD) || exit 1
    elif [ -z "$value" ]; then
        [ "$is_needed" = false ] || fail "$name is not set" \
            "make one: $name=\$(openssl rand -hex 24); in development set COLLECTIVE_ENVIRONMENT=development"
    elif [ ${#value} -lt 20 ]; then
        fail "$name has ${#value} characters" "take 20 or more: openssl rand -hex 24"
    fi
    printf '%s' "$value"
}

sql() { psql -X -q -A -t -w -v ON_ERROR_STOP=1 "$@"; }

# A value that the database gives to a question.
ask() { sql -c "$1"; }

set_place() {
    export PGDATABASE=${POSTGRES_DB:-agent_orchestrator}
    export PGAPPNAME=collective-setup
    export PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-10}
    if $in_container; then
        export PGUSER=${POSTGRES_USER:-postgres}
        # Over the socket: a host of the environment would lead elsewhere.
        unset PGHOSTADDR
        case ${PGHOST:-} in
        /*) ;;
        *) unset PGHOST ;;
        esac
        if [ -z "${PGPASSWORD:-}" ]; then
            PGPASSWORD=$(secret POSTGRES_PASSWORD) || exit 1
            export PGPASSWORD
        fi
    fi
    command -v psql >/dev/null || fail "the program psql is missing" "install the PostgreSQL client, 14 or later"
}

# The database that every server has: the one to ask whether ours is there.
wait_for_server() {
    local began=$SECONDS said
    until said=$(PGDATABASE=postgres sql -c 'SELECT 1' 2>&1); do
        case $said in
        *"password authentication failed"* | *"no password supplied"* | *"Peer authentication failed"* | \
            *"does not exist"* | *"no pg_hba.conf entry"* | *"rejects connection"*)
            fail "PostgreSQL refuses ${PGUSER:-$(id -un)}: $said" "set PGUSER and PGPASSWORD of a superuser"
            ;;
        esac
        [ $((SECONDS - began)) -lt "$wait_limit" ] ||
            fail "PostgreSQL doesn't answer within $wait_limit s: $said" "is it running, and are PGHOST and PGPORT right?"
        sleep 1
    done
    local may
    may=$(PGDATABASE=postgres ask "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    [ "$may" = t ] || fail "${PGUSER:-$(id -un)} is no superuser" "roles, grants and extensions want one; set PGUSER"
}

# The same of the database that every server has.
ask_server() { PGDATABASE=postgres sql -v name="$1" -f - <<<"$2"; }

has_database() {
    [ "$(ask_server "$PGDATABASE" "SELECT count(*) FROM pg_database WHERE datname = :'name'")" = 1 ]
}

do_database() {
    if has_database; then
        local encoding
        encoding=$(ask "SHOW server_encoding")
        [ "$encoding" = UTF8 ] || fail "the database $PGDATABASE is in $encoding" "make one with ENCODING 'UTF8'"
        say "database: $PGDATABASE is there"
    elif $dry_run; then
        say "database: would create $PGDATABASE"
    else
        ask_server "$PGDATABASE" "CREATE DATABASE :\"name\" ENCODING 'UTF8' TEMPLATE template0"
        say "database: $PGDATABASE is made"
    fi
}

do_roles() {
    local app reader monitor
    app=$(password COLLECTIVE_DB_PASSWORD true) || exit 1
    reader=$(password COLLECTIVE_READONLY_PASSWORD false) || exit 1
    monitor=$(password POSTGRES_EXPORTER_PASSWORD false) || exit 1
    local role what
    while IFS='|' read -r role what; do
        if $dry_run; then
            [ "$what" = there ] && what="is there, would be set again" || what="would be made"
        fi
        say "roles: $role $what"
    done < <(PGDATABASE=postgres ask "
        SELECT name, CASE WHEN to_regrole(name) IS NULL THEN 'is made' ELSE 'there' END
        FROM (VALUES ('collective_app'), ('collective_readonly'), ('collective_monitor')) AS w (name)")
    if $dry_run; then return 0; fi
    COLLECTIVE_SETUP_APP_PASSWORD=$app COLLECTIVE_SETUP_READONLY_PASSWORD=$reader \
        COLLECTIVE_SETUP_MONITOR_PASSWORD=$monitor sql -f "$here/sql/roles.sql"
    [ -n "$reader" ] || say "roles: collective_readonly can't log in: COLLECTIVE_READONLY_PASSWORD is not set"
    [ -n "$monitor" ] || say "roles: collective_monitor can't log in: POSTGRES_EXPORTER_PASSWORD is not set"
}

version_there() {
    if [ "$(ask "SELECT to_regclass('public.schema_version') IS NULL")" = t ]; then
        echo 0
    else
        ask "SELECT COALESCE(MAX(version), 0) FROM public.schema_version"
    fi
}

do_schema() {
    local path name version newest=0 there
    if $dry_run && ! has_database; then there=0; else there=$(version_there); fi
    for path in "$here"/migrations/[0-9][0-9][0-9]_*.sql; do
        [ -e "$path" ] || fail "no migrations in $here/migrations"
        name=${path##*/}
        version=$((10#${name%%_*}))
        [ "$version" = $((newest + 1)) ] || fail "$name comes after version $newest" "a file is missing"
        newest=$version
        [ "$version" -gt "$there" ] || continue
        if $dry_run; then
            say "schema: would apply $name"
        else
            sql -v version="$version" -v path="$path" -f "$here/sql/migration.sql" | sed 's/^/setup: /'
        fi
    done
    if [ "$there" -gt "$newest" ]; then
        say "schema: is at version $there, newer than the files here ($newest); it stays"
    elif [ "$there" = "$newest" ]; then
        say "schema: is at version $there"
    fi
    if ! $dry_run; then sql -f "$here/sql/grants.sql"; fi
}

do_seeds() {
    if [ "$dev_data" != true ]; then return 0; fi
    case ${COLLECTIVE_ENVIRONMENT:-} in
    production | staging) fail "development data is refused in $COLLECTIVE_ENVIRONMENT" "leave --dev-data and COLLECTIVE_DEV_DATA out" ;;
    esac
    if $dry_run; then
        say "seeds: would load seeds/dev_data.sql where no team has done anything"
        return 0
    fi
    sql -f "$here/seeds/dev_data.sql" | sed 's/^/setup: /'
}

# A line for pg_hba.conf has names in double quotes.
quoted() { printf '"%s"' "${1//\"/\"\"}"; }

do_finish() {
    local data=${PGDATA:-}
    if ! $in_container; then
        if [ "$only" = finish ]; then fail "finish is for a container's data folder" "see pg_hba.conf here for a local server"; fi
        return 0
    fi
    [ -s "$data/PG_VERSION" ] || fail "there is no data folder at '$data'" "set PGDATA"
    local admin database host=host
    admin=$(quoted "$PGUSER")
    database=$(quoted "$PGDATABASE")
    if [ "${POSTGRES_REQUIRE_TLS:-false}" = true ]; then host=hostssl; fi
    if $dry_run; then
        say "finish: would write pg_hba.conf and pg_ident.conf in $data"
        return 0
    fi
    local hba
    hba=$(cat "$here/pg_hba.conf")
    hba=${hba//@ADMIN@/"$admin"}
    hba=${hba//@DATABASE@/"$database"}
    hba=${hba//@HOST@/"$host"}
    write_whole "$data/pg_hba.conf" "$hba"
    write_whole "$data/pg_ident.conf" "# MAP  SYSTEM-USER  DATABASE-USER
collective root $admin
collective postgres $admin"
    write_whole "$data/collective.ready" "roles, schema and access are in place"
    ask "SELECT pg_reload_conf()" >/dev/null
    say "finish: access is set"
}

# Writes a file so that it is there whole or not at all, with the folder's owner.
write_whole() {
    local path=$1 text=$2
    printf '%s\n' "$text" >"$path.new"
    chmod 0600 "$path.new"
    if [ "$(id -u)" = 0 ]; then chown "$(stat -c %u:%g "$(dirname "$path")")" "$path.new"; fi
    mv "$path.new" "$path"
}

read_options "$@"
if [ -n "$container" ]; then run_in_container; fi
set_place
wait_for_server
for step in "${steps[@]}"; do
    if [ -z "$only" ] || [ "$only" = "$step" ]; then "do_$step"; fi
done
