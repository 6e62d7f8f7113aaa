#!/usr/bin/env bash
# Some tasks to look at, where COLLECTIVE_DEV_DATA is true.
set -euo pipefail
"${COLLECTIVE_POSTGRES_DIR:-/opt/collective/postgres}/setup.sh" --in-container --only seeds
