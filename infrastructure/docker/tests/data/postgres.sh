# shellcheck shell=bash
# What run.sh and lib.sh set is used here.
# shellcheck disable=SC2154
# PostgreSQL: started by start.sh as its container would, then asked.

# A server's place of its own under a name: folder, port, environment.
pg_place() {
    pg=$work/$1
    mkdir -p "$pg/sock" "$pg/bin"
    chown postgres "$pg/sock"
    if ! [ -s "$pg/port" ]; then free_port >"$pg/port"; fi
    pg_port=$(cat "$pg/port")
    copy_of postgres "$pg/postgres"
    install -m 0755 "$here/entrypoints/postgres" "$pg/bin/docker-entrypoint.sh"
    pg_environment=(
        PATH="$pg/bin:$pg_bin:$PATH" LANG=C.UTF-8 HOME="$pg"
        PGDATA="$pg/data" PGHOST="$pg/sock" PGPORT="$pg_port"
        INITDB_DIR="$pg/postgres/init" COLLECTIVE_POSTGRES_DIR="$pg/postgres"
        COLLECTIVE_RUN_DIR="$pg/postgres.run" COLLECTIVE_WAL_ARCHIVE="$pg/wal"
        COLLECTIVE_TLS_DIR="$pg/tls" COLLECTIVE_SETUP_WAIT=20
        POSTGRES_DB=agent_orchestrator POSTGRES_USER=admin POSTGRES_PASSWORD="$admin_secret"
        COLLECTIVE_ENVIRONMENT=production COLLECTIVE_DB_PASSWORD="$app_secret"
        COLLECTIVE_READONLY_PASSWORD="$reader_secret" POSTGRES_EXPORTER_PASSWORD="$monitor_secret"
    )
    keep_environment "$pg" "${pg_environment[@]}"
}

pg_run() { in_environment "$pg" "$@"; }

# Starts it with a file of settings; what follows is added to the environment.
pg_launch() {
    local settings=$1
    shift
    launch "$pg" in_environment "$pg" "$@" "$pg/postgres/start.sh" postgres \
        -c "config_file=$pg/postgres/$settings" -c "port=$pg_port" -c "unix_socket_directories=$pg/sock"
}

# Starts it and waits until its own health check is content.
pg_start() {
    pg_launch "$@"
    until_true 60 pg_run "$pg/postgres/healthcheck.sh" || {
        tail -n 20 "$pg/log"
        return 1
    }
}

pg_stop() { stop "$pg" INT; }

# Asks as the administrator, inside the container.
pg_ask() { pg_run psql -X -q -A -t -w -v ON_ERROR_STOP=1 -U admin -d "${pg_database:-agent_orchestrator}" -c "$1"; }

# Asks as a role, over the network.
pg_as() {
    local role=$1 secret=$2
    shift 2
    env -i PATH="$pg_bin:$PATH" PGPASSWORD="$secret" PGSSLMODE="${PGSSLMODE:-prefer}" PGSSLROOTCERT="${PGSSLROOTCERT:-}" \
        psql -X -q -A -t -w -v ON_ERROR_STOP=1 -h localhost -p "$pg_port" -U "$role" -d "${pg_database:-agent_orchestrator}" -c "$1"
}
app() { pg_as collective_app "$app_secret" "$1"; }
reader() { pg_as collective_readonly "$reader_secret" "$1"; }
monitor() { pg_as collective_monitor "$monitor_secret" "$1"; }

# Everything that setup.sh makes, as text, but for the verifiers of passwords.
pg_shape() {
    pg_run pg_dump -U admin -w --schema-only -d "${1:-agent_orchestrator}" | grep -v '^\\\(un\)\?restrict'
    pg_run pg_dumpall -U admin -w --roles-only --no-role-passwords -l postgres | grep -v '^\\\(un\)\?restrict\|^-- Started\|^-- Completed'
    pg_ask 'TABLE schema_version'
}

pg_first_start() {
    pg_start postgresql.production.conf
    pg_ask "SELECT 1"
}

