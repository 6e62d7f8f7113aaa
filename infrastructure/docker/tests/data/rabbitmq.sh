# shellcheck shell=bash
# What run.sh and lib.sh set is used here.
# shellcheck disable=SC2154
# RabbitMQ: started by start.sh as its container would, then asked.

# A broker's place of its own under a name: folder, ports, port mapper, environment.
mq_place() {
    mq=$work/$1
    mkdir -p "$mq/home" "$mq/logs" "$mq/bin"
    local name
    for name in port http https metrics tls distribution mapper; do
        if ! [ -s "$mq/$name" ]; then free_port >"$mq/$name"; fi
    done
    mq_port=$(cat "$mq/port")
    mq_http=$(cat "$mq/http")
    copy_of rabbitmq "$mq/rabbitmq"
    # The ports are the only lines that differ from the file of the repository.
    sed -i -e "s/^listeners.tcp.default = 5672/listeners.tcp.default = $mq_port/" \
        -e "s/^management.tcp.port = 15672/management.tcp.port = $mq_http/" \
        -e "s/^prometheus.tcp.port = 15692/prometheus.tcp.port = $(cat "$mq/metrics")/" "$mq/rabbitmq/rabbitmq.conf"
    sed -i -e "s/listeners.ssl.default = 5671/listeners.ssl.default = $(cat "$mq/tls")/" \
        -e "s/management.ssl.port = 15671/management.ssl.port = $(cat "$mq/https")/" "$mq/rabbitmq/start.sh"
    sed -i "s/amqp=5671/amqp=$(cat "$mq/tls")/" "$mq/rabbitmq/healthcheck.sh"
    install -m 0755 "$here/entrypoints/rabbitmq" "$mq/bin/docker-entrypoint.sh"
    mq_environment=(
        PATH="$mq/bin:$mq_bin:$PATH" LANG=C.UTF-8 HOME="$mq/home"
        ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$(cat "$mq/mapper")"
        RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE="$mq/rabbitmq/rabbitmq.conf"
        RABBITMQ_ENABLED_PLUGINS_FILE="$mq/home/enabled_plugins"
        RABBITMQ_MNESIA_BASE="$mq/home/mnesia" RABBITMQ_LOG_BASE="$mq/logs" RABBITMQ_PID_FILE="$mq/home/broker.pid"
        RABBITMQ_NODENAME=checked@localhost RABBITMQ_DIST_PORT="$(cat "$mq/distribution")"
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
        COLLECTIVE_RABBITMQ_HOME="$mq/home" COLLECTIVE_RUN_DIR="$mq/rabbitmq.run" COLLECTIVE_TLS_DIR="$mq/tls-files"
        RABBITMQ_HEALTH_AMQP_PORT="$mq_port" RABBITMQ_HEALTH_HTTP_PORT="$mq_http"
        RABBITMQ_USER=admin RABBITMQ_PASSWORD="$admin_secret" COLLECTIVE_RABBITMQ_PASSWORD="$app_secret"
        RABBITMQ_MONITOR_PASSWORD="$monitor_secret" COLLECTIVE_ENVIRONMENT=production
    )
    keep_environment "$mq" "${mq_environment[@]}"
}

mq_run() { in_environment "$mq" "$@"; }

mq_launch() {
    if ! [ -e "$mq/mapper.log" ]; then
        setsid epmd -address 127.0.0.1 -port "$(cat "$mq/mapper")" >"$mq/mapper.log" 2>&1 </dev/null &
        echo $! >>"$work/pids"
    fi
    launch "$mq" in_environment "$mq" RABBITMQ_ERLANG_COOKIE=c00kie-5ecret-of-the-te5t-run "$@" \
        "$mq/rabbitmq/start.sh" rabbitmq-server
}

mq_start() {
    mq_launch "$@"
    until_true 90 mq_run "$mq/rabbitmq/healthcheck.sh" || {
        tail -n 20 "$mq/log"
        return 1
    }
}

mq_stop() { stop "$mq"; }

mq_control() { mq_run rabbitmqctl --quiet "$@"; }

# What the running broker has in force for a key of its environment.
mq_value() { mq_control eval "{ok, V} = application:get_env($1, $2), V."; }

