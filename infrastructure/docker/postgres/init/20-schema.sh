#!/usr/bin/env bash
# The server's schema, owned by collective_app, with its version noted.
set -euo pipefail
"${COLLECTIVE_POSTGRES_DIR:-/opt/collective/postgres}/setup.sh" --in-container --only schema
