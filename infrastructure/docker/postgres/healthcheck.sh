#!/bin/sh
# Healthy: the real server (not the one of the first start, which listens
# nowhere) answers a query, and roles and schema are in place.
set -eu

case ${PGHOST:-} in
/*) ;;
*) unset PGHOST ;;
esac
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

# A line in the log for each check would hide the others.
export PGOPTIONS="-c log_connections=off -c log_disconnections=off"
answer=$(psql -X -q -A -t -w -U "$user" -d "$database" -c "
    SELECT CASE
        WHEN current_setting('listen_addresses') = '' THEN 'still in its first start'
        WHEN to_regrole('collective_app') IS NULL THEN 'role collective_app is missing: run setup.sh'
        WHEN to_regclass('public.schema_version') IS NULL THEN 'the schema is missing: run setup.sh'
        ELSE 'ok' END") || exit 1
if [ "$answer" != ok ]; then
    echo "$answer"
    exit 1
fi
