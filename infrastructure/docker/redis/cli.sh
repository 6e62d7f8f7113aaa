#!/bin/sh
# redis-cli on the server of this container, as it lets people in: over TLS where it
# takes nothing else, with its certificate checked.
#   docker exec agent_redis /opt/collective/redis/cli.sh ping
set -eu

if [ "${REDIS_REQUIRE_TLS:-false}" = true ]; then
    set -- -p "${REDIS_TLS_PORT:-6380}" --tls --cacert "${COLLECTIVE_CA_FILE:-/etc/collective/ca/ca.crt}" "$@"
fi
exec redis-cli "$@"