amqp() {
    local user=$1 secret=$2
    shift 2
    "$work/python/bin/python" "$here/amqp.py" "amqp://$user:$secret@127.0.0.1:$mq_port/%2F?heartbeat=30" "$@"
}
collective() { amqp collective "$app_secret" "$@"; }

api() { curl -sS --fail-with-body -K - "http://127.0.0.1:$mq_http/api/$2" <<<"user = \"$1\""; }

mq_first_start() {
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install -q --disable-pip-version-check -r "$root/examples/amqp-agents/python/requirements.txt"
    mq_start
}

mq_settings() {
    same "[]" "$(mq_value rabbit loopback_users)"
    same "[{\"auto\",$mq_port}]" "$(mq_value rabbit tcp_listeners | tr -d '\n ' | sed 's/{"[^"]*"/{"auto"/')" ||
        same "[$mq_port]" "$(mq_value rabbit tcp_listeners | tr -d '\n ')"
    says "$mq_http" "$(mq_value rabbitmq_management tcp_config)"
    same 0.6 "$(mq_value rabbit vm_memory_high_watermark)"
    says '"2GB"|2000000000' "$(mq_value rabbit disk_free_limit)"
    same 2000000000 "$(mq_control eval 'rabbit_disk_monitor:get_disk_free_limit().')"
    same 60 "$(mq_value rabbit heartbeat)"
    same 2048 "$(mq_value rabbit channel_max)"
    local plugin
    for plugin in rabbitmq_management rabbitmq_prometheus rabbitmq_shovel; do
        mq_run rabbitmq-plugins is_enabled "$plugin"
    done
    grep -q '^loopback_users.guest = false$' "$docker_dir/rabbitmq/rabbitmq.conf"
    says '^rabbitmq_build_info' "$(curl -sS --fail "http://127.0.0.1:$(cat "$mq/metrics")/metrics")"
}

# Users, permissions, policies and topology, without the verifiers of passwords.
mq_shape() {
    api "admin:$admin_secret" definitions |
        jq -S '{users, permissions, policies, exchanges, queues, bindings} | del(.users[].password_hash) | map_values(sort)'
}

mq_topology_is_the_servers() {
    # What is declared with other arguments closes the channel.
    says "PRECONDITION_FAILED" "$(amqp admin "$admin_secret" exchange agent.results 2>&1 || true)"
    same "6 2 7" "$(mq_shape | jq -r '"\(.exchanges | length) \(.queues | length) \(.bindings | length)"')"
}

mq_twice() {
    local before
    before=$(mq_shape)
    mq_control add_user guest guest
    mq_run "$mq/rabbitmq/setup.sh"
    same "$before" "$(mq_shape)"
    collective login
}

mq_dry_run() {
    local before said
    before=$(mq_shape)
    said=$(mq_run "$mq/rabbitmq/setup.sh" --dry-run 2>&1)
    says "would set users admin, collective, monitor" "$said"
    same "$before" "$(mq_shape)"
}

# Killed before, while and after the broker imports, on a broker that lost what
# is set; then run to its end.
mq_killed() {
    local want point
    want=$(mq_shape)
    cat >"$mq/bin/killing-ctl" <<'KILLER'
#!/usr/bin/env bash
# rabbitmqctl, during which the one who calls it is killed.
point=$(cat "$0.point")
case "$point $*" in
"before "*import_definitions*) kill -s KILL 0 ;;
"while "*import_definitions*)
    rabbitmqctl "$@" &
    sleep 1
    kill -s KILL 0
    ;;
"after "*list_users*) kill -s KILL 0 ;;
*) exec rabbitmqctl "$@" ;;
esac
KILLER
    chmod +x "$mq/bin/killing-ctl"
    for point in before while after; do
        mq_control delete_user collective
        mq_control clear_policy agent-dead
        mq_control delete_queue agent.dead
        echo "$point" >"$mq/bin/killing-ctl.point"
        if setsid -w "$here/environment.sh" "$mq/environment" RABBITMQCTL=killing-ctl "$mq/rabbitmq/setup.sh"; then
            echo "it was not killed $point the import"
            return 1
        fi
        mq_run "$mq/rabbitmq/setup.sh"
        same "$want" "$(mq_shape)"
    done
}