pg_settings() {
    local name value
    while read -r name value; do
        same "$name=$value" "$name=$(pg_ask "SELECT rtrim(current_setting('$name'))")"
    done <<'SETTINGS'
max_connections 500
shared_buffers 2GB
effective_cache_size 6GB
password_encryption scram-sha-256
fsync on
synchronous_commit on
wal_level replica
archive_mode on
archive_timeout 5min
log_line_prefix %m [%p] %quser=%u,db=%d,app=%a,client=%h
log_timezone UTC
idle_in_transaction_session_timeout 1min
SETTINGS
    same "f" "$(pg_ask "SELECT rolpassword NOT LIKE 'SCRAM-SHA-256%' FROM pg_authid WHERE rolname = 'collective_app'")"
}

pg_schema_is_the_servers() {
    pg_ask "CREATE DATABASE by_file" >/dev/null
    pg_database=by_file pg_run psql -X -q -v ON_ERROR_STOP=1 -U admin -d by_file -f "$pg/postgres/schema.sql"
    local dump=(pg_run pg_dump -U admin -w --schema-only --no-owner --no-privileges --schema=public)
    diff <("${dump[@]}" -d by_file | grep -v '^\\\(un\)\?restrict') <("${dump[@]}" -d agent_orchestrator | grep -v '^\\\(un\)\?restrict')
    pg_ask "DROP DATABASE by_file"
    same collective_app "$(pg_ask "SELECT string_agg(DISTINCT tableowner, ' ') FROM pg_tables WHERE schemaname = 'public'")"
}

pg_twice() {
    local before
    before=$(pg_shape)
    pg_run "$pg/postgres/setup.sh" --in-container
    same "$before" "$(pg_shape)"
    app "SELECT 1"
}

pg_dry_run() {
    local before said
    before=$(pg_shape)
    said=$(pg_run POSTGRES_DB=elsewhere "$pg/postgres/setup.sh" --in-container --dry-run)
    says "would create elsewhere" "$said"
    says "would apply 001_initial_schema.sql" "$said"
    same "$before" "$(pg_shape)"
    same 0 "$(pg_ask "SELECT count(*) FROM pg_database WHERE datname = 'elsewhere'")"
}

# As on any server: over the network, not in a container.
pg_setup_from_outside() {
    env -i PATH="$pg_bin:$PATH" PGHOST=localhost PGPORT="$pg_port" PGUSER=admin PGPASSWORD="$admin_secret" \
        POSTGRES_DB="$1" COLLECTIVE_DB_PASSWORD="$app_secret" COLLECTIVE_READONLY_PASSWORD="$reader_secret" \
        POSTGRES_EXPORTER_PASSWORD="$monitor_secret" "${@:2}" "$pg/postgres/setup.sh"
}

# Killed at every tenth of its time, then run to its end: the same as never killed.
pg_killed() {
    local whole began=$EPOCHREALTIME length tenth kills=0
    pg_setup_from_outside whole
    length=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
    whole=$(pg_shape whole)
    for tenth in 1 2 3 4 5 6 7 8 9; do
        setsid bash -c "$(declare -f pg_setup_from_outside); $(declare -p pg_bin pg_port pg admin_secret app_secret reader_secret monitor_secret)
            pg_setup_from_outside killed" >/dev/null 2>&1 &
        local pid=$!
        sleep "$(awk -v l="$length" -v t="$tenth" 'BEGIN { print l * t / 10 }')"
        if is_running "$pid"; then kills=$((kills + 1)); fi
        kill_group "$pid"
        # What the killed one left with the server ends by itself.
        until_true 10 pg_nobody_sets_up
        pg_setup_from_outside killed
        same "${whole//whole/killed}" "$(pg_shape killed)"
        pg_ask "DROP DATABASE killed"
    done
    pg_ask "DROP DATABASE whole"
    [ "$kills" -ge 5 ] || {
        echo "only $kills of 9 were killed before their end"
        return 1
    }
}

pg_nobody_sets_up() {
    same 0 "$(pg_ask "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'collective-setup'")"
}

pg_roles_may() {
    app "BEGIN; CREATE TABLE more (a int); INSERT INTO more VALUES (1); DROP TABLE more; COMMIT"
    reader "SELECT count(*) FROM tasks"
    reader "SELECT state, lease_expires_at FROM tasks LIMIT 1"
    reader "SELECT id, label FROM api_keys LIMIT 1"
    same t "$(monitor "SELECT count(*) > 0 FROM pg_stat_activity WHERE query IS NOT NULL")"
    monitor "SELECT count(*) FROM pg_stat_statements"
    monitor "SELECT pg_database_size('agent_orchestrator'), count(*) FROM pg_stat_replication"
    # A table that the server makes later can be read as well.
    app "CREATE TABLE later (a int)"
    reader "SELECT * FROM later"
    app "DROP TABLE later"
}

