#!/usr/bin/env bash
# Healthy: something listens for AMQP (listeners are the last to start), and the
# broker answers a request over HTTP, so it isn't only the kernel that accepts.
# Costs no Erlang of its own, and leaves nothing in the broker's log.
set -euo pipefail

# Where nobody comes without TLS, nothing listens on the other port.
amqp=5672
if [ "${RABBITMQ_REQUIRE_TLS:-false}" = true ]; then amqp=5671; fi
amqp=${RABBITMQ_HEALTH_AMQP_PORT:-$amqp}
http=${RABBITMQ_HEALTH_HTTP_PORT:-15672}

fail() {
    echo "$1"
    exit 1
}

(: <>"/dev/tcp/127.0.0.1/$amqp") 2>/dev/null || fail "nothing listens for AMQP on port $amqp"
exec 3<>"/dev/tcp/127.0.0.1/$http" || fail "nothing listens on port $http"
printf 'GET /api/auth HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
IFS= read -r -t 8 answer <&3 || fail "no answer over HTTP within 8 s"
case $answer in
"HTTP/1.1 200"*) ;;
*) fail "it answers with '${answer%$'\r'}'" ;;
esac
