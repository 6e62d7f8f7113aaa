#!/usr/bin/env bash
# The container's entrypoint: the Erlang cookie, the definitions with this
# deployment's users, TLS where a certificate is mounted; then the image's own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${COLLECTIVE_RABBITMQ_HOME:-/var/lib/rabbitmq}
tls=${COLLECTIVE_TLS_DIR:-/etc/rabbitmq/tls}
own=$home/collective
run=${COLLECTIVE_RUN_DIR:-/run/collective}
umask 077

say() { echo "start: $*" >&2; }

fail() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# One cookie for all nodes of a cluster. The variable is deprecated, the file isn't.
write_cookie() {
    # ERLANG_COOKIE says the same without the warning that every rabbitmqctl gives
    # where it finds the other name in its environment.
    local cookie=${ERLANG_COOKIE:-${RABBITMQ_ERLANG_COOKIE:-}}
    if [ -z "$cookie" ] && [ -n "${RABBITMQ_ERLANG_COOKIE_FILE:-}" ]; then
        cookie=$(cat "$RABBITMQ_ERLANG_COOKIE_FILE") ||
            fail "the file of RABBITMQ_ERLANG_COOKIE_FILE can't be read"
    fi
    unset ERLANG_COOKIE RABBITMQ_ERLANG_COOKIE RABBITMQ_ERLANG_COOKIE_FILE
    [ -n "$cookie" ] || return 0
    [[ $cookie =~ ^[A-Za-z0-9+/=_-]{20,255}$ ]] || fail \
        "RABBITMQ_ERLANG_COOKIE has ${#cookie} characters, or others than letters, digits and +/=_-" \
        "whoever has it runs code on the node; take 20 or more: openssl rand -hex 32"
    printf '%s' "$cookie" >"$home/.erlang.cookie.new"
    chmod 0400 "$home/.erlang.cookie.new"
    mv -f "$home/.erlang.cookie.new" "$home/.erlang.cookie"
}

# The watermark counts from the memory that there is, which for a container is
# its limit; the broker sees the machine's.
memory_limit() {
    local file limit
    for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
        if [ -r "$file" ]; then limit=$(cat "$file") && break; fi
    done
    # "max", and what cgroups of version 1 say in its place, is no limit.
    if [[ ${limit:-max} =~ ^[0-9]{1,15}$ ]]; then echo "$limit"; fi
}

write_settings() {
    local memory
    memory=$(memory_limit)
    {
        echo "definitions.import_backend = local_filesystem"
        echo "definitions.local.path = $own/definitions.json"
        # A password that was changed in the running broker survives a restart
        # with the environment of before; a changed environment is imported.
        echo "definitions.skip_if_unchanged = true"
        if [ -n "$memory" ]; then echo "total_memory_available_override_value = $memory"; fi
        if [ -e "$tls/server.crt" ]; then
            echo "listeners.ssl.default = 5671"
            echo "ssl_options.certfile = $run/server.crt"
            echo "ssl_options.keyfile = $run/server.key"
            if [ -e "$tls/ca.crt" ]; then echo "ssl_options.cacertfile = $run/ca.crt"; fi
            echo "ssl_options.verify = verify_none"
            echo "ssl_options.versions.1 = tlsv1.3"
            echo "ssl_options.versions.2 = tlsv1.2"
            if [ "${RABBITMQ_REQUIRE_TLS:-false}" = true ]; then
                echo "listeners.tcp = none"
                # The page and its API take passwords too. Inside the container the
                # health check asks them; from outside they are asked over TLS.
                echo "management.tcp.ip = 127.0.0.1"
                echo "management.ssl.port = 15671"
                echo "management.ssl.certfile = $run/server.crt"
                echo "management.ssl.keyfile = $run/server.key"
                if [ -e "$tls/ca.crt" ]; then echo "management.ssl.cacertfile = $run/ca.crt"; fi
            fi
        fi
    } >"$own/conf.d/50-collective.conf.new"
    mv -f "$own/conf.d/50-collective.conf.new" "$own/conf.d/50-collective.conf"
}

# The broker's user may not be allowed to read what is mounted: it gets a copy.
copy_certificates() {
    local name
    if ! [ -e "$tls/server.crt" ]; then
        [ "${RABBITMQ_REQUIRE_TLS:-false}" != true ] || fail \
            "RABBITMQ_REQUIRE_TLS is true and $tls/server.crt is missing" \
            "mount server.crt and server.key at $tls"
        return 0
    fi
    [ -r "$tls/server.key" ] || fail "$tls/server.key is missing or can't be read" "mount it beside server.crt"
    mkdir -p "$run" || fail "the folder $run can't be made" "mount a tmpfs at $run"
    for name in server.crt server.key ca.crt; do
        if [ -e "$tls/$name" ]; then cat "$tls/$name" >"$run/$name"; fi
    done
    if is_root; then chown -R rabbitmq:rabbitmq "$run"; fi
}

[ $# -gt 0 ] || set -- rabbitmq-server
if [ "$1" = rabbitmq-server ]; then
    mkdir -p "$own/conf.d" || fail "$own can't be made" "is the volume writable for uid $(id -u)?"
    write_cookie
    # `rabbitmq-plugins enable` writes this file: it gets a copy.
    [ -z "${RABBITMQ_ENABLED_PLUGINS_FILE:-}" ] || cp "$here/enabled_plugins" "$RABBITMQ_ENABLED_PLUGINS_FILE"
    "$here/setup.sh" render "$own/definitions.json"
    copy_certificates
    write_settings
    if is_root; then
        chown -R rabbitmq:rabbitmq "$own"
        if [ -e "$home/.erlang.cookie" ]; then chown rabbitmq:rabbitmq "$home/.erlang.cookie"; fi
    fi
    export RABBITMQ_CONFIG_FILES="$own/conf.d/*.conf"
    # The administrator is among the definitions; the broker's log needs no passwords.
    unset RABBITMQ_DEFAULT_USER RABBITMQ_DEFAULT_PASS RABBITMQ_PASSWORD COLLECTIVE_RABBITMQ_PASSWORD \
        RABBITMQ_MONITOR_PASSWORD
fi
exec docker-entrypoint.sh "$@"