pg_roles_may_not() {
    local denied="permission denied|must be|cannot execute|read-only"
    refused "$denied" app "CREATE ROLE x"
    refused "$denied" app "CREATE DATABASE x"
    refused "$denied" app "ALTER ROLE collective_app SUPERUSER"
    refused "$denied" app "SELECT * FROM pg_authid"
    refused "$denied" app "COPY (SELECT 1) TO PROGRAM 'id'"
    refused "$denied" app "SELECT pg_read_file('/etc/passwd')"
    refused "$denied" app "CREATE TEMPORARY TABLE t (a int)"
    refused "$denied" app "CREATE SCHEMA mine"
    refused "$denied" app "SET ROLE admin"
    refused "$denied" app "SELECT pg_switch_wal()"
    refused "$denied" reader "INSERT INTO teams (name, created_at) VALUES ('x', 0)"
    refused "$denied" reader "SET default_transaction_read_only = off; INSERT INTO teams (name, created_at) VALUES ('x', 0)"
    refused "$denied" reader "SET default_transaction_read_only = off; CREATE TABLE x (a int)"
    refused "$denied" reader "SELECT lease_secret FROM tasks"
    refused "$denied" reader "SELECT secret FROM attempts"
    refused "$denied" reader "SELECT secret_hash FROM api_keys"
    refused "$denied" reader "SELECT answer FROM answers"
    refused "$denied" monitor "SELECT * FROM tasks"
    refused "$denied" monitor "SET default_transaction_read_only = off; CREATE TABLE x (a int)"
    refused "$denied" monitor "SELECT pg_terminate_backend(pg_backend_pid())::text || secret_hash FROM api_keys"
    pg_ask "CREATE ROLE stranger LOGIN PASSWORD 'stranger'"
    refused "rejects connection|no pg_hba" pg_as stranger stranger "SELECT 1"
    pg_ask "DROP ROLE stranger"
}

# No column that looks like a secret can be read by the reader.
pg_secrets_stay() {
    same "" "$(pg_ask "
        SELECT string_agg(table_name || '.' || column_name, ' ') FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name ~ 'secret|hash|password|token'
            AND has_column_privilege('collective_readonly', 'public.' || table_name, column_name, 'SELECT')")"
}

pg_logins() {
    refused "password authentication failed" pg_as collective_app wrong "SELECT 1"
    refused "no password supplied" pg_as collective_app "" "SELECT 1"
    refused "password authentication failed" pg_as admin wrong "SELECT 1"
    pg_database=postgres refused "rejects connection" app "SELECT 1"
    pg_database=template1 refused "rejects connection" reader "SELECT 1"
    # Inside the container: root and postgres need no password, for the administrator only.
    pg_ask "SELECT 1"
    refused "no password supplied" pg_run psql -X -w -U collective_app -d agent_orchestrator -c "SELECT 1"
    refused "Peer authentication failed|Permission denied" \
        pg_run setpriv --reuid=nobody --regid=nogroup --clear-groups -- psql -X -w -U admin -d agent_orchestrator -c "SELECT 1"
}

pg_limits() {
    same "470" "$(pg_ask "SELECT rolconnlimit + 3 FROM pg_roles WHERE rolname = 'collective_app'")"
    for _ in 1 2 3 4 5 6 7 8 9 10; do reader "SELECT pg_sleep(4)" & done
    until_true 10 pg_readers_are 10
    refused "too many connections for role" reader "SELECT 1"
    wait
    same 30s "$(reader "SHOW statement_timeout")"
    same 15s "$(monitor "SHOW statement_timeout")"
    same 1min "$(app "SHOW statement_timeout")"
    refused "statement timeout" reader "SET statement_timeout = '100ms'; SELECT pg_sleep(5)"
}

pg_readers_are() {
    same "$1" "$(pg_ask "SELECT count(*) FROM pg_stat_activity WHERE usename = 'collective_readonly'")"
}

