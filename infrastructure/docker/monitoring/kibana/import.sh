#!/bin/bash
# Puts collective.ndjson (data view, searches, boards) into Kibana; what is there
# under the same ids is replaced.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
url=${KIBANA_URL:-http://kibana:5601}
: "${ELASTIC_PASSWORD:?ELASTIC_PASSWORD is not set}"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# The login goes by a file that only this process sees.
status=$(curl --silent --show-error --max-time 120 --output "$answer" --write-out '%{http_code}' \
  --config <(printf 'user = "elastic:%s"\n' "${ELASTIC_PASSWORD//\"/\\\"}") \
  --header 'kbn-xsrf: true' --form "file=@$here/collective.ndjson;type=application/ndjson" \
  "$url/api/saved_objects/_import?overwrite=true")
if [ "$status" != 200 ] || ! grep -q '"success":true' "$answer"; then
  echo "kibana/import.sh: $url answered $status: $(head -c 500 "$answer")" >&2
  exit 1
fi
echo "kibana/import.sh: $(grep -o '"successCount":[0-9]*' "$answer")"