mq_collective_may() {
    collective login
    collective own
    collective publish agent.status default.task.created
    collective publish agent.news "" "[]"
    collective publish agent.dead registered "{}"
    collective get agent.dead
    collective get agent.results
    amqp admin "$admin_secret" declare agent.tasks.default.queue.x.normal
    collective get agent.tasks.default.queue.x.normal
    collective publish "" agent.dead "{}"
    amqp admin "$admin_secret" remove agent.tasks.default.queue.x.normal
}

mq_collective_may_not() {
    local denied=ACCESS_REFUSED
    refused $denied collective declare mine
    refused $denied collective declare agent.other
    refused $denied collective exchange mine
    refused $denied collective remove mine
    refused $denied collective publish amq.topic x
    refused $denied collective publish agent.brainstorm x
    refused $denied collective get mine
    refused "not_authorised|Not management user" api "collective:$app_secret" overview
}

mq_monitor() {
    says '"management_version"' "$(api "monitor:$monitor_secret" overview)"
    says '"agent.results"' "$(api "monitor:$monitor_secret" queues)"
    refused "ACCESS_REFUSED|NOT_ALLOWED|connection limit|ConnectionClosed|ProbableAccess" amqp monitor "$monitor_secret" login
    refused "not_authorised|401|403" curl -sS --fail-with-body -X PUT -K - -H 'content-type: application/json' -d '{"type":"topic"}' \
        "http://127.0.0.1:$mq_http/api/exchanges/%2F/mine" <<<"user = \"monitor:$monitor_secret\""
    refused "not_authorised|401|403" api "monitor:$monitor_secret" definitions
}

mq_logins() {
    refused "ACCESS_REFUSED|ProbableAuthentication" amqp guest guest login
    refused "ACCESS_REFUSED|ProbableAuthentication" amqp collective wrong login
    refused "ACCESS_REFUSED|ProbableAuthentication" amqp admin guest login
    same "admin collective monitor" "$(mq_shape | jq -r '[.users[].name] | join(" ")')"
}

mq_agent_user() {
    local denied=ACCESS_REFUSED ada=ada-5ecret-of-the-te5t-run queue
    for queue in default.queue.default default.agent.ada default.role.worker default.agent.bob red.queue.default default:x.queue.default; do
        amqp admin "$admin_secret" declare "agent.tasks.$queue.normal"
    done
    mq_run RABBITMQ_AGENT_PASSWORD=$ada "$mq/rabbitmq/setup.sh" agent-user ada default
    mq_run RABBITMQ_AGENT_PASSWORD=$ada "$mq/rabbitmq/setup.sh" agent-user ada default
    ada() { amqp default.ada $ada "$@"; }
    ada get agent.tasks.default.queue.default.normal
    ada get agent.tasks.default.agent.ada.normal
    ada get agent.tasks.default.role.worker.normal
    ada publish agent.results started
    refused $denied ada get agent.tasks.default.agent.bob.normal
    refused $denied ada get agent.tasks.red.queue.default.normal
    refused $denied ada get agent.tasks.default:x.queue.default.normal
    refused $denied ada get agent.results
    refused $denied ada get agent.dead
    refused $denied ada publish agent.tasks default.queue.default.normal
    refused $denied ada publish agent.status x
    refused $denied ada publish agent.dead x
    refused $denied ada publish "" agent.results
    refused $denied ada declare mine
    refused $denied ada remove agent.tasks.default.queue.default.normal
    refused "is no name" mq_run RABBITMQ_AGENT_PASSWORD=$ada "$mq/rabbitmq/setup.sh" agent-user 'a.*' default
    refused "has 5 characters" mq_run RABBITMQ_AGENT_PASSWORD=short "$mq/rabbitmq/setup.sh" agent-user eve default
    refused "there is no password for default.eve" mq_run "$mq/rabbitmq/setup.sh" agent-user eve default
    mq_run "$mq/rabbitmq/setup.sh" agent-user eve default --output "$mq/eve.secret"
    same 600 "$(stat -c %a "$mq/eve.secret")"
    amqp default.eve "$(cat "$mq/eve.secret")" login
    refused "is there already" mq_run "$mq/rabbitmq/setup.sh" agent-user eve default --output "$mq/eve.secret"
    mq_run "$mq/rabbitmq/setup.sh" remove-agent-user eve default
    mq_run "$mq/rabbitmq/setup.sh" remove-agent-user eve default
    refused "ACCESS_REFUSED|ProbableAuthentication" amqp default.eve "$(cat "$mq/eve.secret")" login
    mq_run "$mq/rabbitmq/setup.sh" remove-agent-user ada default
    for queue in default.queue.default default.agent.ada default.role.worker default.agent.bob red.queue.default default:x.queue.default; do
        amqp admin "$admin_secret" remove "agent.tasks.$queue.normal"
    done
}

