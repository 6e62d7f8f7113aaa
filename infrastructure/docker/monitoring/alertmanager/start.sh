#!/bin/sh
# Starts Alertmanager with the ways to tell somebody that secrets are there for.
#
# One file per secret in ALERT_SECRETS_DIR (default /run/secrets/alertmanager):
#   webhook_url    every alert goes there as JSON
#   slack_url      an incoming webhook of Slack; every alert
#   pagerduty_key  an integration key (Events API v2); critical alerts
#   smtp_password  e-mail; every alert. Needs ALERT_SMTP_HOST (HOST:PORT),
#                  ALERT_EMAIL_TO, and ALERT_EMAIL_FROM; ALERT_SMTP_USER if it
#                  isn't the sender
#   deadman_url    the watchdog goes there every minute
# A file that is missing or empty is a way that isn't used. The result is a file
# in ALERT_CONFIG_DIR (default /tmp) that only this user can read; no secret is
# an argument, and none but the URL of a webhook leaves its file.
set -eu
umask 077

secrets=${ALERT_SECRETS_DIR:-/run/secrets/alertmanager}
template=${ALERT_TEMPLATE:-/etc/alertmanager/alertmanager.yml}
result=${ALERT_CONFIG_DIR:-/tmp}/alertmanager.yml

fail() {
  echo "alertmanager/start.sh: $1" >&2
  echo "hint: $2" >&2
  exit 78
}

# Whether a secret is there: a file with something in it.
has() {
  [ -s "$secrets/$1" ] || return 1
  [ -r "$secrets/$1" ] || fail "$secrets/$1 can't be read" "give the file to the user that Alertmanager runs as, $(id -u)"
}

# A URL from its file, fit to stand in YAML between quotes.
url() {
  value=$(tr -d '\r\n' <"$secrets/$1")
  case $value in
  http://?* | https://?*) ;;
  *) fail "$secrets/$1 is no http or https URL" "write the whole URL into the file, nothing else" ;;
  esac
  case $value in
  *[!A-Za-z0-9:/?\&=._~%+@,\;\#-]*) fail "$secrets/$1 has a character that a URL can't have" "percent-encode it" ;;
  esac
  printf '%s' "$value"
}

# A setting that stands in YAML between quotes.
setting() {
  eval "value=\${$1:-}"
  [ -n "$value" ] || fail "$1 is not set, but $secrets/smtp_password is there" "set it, or empty the file"
  case $value in
  *[\"\\]*) fail "$1 has a quote or a backslash" "remove it" ;;
  esac
  printf '%s' "$value"
}

webhook() {
  target=$(url "$1")
  printf '    webhook_configs:\n      - url: "%s"\n        send_resolved: true\n' "$target"
}

slack() {
  cat <<YAML
    slack_configs:
      - api_url_file: $secrets/slack_url
        send_resolved: true
        title: '{{ .Status | toUpper }} {{ .CommonLabels.alertname }}'
        text: >-
          {{ range .Alerts }}{{ .Annotations.summary }}. {{ .Annotations.description }} See {{ .Annotations.runbook_url }}

          {{ end }}
YAML
}

pagerduty() {
  cat <<YAML
    pagerduty_configs:
      - routing_key_file: $secrets/pagerduty_key
        send_resolved: true
        description: '{{ .CommonLabels.alertname }}: {{ (index .Alerts 0).Annotations.summary }}'
YAML
}

email() {
  host=$(setting ALERT_SMTP_HOST)
  to=$(setting ALERT_EMAIL_TO)
  from=$(setting ALERT_EMAIL_FROM)
  cat <<YAML
    email_configs:
      - to: "$to"
        from: "$from"
        smarthost: "$host"
        auth_username: "${ALERT_SMTP_USER:-$from}"
        auth_password_file: $secrets/smtp_password
        require_tls: ${ALERT_SMTP_TLS:-true}
        send_resolved: true
YAML
}

# What everybody hears of.
ways() {
  if has webhook_url; then webhook webhook_url; fi
  if has slack_url; then slack; fi
  if has smtp_password; then email; fi
}

[ -r "$template" ] || fail "$template can't be read" "mount monitoring/alertmanager/alertmanager.yml there"
{
  sed '/^receivers:/,$d' "$template"
  echo "receivers:"
  echo "  - name: team"
  ways
  echo "  - name: night"
  ways
  if has pagerduty_key; then pagerduty; fi
  echo "  - name: deadman"
  if has deadman_url; then webhook deadman_url; fi
} >"$result"

used=""
for secret in webhook_url slack_url smtp_password pagerduty_key deadman_url; do
  if has "$secret"; then used="$used $secret"; fi
done
echo "alertmanager/start.sh: alerts go out by:${used:- nothing, no secret is there}" >&2

# Its page is under a path of the proxy, which takes it off; inside nothing moves.
if [ -n "${ALERTMANAGER_EXTERNAL_URL:-}" ]; then
  set -- "$@" --web.external-url="$ALERTMANAGER_EXTERNAL_URL" --web.route-prefix=/
fi
exec "${ALERTMANAGER:-/bin/alertmanager}" --config.file="$result" "$@"
