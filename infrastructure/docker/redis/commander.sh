#!/bin/sh
# The entrypoint of Redis Commander's container: writes its one connection into its
# file of settings, since an argument can be read by others; over TLS where Redis
# takes nothing else.
set -eu
umask 077

port=6379
tls=false
if [ "${REDIS_REQUIRE_TLS:-false}" = true ]; then
    port=6380
    tls=true
    # Trusted beside the authorities that Node brings.
    export NODE_EXTRA_CA_CERTS="${COLLECTIVE_CA_FILE:-/etc/collective/ca/ca.crt}"
    if ! [ -r "$NODE_EXTRA_CA_CERTS" ]; then
        echo "commander: error: REDIS_REQUIRE_TLS is true and $NODE_EXTRA_CA_CERTS can't be read" >&2
        echo "commander: hint: put the authority's certificate there, readable for everybody" >&2
        exit 1
    fi
fi
password=$(printf '%s' "${REDIS_PASSWORD:?}" | sed 's/["\\]/\\&/g')
printf '{"connections": [{"label": "stack", "host": "redis", "port": %s, "tls": %s, "dbIndex": 0, "password": "%s"}]}\n' \
    "$port" "$tls" "$password" >"${HOME:?}/config/local-${NODE_ENV:?}.json"
unset REDIS_PASSWORD
exec "${COMMANDER:-/redis-commander/docker/entrypoint.sh}"