mq_no_secret_leaks() {
    without_secrets_in_ps mq_run "$mq/rabbitmq/setup.sh"
    same "" "$(grep -raoE "[a-z0-9]+-5ecret-of-the[a-z0-9-]*" "$mq/log" "$mq/logs" "$mq/home/collective" "$mq/rabbitmq" | sort -u || true)"
    same 600 "$(stat -c %a "$mq/home/collective/definitions.json")"
    # The broker itself knows hashes and its cookie.
    local pid
    pid=$(cat "$mq/pid")
    same "" "$(tr '\0' '\n' <"/proc/$pid/environ" | grep -oE "(PASS|PASSWORD|COOKIE)=.*5ecret.*" || true)"
}

mq_restarts() {
    # A password that was changed in the running broker outlives a restart with
    # the environment of before.
    mq_control change_password collective <<<"changed-5ecret-of-the-te5t" >/dev/null
    mq_stop
    mq_start
    amqp collective changed-5ecret-of-the-te5t login
    refused "ACCESS_REFUSED|ProbableAuthentication" collective login
    # A changed environment counts.
    mq_stop
    mq_start COLLECTIVE_RABBITMQ_PASSWORD=third-5ecret-of-the-te5t-run
    amqp collective third-5ecret-of-the-te5t-run login
    mq_stop
    mq_start
    collective login
    mq_control purge_queue agent.dead
    collective publish "" agent.dead kept
    kill_group "$(cat "$mq/pid")"
    mq_start
    same kept "$(collective get agent.dead)"
}

mq_over_tls() {
    make_certificates "$mq/tls-files"
    mq_stop
    mq_start
    "$work/python/bin/python" "$here/amqp.py" "amqps://collective:$app_secret@localhost:$(cat "$mq/tls")/%2F" login "$mq/tls-files/ca.crt"
    make_certificates "$work/others"
    refused "CERTIFICATE_VERIFY_FAILED|SSL|certificate" "$work/python/bin/python" "$here/amqp.py" \
        "amqps://collective:$app_secret@localhost:$(cat "$mq/tls")/%2F" login "$work/others/ca.crt"
    mq_requires_tls
    rm -r "$mq/tls-files"
    mq_stop
    mq_start
}