pg_no_secret_leaks() {
    without_secrets_in_ps pg_run "$pg/postgres/setup.sh" --in-container
    local leaked
    leaked=$(grep -aoE "[a-z0-9]+-5ecret-of-the[a-z0-9-]*" "$pg/log" | sort -u || true)
    same "" "$leaked"
    same 0 "$(pg_ask "SELECT count(*) FROM monitoring.pg_stat_statements WHERE query ~* 'password ''|5ecret'")"
}

pg_log_lines() {
    local prefix='^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\.[0-9]{3} UTC \[[0-9]+\] '
    local session='user=[^,]*,db=[^,]*,app=.*,client=[^ ]+ '
    refused "does not exist" app "SELECT * FROM nowhere"
    until_true 5 grep -qE "$prefix${session}ERROR:  relation \"nowhere\" does not exist" "$pg/log"
    until_true 5 grep -qE "$prefix${session}FATAL:  password authentication failed for user \"collective_app\"" "$pg/log"
    grep -qE "${prefix}LOG:  database system is ready" "$pg/log"
}

pg_archives() {
    local name
    pg_ask "CREATE TABLE mark (a int); SELECT pg_switch_wal()" >/dev/null
    name=$(pg_ask "SELECT pg_walfile_name(pg_switch_wal())")
    until_true 20 test -s "$pg/wal/$name"
    # The same again is kept already; another content is never taken.
    pg_run "$pg/postgres/archive-wal.sh" "$pg/wal/$name" "$name"
    echo other >"$pg/other"
    refused "is there with other content" pg_run "$pg/postgres/archive-wal.sh" "$pg/other" "$name"
    same 16777216 "$(stat -c %s "$pg/wal/$name")"
    refused "is no name" pg_run "$pg/postgres/archive-wal.sh" "$pg/other" ../escape
    refused "is missing" pg_run COLLECTIVE_WAL_ARCHIVE="$pg/nowhere" "$pg/postgres/archive-wal.sh" "$pg/other" "$name"
    pg_ask "DROP TABLE mark"
}

# Back to the moment before a table was dropped.
pg_point_in_time() {
    pg_ask "CREATE TABLE precious AS SELECT 42 AS a"
    install -d -o postgres -m 0700 "$pg/base"
    env -i PATH="$pg_bin:$PATH" PGPASSWORD="$admin_secret" setpriv --reuid=postgres --regid=postgres --init-groups -- \
        pg_basebackup -h localhost -p "$pg_port" -U admin -w -D "$pg/base" --checkpoint=fast
    pg_ask "INSERT INTO precious VALUES (43)"
    local moment last
    moment=$(pg_ask "SELECT clock_timestamp()")
    pg_ask "DROP TABLE precious"
    last=$(pg_ask "SELECT pg_walfile_name(pg_switch_wal())")
    until_true 20 test -s "$pg/wal/$last"
    touch "$pg/base/recovery.signal"
    chown postgres "$pg/base/recovery.signal"
    local restored=$work/restored
    mkdir -p "$restored"
    launch "$restored" env -i PATH="$pg_bin:$PATH" setpriv --reuid=postgres --regid=postgres --init-groups -- \
        postgres -D "$pg/base" -c config_file="$pg/postgres/postgresql.production.conf" -c listen_addresses= -c archive_mode=off \
        -c "port=$pg_port" -c "unix_socket_directories=$pg/base" -c "restore_command=cp $pg/wal/%f %p" \
        -c "recovery_target_time=$moment" -c recovery_target_action=promote
    local ask=(env -i PATH="$pg_bin:$PATH" setpriv --reuid=postgres --regid=postgres --init-groups -- psql -X -A -t -w -h "$pg/base" -p "$pg_port" -U admin -d agent_orchestrator)
    until_true 30 "${ask[@]}" -c "SELECT 1"
    same "42,43" "$("${ask[@]}" -c "SELECT string_agg(a::text, ',' ORDER BY a) FROM precious")"
    stop "$restored" INT
}

pg_restarts() {
    pg_ask "SELECT 1"
    kill_group "$(cat "$pg/pid")"
    pg_forget_locks
    pg_start postgresql.production.conf
    app "SELECT count(*) FROM teams"
}

