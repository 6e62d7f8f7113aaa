#!/bin/sh
# Healthy: the answer is PONG. `redis-cli ping` ends with 0 for any answer, also
# for NOAUTH and LOADING. The user `health` may ping and nothing else, so the
# check needs no password and outlives a change of them.
set -eu

port=${REDIS_HEALTH_PORT:-6379}
if [ "${REDIS_REQUIRE_TLS:-false}" = true ]; then
    set -- --tls --insecure
    port=${REDIS_HEALTH_PORT:-6380}
fi
unset REDISCLI_AUTH
answer=$(redis-cli -h 127.0.0.1 -p "$port" "$@" --user health --pass health --no-auth-warning ping 2>&1) || true
if [ "$answer" != PONG ]; then
    echo "not PONG but '$answer'"
    exit 1
fi
