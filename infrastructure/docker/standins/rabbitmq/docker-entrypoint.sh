#!/usr/bin/env bash
# The contract of the official image's entrypoint: runs as rabbitmq, refuses the
# variables that RabbitMQ has given up, uses the long name if there is one.
set -euo pipefail

if [[ "$1" == rabbitmq* ]] && [ "$(id -u)" = 0 ]; then
    [ "$1" != rabbitmq-server ] || find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq '{}' +
    exec gosu rabbitmq "$0" "$@"
fi

for name in RABBITMQ_DEFAULT_PASS_FILE RABBITMQ_DEFAULT_USER_FILE RABBITMQ_VM_MEMORY_HIGH_WATERMARK \
    RABBITMQ_SSL_CACERTFILE RABBITMQ_SSL_CERTFILE RABBITMQ_SSL_KEYFILE; do
    if [ -n "${!name:-}" ]; then
        echo "error: $name is set but deprecated; use a configuration file" >&2
        exit 1
    fi
done

if [ "$(hostname)" != "$(hostname -s)" ]; then
    : "${RABBITMQ_USE_LONGNAME:=true}"
    export RABBITMQ_USE_LONGNAME
fi
exec "$@"
