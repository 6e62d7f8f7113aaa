# shellcheck shell=bash
# Redis: started by start.sh as its container would, then asked.
# What run.sh and lib.sh set is used here.
# shellcheck disable=SC2154

# A server's place of its own under a name: folder, ports, environment.
rd_place() {
    rd=$work/$1
    mkdir -p "$rd/data" "$rd/bin"
    local name
    for name in port tls; do
        if ! [ -s "$rd/$name" ]; then free_port >"$rd/$name"; fi
    done
    rd_port=$(cat "$rd/port")
    rd_tls=$(cat "$rd/tls")
    copy_of redis "$rd/redis"
    # The data folder and the port of TLS are all that differs.
    sed -i "s#^dir /data#dir $rd/data#" "$rd/redis/redis.conf"
    sed -i "s#--tls-port 6380#--tls-port $rd_tls#" "$rd/redis/start.sh"
    install -m 0755 "$here/entrypoints/redis" "$rd/bin/docker-entrypoint.sh"
    rd_environment=(
        PATH="$rd/bin:$PATH" LANG=C.UTF-8 HOME="$rd"
        COLLECTIVE_REDIS_DATA="$rd/data" COLLECTIVE_RUN_DIR="$rd/redis.run" COLLECTIVE_TLS_DIR="$rd/tls-files"
        REDIS_HEALTH_PORT="$rd_port" COLLECTIVE_ENVIRONMENT=production
        REDIS_PASSWORD="$admin_secret" COLLECTIVE_REDIS_PASSWORD="$app_secret" REDIS_EXPORTER_PASSWORD="$monitor_secret"
    )
    keep_environment "$rd" "${rd_environment[@]}"
}

rd_run() { in_environment "$rd" "$@"; }

# Starts it with a file of settings; further words are settings of the environment
# up to `--`, then options of the server.
rd_launch() {
    local settings=$1 more=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        more+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    launch "$rd" in_environment "$rd" -C "$rd/data" "${more[@]}" \
        "$rd/redis/start.sh" redis-server "$rd/redis/$settings" --port "$rd_port" "$@"
}

rd_start() {
    rd_launch "$@"
    until_true 30 rd_run "$rd/redis/healthcheck.sh" || {
        tail -n 20 "$rd/log"
        return 1
    }
}

# An answer that is an error is a failure, which redis-cli leaves to its caller.
rd_as() {
    local user=$1 secret=$2
    shift 2
    env -i PATH="$PATH" REDISCLI_AUTH="$secret" redis-cli -e -h 127.0.0.1 -p "$rd_port" --user "$user" "$@"
}
rd_admin() { rd_as default "$admin_secret" "$@"; }
rd_server() { rd_as collective "$app_secret" "$@"; }
rd_exporter() { rd_as exporter "$monitor_secret" "$@"; }

rd_first_start() { rd_start redis.production.conf; }

rd_settings() {
    local name value
    while read -r name value; do
        same "$name $value" "$(rd_admin config get "$name" | tr '\n' ' ' | sed 's/ $//')"
    done <<'SETTINGS'
appendonly yes
appendfsync everysec
save 900 1 300 100 60 10000
maxmemory 4294967296
maxmemory-policy volatile-lru
maxclients 10000
SETTINGS
    same aof_enabled:1 "$(rd_admin info persistence | tr -d '\r' | grep aof_enabled)"
}

rd_may() {
    rd_server set collective:v:x 1 px 60000
    same 1 "$(rd_server get collective:v:x)"
    rd_server mget collective:v:x collective:v:y
    rd_server eval "return redis.call('SET', KEYS[1], 1, 'PX', 60000)" 1 collective:b:x
    rd_server del collective:v:x collective:b:x
    says maxmemory "$(rd_exporter info)"
    rd_exporter config get maxclients
    rd_exporter slowlog get 1
    rd_exporter latency latest
}

