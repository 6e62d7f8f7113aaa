#!/usr/bin/env bash
# Runs a command with the environment of a file and nothing else.
#   environment.sh FILE [-C FOLDER] [NAME=VALUE]... COMMAND...
set -euo pipefail

if [ -z "${IN_ENVIRONMENT:-}" ]; then exec env -i IN_ENVIRONMENT=1 PATH="$PATH" "$0" "$@"; fi
unset IN_ENVIRONMENT
set -a
# shellcheck disable=SC1090
. "$1"
set +a
exec env "${@:2}"
