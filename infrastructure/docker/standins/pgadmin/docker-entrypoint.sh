#!/bin/sh
# The contract of the official image's entrypoint, as far as the stack uses it.
set -e
package=$(/venv/bin/python3 -c 'import os, pgadmin4; print(os.path.dirname(pgadmin4.__file__))')
for name in PGADMIN_DEFAULT_EMAIL PGADMIN_DEFAULT_PASSWORD; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || { echo "error: $name is not set" >&2; exit 1; }
done
export PGADMIN_SETUP_EMAIL="$PGADMIN_DEFAULT_EMAIL" PGADMIN_SETUP_PASSWORD="$PGADMIN_DEFAULT_PASSWORD"
export SERVER_MODE=True
cat >/tmp/config_local.py <<'C'
import os
DATA_DIR = "/var/lib/pgadmin"
SQLITE_PATH = "/var/lib/pgadmin/pgadmin4.db"
SESSION_DB_PATH = "/var/lib/pgadmin/sessions"
STORAGE_DIR = "/var/lib/pgadmin/storage"
LOG_FILE = "/dev/null"
SERVER_MODE = True
C
export PYTHONPATH="/tmp:$package"
cd "$package"
[ -e /var/lib/pgadmin/pgadmin4.db ] || /venv/bin/python3 setup.py setup-db
if [ -n "${PGADMIN_SERVER_JSON_FILE:-}" ] && [ -e "$PGADMIN_SERVER_JSON_FILE" ] && ! [ -e /var/lib/pgadmin/.servers ]; then
    /venv/bin/python3 setup.py load-servers "$PGADMIN_SERVER_JSON_FILE" --user "$PGADMIN_DEFAULT_EMAIL"
    touch /var/lib/pgadmin/.servers
fi
exec /venv/bin/gunicorn --bind "0.0.0.0:${PGADMIN_LISTEN_PORT:-80}" --workers=1 --threads=8 --worker-tmp-dir /tmp pgAdmin4:app
