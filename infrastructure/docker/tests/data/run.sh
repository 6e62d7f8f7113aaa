#!/usr/bin/env bash
# Proves the configuration of PostgreSQL, RabbitMQ and Redis on the real servers,
# with exactly the files of this repository; only the container's paths and ports
# are rewritten. Prints a table; ends with 1 if a row failed.
#
#   run.sh [postgres] [rabbitmq] [redis] [together]      all four without words
#
# needs     PostgreSQL, RabbitMQ and Redis (Debian's packages), openssl, python3, jq, curl;
#           root, or the rights to start them as their users
# together  COLLECTIVE_BIN, the server's binary; found in target/ if it is not set
# KEEP=1    keeps the temporary folder
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
for part in postgres rabbitmq redis together; do
    # shellcheck source=/dev/null
    if [ -e "$here/$part.sh" ]; then . "$here/$part.sh"; fi
done

[ $# -gt 0 ] || set -- postgres rabbitmq redis together
begin
for part; do
    case $part in
    postgres | rabbitmq | redis | together) "${part}_checks" ;;
    *)
        echo "there is no part '$part': postgres, rabbitmq, redis, together" >&2
        exit 2
        ;;
    esac
done
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