rd_may_not() {
    local denied=NOPERM
    refused $denied rd_server set other:x 1
    refused $denied rd_server get other:x
    refused $denied rd_server mget collective:v:x other:x
    refused "NOPERM|can't access" rd_server eval "return redis.call('SET', 'other:x', 1)" 1 collective:b:x
    refused "NOPERM|not allowed" rd_server eval "return redis.call('CONFIG', 'GET', 'save')" 1 collective:b:x
    refused $denied rd_server keys '*'
    refused $denied rd_server flushall
    refused $denied rd_server config get save
    refused $denied rd_server acl list
    refused $denied rd_server publish x y
    refused $denied rd_server config set save x
    refused $denied rd_exporter get collective:v:x
    refused $denied rd_exporter config set maxclients 1
    refused $denied rd_exporter acl list
    refused $denied rd_exporter keys '*'
    refused $denied rd_as health anything info
    refused $denied rd_as health anything get x
}

rd_logins() {
    refused NOAUTH env -i PATH="$PATH" redis-cli -e -h 127.0.0.1 -p "$rd_port" get x
    refused "WRONGPASS" rd_as default wrong ping
    refused "WRONGPASS" rd_as collective wrong ping
    refused "WRONGPASS" rd_as nobody x ping
}

# `redis-cli ping` ends with 0 for any answer; the check doesn't.
rd_health() {
    rd_run "$rd/redis/healthcheck.sh"
    says NOAUTH "$(env -i PATH="$PATH" redis-cli -h 127.0.0.1 -p "$rd_port" ping)"
    rd_admin acl setuser health resetpass
    refused "not PONG but .*WRONGPASS" rd_run "$rd/redis/healthcheck.sh"
    rd_admin acl setuser health nopass
    refused "not PONG but .*refused" rd_run REDIS_HEALTH_PORT=1 "$rd/redis/healthcheck.sh"
    kill -s STOP "$(cat "$rd/pid")"
    local status=0
    rd_run timeout 3 "$rd/redis/healthcheck.sh" || status=$?
    kill -s CONT "$(cat "$rd/pid")"
    # Ended by the limit, as coreutils or busybox say it.
    says '^(124|143)$' "$status"
}

# Some 20 MB of keys, in scripts: memory is looked at before each.
rd_fill() {
    local i
    for i in $(seq 1 20); do
        rd_admin eval "for i = 1, 2000 do redis.call('SET', '$1$i:' .. i, string.rep('x', 500), $2) end return 'ok'" 0 || return 1
    done >/dev/null
}

# What has a time to live gives way when memory is full; what has none stays.
rd_evicts() {
    rd_place small
    rd_start redis.production.conf -- --maxmemory 8mb
    rd_admin set session:keep precious
    rd_fill collective:v: "'PX', 600000"
    same precious "$(rd_admin get session:keep)"
    says '^evicted_keys:[1-9]' "$(rd_admin info stats | tr -d '\r')"
    # Only what must stay is left: it is told rather than thrown away.
    rd_admin flushall
    refused OOM rd_fill session: "'KEEPTTL'"
    stop "$rd"
}

rd_restarts() {
    rd_admin set session:a 1
    rd_server set collective:v:x 1 px 600000
    sleep 1.2
    kill_group "$(cat "$rd/pid")"
    rd_start redis.production.conf
    same 1 "$(rd_admin get session:a)"
    same 1 "$(rd_server get collective:v:x)"
    # A password that was changed in the running server outlives a restart with
    # the environment of before.
    rd_admin acl setuser collective resetpass '>changed-5ecret-of-the-te5t'
    rd_admin acl save
    stop "$rd"
    rd_start redis.production.conf
    rd_as collective changed-5ecret-of-the-te5t ping
    refused WRONGPASS rd_server ping
    # A changed environment counts.
    stop "$rd"
    rd_start redis.production.conf COLLECTIVE_REDIS_PASSWORD=third-5ecret-of-the-te5t-run
    rd_as collective third-5ecret-of-the-te5t-run ping
    stop "$rd"
    rd_start redis.production.conf
    rd_server ping
}

rd_no_secret_leaks() {
    stop "$rd"
    without_secrets_in_ps rd_start redis.production.conf
    same "" "$(grep -raoE "[a-z0-9]+-5ecret-of-the[a-z0-9-]*" "$rd/log" "$rd/data" "$rd/redis" | sort -u || true)"
    same "" "$(tr '\0' '\n' <"/proc/$(cat "$rd/pid")/environ" | grep 5ecret || true)"
    same 600 "$(stat -c %a "$rd/data/users.acl")"
}