pg_over_tls() {
    make_certificates "$pg/tls"
    pg_stop
    pg_start postgresql.production.conf POSTGRES_REQUIRE_TLS=true
    pg_run POSTGRES_REQUIRE_TLS=true "$pg/postgres/setup.sh" --in-container --only finish
    export PGSSLROOTCERT=$pg/tls/ca.crt
    PGSSLMODE=disable refused "rejects connection" app "SELECT 1"
    PGSSLMODE=verify-full app "SELECT 1"
    same "t TLSv1.3" "$(PGSSLMODE=verify-full app "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()" | tr '|' ' ')"
    rm -r "$pg/tls"
    pg_stop
    pg_launch postgresql.production.conf POSTGRES_REQUIRE_TLS=true
    until_true 10 grep -q "POSTGRES_REQUIRE_TLS is true and .* is missing" "$pg/log"
}

# Killed between the database and the roles: the next start finishes it.
pg_killed_first_start() {
    local point
    for point in 10-roles 20-schema 90-finish; do
        pg_place "first-$point"
        # A killed container takes its processes with it in the middle of this script.
        printf '#!/usr/bin/env bash\necho reached %s\nsleep 60\n' "$point" >"$pg/postgres/init/$point.sh"
        pg_launch postgresql.production.conf
        until_true 60 grep -q "reached $point" "$pg/log"
        refused "first start" pg_run "$pg/postgres/healthcheck.sh"
        pg_kill_all
        copy_of postgres "$pg/postgres"
        pg_start postgresql.production.conf
        grep -q "the first start was not finished" "$pg/log"
        app "SELECT count(*) FROM teams"
        pg_stop
    done
}

# The postmaster of a first start has a group of its own, as pg_ctl makes it.
pg_kill_all() {
    local postmaster
    postmaster=$(head -n 1 "$pg/data/postmaster.pid")
    kill_group "$(cat "$pg/pid")"
    kill_group "$postmaster"
    until_true 10 pg_is_gone "$postmaster"
    pg_forget_locks
}

# A container that is started again has process ids of its own.
pg_forget_locks() { rm -f "$pg/data/postmaster.pid" "$pg"/sock/.s.PGSQL.*; }

pg_is_gone() { ! is_running "$1"; }

pg_refuses_bad_input() {
    pg_place refusals
    install -d -o postgres -m 0700 "$pg/data"
    echo 14 >"$pg/data/PG_VERSION"
    refused "is of PostgreSQL 14, this image is PostgreSQL" pg_run "$pg/postgres/start.sh" postgres
    "$pg_bin/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/' >"$pg/data/PG_VERSION"
    refused "killed before there was a database" pg_run "$pg/postgres/start.sh" postgres
    rm "$pg/data/PG_VERSION"
    local start=("$pg/postgres/start.sh" postgres)
    refused "POSTGRES_PASSWORD has 5 characters" pg_run POSTGRES_PASSWORD=short "${start[@]}"
    printf '%s\n' short >"$work/short.secret"
    chmod 0644 "$work/short.secret"
    refused "POSTGRES_PASSWORD has 5 characters" pg_run POSTGRES_PASSWORD= POSTGRES_PASSWORD_FILE="$work/short.secret" "${start[@]}"
    refused "POSTGRES_PASSWORD_FILE: the file /nowhere can't be read" pg_run POSTGRES_PASSWORD= POSTGRES_PASSWORD_FILE=/nowhere "${start[@]}"
    local setup=(env -i PATH="$pg_bin:$PATH" PGHOST=localhost PGPORT=1 COLLECTIVE_SETUP_WAIT=1)
    refused "doesn't answer within 1 s.*refused" "${setup[@]}" COLLECTIVE_DB_PASSWORD="$app_secret" "$pg/postgres/setup.sh"
    refused "there is no option '--frob'" "${setup[@]}" "$pg/postgres/setup.sh" --frob
    refused "there is no step 'x'" "${setup[@]}" "$pg/postgres/setup.sh" --only x
    pg_place production
    setup=(pg_setup_from_outside agent_orchestrator)
    refused "COLLECTIVE_DB_PASSWORD is not set" "${setup[@]}" COLLECTIVE_DB_PASSWORD=
    refused "has 5 characters" "${setup[@]}" COLLECTIVE_DB_PASSWORD=short
    refused "both COLLECTIVE_DB_PASSWORD and COLLECTIVE_DB_PASSWORD_FILE" "${setup[@]}" COLLECTIVE_DB_PASSWORD_FILE=/dev/null
    refused "can't be read" "${setup[@]}" COLLECTIVE_DB_PASSWORD= COLLECTIVE_DB_PASSWORD_FILE=/nowhere
    refused "refuses admin" "${setup[@]}" PGPASSWORD=wrong
    pg_ask "CREATE ROLE helper LOGIN CREATEROLE PASSWORD 'helper'"
    refused "helper is no superuser" pg_run POSTGRES_USER=helper PGPASSWORD=helper "$pg/postgres/setup.sh" --in-container
    pg_ask "DROP ROLE helper"
    refused "development data is refused in production" "${setup[@]}" COLLECTIVE_ENVIRONMENT=production COLLECTIVE_DEV_DATA=true
}

