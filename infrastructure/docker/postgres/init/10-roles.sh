#!/usr/bin/env bash
# Roles and what each may do, before anything is owned by one.
set -euo pipefail
"${COLLECTIVE_POSTGRES_DIR:-/opt/collective/postgres}/setup.sh" --in-container --only roles