rd_over_tls() {
    make_certificates "$rd/tls-files"
    stop "$rd"
    rd_start redis.production.conf
    local tls=(env -i PATH="$PATH" REDISCLI_AUTH="$app_secret" redis-cli -e -h localhost -p "$rd_tls" --tls --user collective)
    same PONG "$("${tls[@]}" --cacert "$rd/tls-files/ca.crt" ping)"
    make_certificates "$work/others"
    refused "certificate verify failed|SSL_connect" "${tls[@]}" --cacert "$work/others/ca.crt" ping
    stop "$rd"
    rd_launch redis.production.conf REDIS_REQUIRE_TLS=true
    until_true 20 rd_run REDIS_REQUIRE_TLS=true REDIS_HEALTH_PORT="$rd_tls" "$rd/redis/healthcheck.sh"
    # redis-cli as the stack's own commands call it.
    local cli=(rd_run REDIS_REQUIRE_TLS=true REDIS_TLS_PORT="$rd_tls" REDISCLI_AUTH="$admin_secret")
    same PONG "$("${cli[@]}" COLLECTIVE_CA_FILE="$rd/tls-files/ca.crt" "$rd/redis/cli.sh" -e ping)"
    refused "certificate verify failed|SSL_connect" "${cli[@]}" COLLECTIVE_CA_FILE="$work/others/ca.crt" "$rd/redis/cli.sh" -e ping
    refused "[Cc]onnection refused" rd_run REDISCLI_AUTH="$admin_secret" redis-cli -e -p "$rd_port" ping
    rm -r "$rd/tls-files"
    stop "$rd"
    rd_start redis.production.conf
}

rd_refuses_bad_input() {
    rd_place refusals
    local start=("$rd/redis/start.sh" redis-server "$rd/redis/redis.production.conf")
    refused "REDIS_PASSWORD is not set" rd_run REDIS_PASSWORD= "${start[@]}"
    refused "COLLECTIVE_REDIS_PASSWORD is not set" rd_run COLLECTIVE_REDIS_PASSWORD= "${start[@]}"
    refused "has 5 characters" rd_run REDIS_PASSWORD=short "${start[@]}"
    refused "both REDIS_PASSWORD and REDIS_PASSWORD_FILE" rd_run REDIS_PASSWORD_FILE=/dev/null "${start[@]}"
    refused "can't be read" rd_run REDIS_PASSWORD= REDIS_PASSWORD_FILE=/nowhere "${start[@]}"
    refused "REQUIRE_TLS is true and" rd_run REDIS_REQUIRE_TLS=true "${start[@]}"
    # From a file, with every odd character.
    printf '%s\n' "a\"b\\c'd\$e&f|g/h i%j-k" >"$work/odd.secret"
    rd_start redis.production.conf REDIS_PASSWORD= REDIS_PASSWORD_FILE="$work/odd.secret"
    rd_as default "$(cat "$work/odd.secret")" ping
    stop "$rd"
}

rd_environments() {
    local environment
    for environment in dev test staging; do
        rd_place "env-$environment"
        if [ "$environment" = staging ]; then
            rd_start redis.staging.conf COLLECTIVE_ENVIRONMENT=staging
            same 536870912 "$(rd_admin config get maxmemory | tail -1)"
        else
            rd_start "redis.$environment.conf" COLLECTIVE_ENVIRONMENT="$environment" REDIS_PASSWORD=redis123 \
                COLLECTIVE_REDIS_PASSWORD= REDIS_EXPORTER_PASSWORD=
            rd_as default redis123 ping
            rd_as collective redis123 ping
            rd_as exporter redis123 ping
        fi
        stop "$rd"
    done
}

redis_checks() {
    section "Redis $(redis-server --version | sed -n 's/.*v=\([0-9.]*\).*/\1/p'), redis.production.conf"
    rd_place cache
    check "it starts and is healthy" rd_first_start
    check "the document's settings are in force" rd_settings
    check "users may what they are for" rd_may
    check "users may nothing else" rd_may_not
    check "logins without the password are refused" rd_logins
    check "the health check looks at the answer" rd_health
    check "only keys with a time to live are evicted" rd_evicts
    check "restarts keep keys and passwords" rd_restarts
    check "no password in a command line, log, file or environment" rd_no_secret_leaks
    check "TLS: verified, required, and refused for another authority" rd_over_tls
    check "bad input is told, with what to do" rd_refuses_bad_input
    check "development, test and staging start too" rd_environments
}