# Nobody comes without: the health check follows, AMQP and the page's API are there
# over TLS alone, and the check itself leaves nothing in the log.
mq_requires_tls() {
    local https lines address
    https=$(cat "$mq/https")
    mq_stop
    mq_launch RABBITMQ_REQUIRE_TLS=true
    until_true 90 mq_run RABBITMQ_HEALTH_AMQP_PORT= RABBITMQ_REQUIRE_TLS=true "$mq/rabbitmq/healthcheck.sh"
    refused "nothing listens for AMQP" mq_run "$mq/rabbitmq/healthcheck.sh"
    refused "[Cc]onnection refused|Errno 111" collective login
    "$work/python/bin/python" "$here/amqp.py" "amqps://collective:$app_secret@localhost:$(cat "$mq/tls")/%2F" login "$mq/tls-files/ca.crt"
    curl -sS --fail-with-body --cacert "$mq/tls-files/ca.crt" -K - "https://localhost:$https/api/whoami" >/dev/null <<<"user = \"admin:$admin_secret\""
    # Plain it is for the container itself.
    address=$(hostname -I | awk '{ print $1 }')
    refused "[Cc]ouldn't connect|Failed to connect" curl -sS --max-time 5 "http://$address:$mq_http/api/auth"
    lines=$(cat "$mq"/logs/*.log "$mq/log" | wc -l)
    mq_run RABBITMQ_HEALTH_AMQP_PORT= RABBITMQ_REQUIRE_TLS=true "$mq/rabbitmq/healthcheck.sh"
    # What the broker has to say of it, it says at once; there is nothing to wait for.
    sleep 1
    same "" "$(cat "$mq"/logs/*.log "$mq/log" | tail -n +"$((lines + 1))" | grep -iE 'error|tls|handshake' || true)"
}

mq_refuses_bad_input() {
    mq_place refusals
    local setup=("$mq/rabbitmq/setup.sh")
    refused "RABBITMQ_PASSWORD is not set" mq_run RABBITMQ_PASSWORD= "$mq/rabbitmq/start.sh" rabbitmq-server
    refused "COLLECTIVE_RABBITMQ_PASSWORD is not set" mq_run COLLECTIVE_RABBITMQ_PASSWORD= "${setup[@]}"
    refused "has 5 characters" mq_run COLLECTIVE_RABBITMQ_PASSWORD=short "${setup[@]}"
    refused "RABBITMQ_USER is guest" mq_run RABBITMQ_USER=guest "${setup[@]}"
    refused "service's user" mq_run RABBITMQ_USER=collective "${setup[@]}"
    refused "has characters other" mq_run RABBITMQ_USER='a"b' "${setup[@]}"
    refused "RABBITMQ_ERLANG_COOKIE has 4 characters" mq_run RABBITMQ_ERLANG_COOKIE=weak "$mq/rabbitmq/start.sh" rabbitmq-server
    refused "REQUIRE_TLS is true and" mq_run RABBITMQ_REQUIRE_TLS=true "$mq/rabbitmq/start.sh" rabbitmq-server
    refused "doesn't answer within 1 s" mq_run COLLECTIVE_SETUP_WAIT=1 RABBITMQ_NODENAME=nobody@localhost "${setup[@]}"
    refused "is not understood" mq_run "${setup[@]}" frobnicate
    refused "nothing listens for AMQP" mq_run "$mq/rabbitmq/healthcheck.sh"
    # A password with every odd character, and from a file.
    printf '%s\n' "a\"b\\c'd\$e&f|g/h i%j-k" >"$work/odd.secret"
    mq_run COLLECTIVE_RABBITMQ_PASSWORD= COLLECTIVE_RABBITMQ_PASSWORD_FILE="$work/odd.secret" "${setup[@]}" render "$mq/odd.json"
    python3 - "$mq/odd.json" "$work/odd.secret" <<'PYTHON'
import base64, hashlib, json, sys
user = {u["name"]: u for u in json.load(open(sys.argv[1]))["users"]}["collective"]
raw = base64.b64decode(user["password_hash"])
secret = open(sys.argv[2]).read().rstrip("\n").encode()
assert raw[4:] == hashlib.sha256(raw[:4] + secret).digest(), "another hash"
PYTHON
}

rabbitmq_checks() {
    section "RabbitMQ $(dpkg-query -W -f '${Version}' rabbitmq-server 2>/dev/null | sed 's/-.*//'), rabbitmq.conf"
    mq_place broker
    check "the first start makes users and topology, then is healthy" mq_first_start
    check "the document's settings are in force" mq_settings
    check "the topology is the server's" mq_topology_is_the_servers
    check "setup.sh changes nothing the second time, but for guest" mq_twice
    check "setup.sh --dry-run changes nothing" mq_dry_run
    check "setup.sh killed before, while and after it imports goes on where it was" mq_killed
    check "collective may what the server does" mq_collective_may
    check "collective may nothing else" mq_collective_may_not
    check "monitor sees and touches nothing" mq_monitor
    check "guest and wrong passwords are refused" mq_logins
    check "an agent's user has its team's queues and agent.results" mq_agent_user
    check "no password in a command line, log, file or environment" mq_no_secret_leaks
    check "restarts keep passwords and messages" mq_restarts
    check "TLS: verified, required, and refused for another authority" mq_over_tls
    check "bad input is told, with what to do" mq_refuses_bad_input
}
