#!/bin/bash
# Gives Elasticsearch what the log pipeline needs: life cycle, templates, roles, users.
#
# Repeats without harm, and can be stopped at any point and run again. Passwords come
# from the environment or from files (NAME_FILE) and are never arguments.
#
#   ELASTICSEARCH_URL                default https://elasticsearch-1:9200
#   ELASTICSEARCH_CA                 default /certs/ca/ca.crt
#   ELASTIC_PASSWORD                 of the superuser `elastic`
#   LOGSTASH_ELASTICSEARCH_PASSWORD  user logstash_writer: adds lines, reads nothing
#   GRAFANA_ELASTICSEARCH_PASSWORD   user log_reader: reads lines
#   APM_ELASTICSEARCH_PASSWORD       user apm_writer: adds what the APM server gets
#   KIBANA_PASSWORD                  of the user kibana_system, that Kibana logs in as
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
url=${ELASTICSEARCH_URL:-https://elasticsearch-1:9200}
ca=${ELASTICSEARCH_CA:-/certs/ca/ca.crt}
wait_limit=${WAIT_LIMIT:-300}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

fail() {
  echo "elasticsearch/setup.sh: $1" >&2
  echo "hint: $2" >&2
  exit 1
}

# The value of a variable, or of the file that its _FILE names.
secret() {
  local name=$1 file="${1}_FILE"
  if [ -n "${!file:-}" ]; then
    [ -r "${!file}" ] || fail "$file names ${!file}, which can't be read" "correct the path or its rights"
    tr -d '\r\n' <"${!file}"
  else
    printf '%s' "${!name:-}"
  fi
}

elastic=$(secret ELASTIC_PASSWORD)
[ -n "$elastic" ] || fail "ELASTIC_PASSWORD is not set" "set it, or ELASTIC_PASSWORD_FILE"

# METHOD PATH; the body comes on standard input. The login goes by a file that only
# this process can see, so that no process list shows it.
call() {
  local trust=()
  case $url in https:*) trust=(--cacert "$ca") ;; esac
  curl --silent --show-error --max-time 60 --output "$answer" --write-out '%{http_code}' "${trust[@]}" \
    --config <(printf 'user = "elastic:%s"\n' "${elastic//\"/\\\"}") \
    --request "$1" --header 'content-type: application/json' --data-binary @- "$url$2"
}

put() {
  local status
  status=$(call PUT "$1") || fail "$url can't be reached" "is Elasticsearch up, and is $ca its certificate authority?"
  case $status in
  200 | 201) echo "  $1" ;;
  401) fail "Elasticsearch refuses the user elastic" "ELASTIC_PASSWORD counts at the first start only; reset it with elasticsearch-reset-password" ;;
  *) fail "PUT $1 gave $status: $(cat "$answer")" "the answer says what is wrong" ;;
  esac
}

wait_for_cluster() {
  local end=$((SECONDS + wait_limit)) status
  until status=$(call GET "/_cluster/health?wait_for_status=yellow&timeout=5s" </dev/null 2>/dev/null) && [ "$status" = 200 ]; do
    [ "$status" = 401 ] && fail "Elasticsearch refuses the user elastic" "compare ELASTIC_PASSWORD with the one of its first start"
    [ $SECONDS -lt $end ] || fail "the cluster isn't ready after $wait_limit s ($url)" "look at the log of elasticsearch-1"
    sleep 3
  done
}

# A user with a role of the same name; left out without a password.
user() {
  local name=$1 password
  put "/_security/role/$name" <"$here/roles/$name.json"
  password=$(secret "$2")
  if [ -z "$password" ]; then
    echo "  no user $name: $2 is not set"
    return
  fi
  case $password in *[\"\\]*) fail "$2 has a quote or a backslash" "use letters and digits" ;; esac
  put "/_security/user/$name" <<<"{\"password\":\"$password\",\"roles\":[\"$name\"]}"
}

echo "elasticsearch/setup.sh: $url"
wait_for_cluster
put /_ilm/policy/collective-logs <"$here/ilm-policy.json"
put /_component_template/collective-logs-fields <"$here/component-template.json"
put /_index_template/collective-logs <"$here/index-template.json"
user logstash_writer LOGSTASH_ELASTICSEARCH_PASSWORD
user log_reader GRAFANA_ELASTICSEARCH_PASSWORD
user apm_writer APM_ELASTICSEARCH_PASSWORD
kibana=$(secret KIBANA_PASSWORD)
if [ -n "$kibana" ]; then
  case $kibana in *[\"\\]*) fail "KIBANA_PASSWORD has a quote or a backslash" "use letters and digits" ;; esac
  put /_security/user/kibana_system/_password <<<"{\"password\":\"$kibana\"}"
fi
echo "elasticsearch/setup.sh: done"