pg_by_files() {
    printf '%s\n' "$app_secret" >"$work/app.secret"
    pg_setup_from_outside agent_orchestrator COLLECTIVE_DB_PASSWORD= COLLECTIVE_DB_PASSWORD_FILE="$work/app.secret"
    app "SELECT 1"
}

# A password that changes while somebody is connected.
pg_changed_password() {
    app "SELECT pg_sleep(3)" &
    local session=$!
    sleep 0.5
    pg_setup_from_outside agent_orchestrator COLLECTIVE_DB_PASSWORD=another-5ecret-of-the-te5t
    wait "$session"
    refused "password authentication failed" app "SELECT 1"
    pg_as collective_app another-5ecret-of-the-te5t "SELECT 1"
    pg_setup_from_outside agent_orchestrator
    app "SELECT 1"
}

# Development and test start with one password for all, and with their settings.
pg_environments() {
    local environment
    for environment in dev test staging; do
        pg_place "env-$environment"
        if [ "$environment" = staging ]; then
            pg_start postgresql.staging.conf COLLECTIVE_ENVIRONMENT=staging
            same 200 "$(pg_ask "SHOW max_connections")"
            same on "$(pg_ask "SHOW archive_mode")"
        else
            pg_start "postgresql.$environment.conf" COLLECTIVE_ENVIRONMENT="$environment" POSTGRES_PASSWORD=postgres123 \
                COLLECTIVE_DB_PASSWORD= COLLECTIVE_READONLY_PASSWORD= POSTGRES_EXPORTER_PASSWORD=
            pg_as collective_app postgres123 "SELECT 1"
            pg_as collective_monitor postgres123 "SELECT 1"
        fi
        pg_stop
    done
    pg_place env-base
    pg_start postgresql.conf
    pg_stop
}

postgres_checks() {
    section "PostgreSQL $("$pg_bin/postgres" --version | grep -oE '[0-9.]+' | head -1), postgresql.production.conf"
    pg_place production
    check "the first start makes roles and schema, then is healthy" pg_first_start
    check "the document's settings are in force" pg_settings
    check "the schema is the server's own, owned by collective_app" pg_schema_is_the_servers
    check "setup.sh changes nothing the second time" pg_twice
    check "setup.sh --dry-run changes nothing" pg_dry_run
    check "setup.sh killed at nine points goes on where it was" pg_killed
    check "roles may what they are for" pg_roles_may
    check "roles may nothing else" pg_roles_may_not
    check "no secret is readable for the reader" pg_secrets_stay
    check "logins without the password, or elsewhere, are refused" pg_logins
    check "connections and statements have their limits" pg_limits
    check "no password in a command line, log or statistic" pg_no_secret_leaks
    check "log lines have the form that the pipeline reads" pg_log_lines
    check "passwords come from files" pg_by_files
    check "a password changes while somebody is connected" pg_changed_password
    check "WAL is archived, and never overwritten" pg_archives
    check "restored to the moment before a DROP TABLE" pg_point_in_time
    check "killed and started again, everything is there" pg_restarts
    check "bad input is told, with what to do" pg_refuses_bad_input
    check "TLS: required, verified, and missed" pg_over_tls
    check "a first start that is killed is finished by the next" pg_killed_first_start
    check "development, test, staging and base start too" pg_environments
}
