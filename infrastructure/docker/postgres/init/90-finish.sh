#!/usr/bin/env bash
# Who may log in from where, and the mark that all of this was done.
set -euo pipefail
"${COLLECTIVE_POSTGRES_DIR:-/opt/collective/postgres}/setup.sh" --in-container --only finish
