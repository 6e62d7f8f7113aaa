# shellcheck shell=bash
# What must hold of a running stack. Each prints why it doesn't, and returns 1.

# Like `grep -q`, but reads to the end: who writes is never cut off, which
# pipefail would take for a failure.
has() { grep "$@" >/dev/null; }

config_is_valid() {
    local at folder said services_here first=""
    for at in "infrastructure/docker/compose/" "compose/" ""; do
        case $at in
        infrastructure*) folder=$tree ;;
        compose/) folder=$tree/infrastructure/docker ;;
        *) folder=$tree/infrastructure/docker/compose ;;
        esac
        files_of "$at" "$combination"
        said=$(compose "$version" "$folder" "${options[@]}" config) || return 1
        # The .env was read, and means the same from everywhere.
        has "${prefix}agent_postgres" <<<"$said" || { echo "the .env isn't read in $folder" && return 1; }
        services_here=$(python3 "$here/services.py" <<<"$said" | sort)
        [ -z "$first" ] || [ "$first" = "$services_here" ] || { echo "another result in $folder" && return 1; }
        first=$services_here
    done
    case $combination in
    staging | production | production+monitoring) required_are_refused ;;
    esac
}

# Without a variable that it needs nothing starts, and the message says how to
# make one.
required_are_refused() {
    local name said
    files_of "" "$combination"
    for name in $(cd "$tree/infrastructure/docker/compose" && grep -ohE '\$\{[A-Z_]+:\?' override."${combination%%+*}".yml \
        $([[ $combination != *+monitoring ]] || echo override.monitoring.yml) | tr -dc 'A-Z_\n' | sort -u); do
        cp "$tree/.env" "$tree/.env.kept"
        sed -i "/^$name=/d" "$tree/.env"
        files_of "" "$combination"
        if said=$(compose "$version" "$tree/infrastructure/docker/compose" "${options[@]}" config 2>&1); then
            mv "$tree/.env.kept" "$tree/.env"
            echo "$name may be missing"
            return 1
        fi
        mv "$tree/.env.kept" "$tree/.env"
        has "$name is not set; .*collective stack init" <<<"$said" || { echo "the message for $name: $said" && return 1; }
    done
}

task_goes_through() {
    local said answer
    said=through-$RANDOM$RANDOM
    answer=$(cli task add "a task" --prompt "$said" --wait --for 60s --json) || { echo "$answer" && return 1; }
    has "\"text\": \"$said\"" <<<"$answer" || { echo "another result: $answer" && return 1; }
}

only_own_tasks() {
    task_goes_through || return 1
    local count
    count=$(cli task list --json | grep -c '"title": "a task"')
    [ "$count" = 1 ] || { echo "$count tasks where one was made" && return 1; }
}

# The published ports of every container, as HOST_ADDRESS:PORT lines.
published() {
    local id
    for id in $(containers); do
        "$docker" inspect --format '{{ $name := .Name }}{{ range $port, $bound := .HostConfig.PortBindings }}{{ range $bound }}{{ $name }} {{ .HostIp }}:{{ .HostPort }}{{ println }}{{ end }}{{ end }}' "$id"
    done | grep -v '^$' || true
}

connects() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

ports_are_as_promised() {
    local bound name port address
    bound=$(published)
    if grep -v ' 127\.0\.0\.1:' <<<"$bound" | has .; then echo "published beyond this machine: $bound" && return 1; fi
    case $combination in
    production | production+monitoring)
        [ -z "$bound" ] || { echo "published: $bound" && return 1; }
        # Every port that another environment would publish, on every address here.
        for name in $(sed -n 's/^\([A-Z_]*_PORT\)=.*/\1/p' "$tree/.env"); do
            port=$(value_of "$name")
            for address in 127.0.0.1 $(hostname -I); do
                if connects "$address" "$port"; then echo "$name answers on $address:$port" && return 1; fi
            done
        done
        ;;
    production*+proxy*)
        [ "$(grep -c . <<<"$bound")" = 2 ] || { echo "published: $bound" && return 1; }
        ;;
    staging)
        [ "$(grep -vc grafana <<<"$bound")" = 1 ] || { echo "published: $bound" && return 1; }
        connects 127.0.0.1 "$(value_of SERVER_PORT)" || { echo "the server's port is closed" && return 1; }
        ;;
    *)
        for name in POSTGRES_PORT REDIS_PORT RABBITMQ_PORT RABBITMQ_MANAGEMENT_PORT SERVER_PORT PROMETHEUS_PORT; do
            connects 127.0.0.1 "$(value_of "$name")" || { echo "$name is closed" && return 1; }
        done
        ;;
    esac
}

# Every container (the engine itself adds the label where a process sees the host's):
# no new privileges, capabilities dropped, bounds on memory, CPU
# and processes, an init, a log that can't fill the disk, and no root file system
# that can be written, but for those that are named. The engine itself adds
# `label=disable` to a container that looks at the processes of the host.
containers_are_confined() {
    local id line
    for id in $(containers); do
        line=$("$docker" inspect --format '{{ index .Config.Labels "com.docker.compose.service" }} {{ .HostConfig.SecurityOpt }} {{ .HostConfig.CapDrop }} {{ .HostConfig.Memory }} {{ .HostConfig.NanoCpus }} {{ .HostConfig.Init }} {{ index .HostConfig.LogConfig.Config "max-size" }} {{ .HostConfig.ReadonlyRootfs }} {{ .HostConfig.Privileged }}' "$id")
        [[ $line =~ ^([a-z0-9-]+)\ \[no-new-privileges:true(\ label=disable)?\]\ \[ALL\]\ [1-9][0-9]*\ [1-9][0-9]*\ (true|0x[0-9a-f]+)\ [0-9]+m\ (true|false)\ false$ ]] ||
            { echo "not confined: $line" && return 1; }
        case ${BASH_REMATCH[1]}:${BASH_REMATCH[4]} in
        *:true | pgadmin:* | redis-commander:* | redis-insight:*) ;;
        *) echo "the root of ${BASH_REMATCH[1]} can be written" && return 1 ;;
        esac
    done
}

# reaches SERVICE HOST PORT: whether that service's container gets a connection.
reaches() { "$docker" exec "$(container_of "$1")" timeout 3 bash -c "exec 3<>/dev/tcp/$2/$3" 2>/dev/null; }

networks_are_split() {
    reaches worker server 7420 || { echo "the worker can't reach the server" && return 1; }
    local amqp=5672
    if [[ $combination == *+tls ]]; then amqp=5671; fi
    reaches worker rabbitmq "$amqp" || { echo "the worker can't reach the broker" && return 1; }
    reaches server postgres 5432 || { echo "the server can't reach PostgreSQL" && return 1; }
    local target
    for target in "postgres 5432" "redis 6379" "redis 6380" "prometheus 9090"; do
        # shellcheck disable=SC2086
        if reaches worker $target; then echo "the worker reaches $target" && return 1; fi
    done
    [ "$combination" = dev ] || [ "$combination" = dev+monitoring ] || {
        # Nothing of the data network gets out: the engine drops what would.
        local network
        for network in $("$docker" inspect --format '{{ range .NetworkSettings.Networks }}{{ .NetworkID }} {{ end }}' "$(container_of postgres)"); do
            [ "$("$docker" network inspect --format '{{ .Internal }}' "$network")" = true ] ||
                { echo "PostgreSQL is in a network with a way out" && return 1; }
        done
    }
    return 0
}

redis_cli() { "$docker" exec "$(container_of redis)" /opt/collective/redis/cli.sh "$@"; }

settings_are_in_force() {
    local id wanted name value found
    id=$(container_of postgres)
    for wanted in max_connections=500 shared_buffers=2GB effective_cache_size=6GB archive_mode=on; do
        name=${wanted%=*} value=${wanted#*=}
        found=$("$docker" exec "$id" psql -U admin -d agent_orchestrator -Atc "SHOW $name")
        [ "$found" = "$value" ] || { echo "PostgreSQL: $name is $found, not $value" && return 1; }
    done
    for wanted in maxmemory=4294967296 maxclients=10000 appendonly=yes; do
        name=${wanted%=*} value=${wanted#*=}
        found=$(redis_cli config get "$name" | tail -1)
        [ "$found" = "$value" ] || { echo "Redis: $name is $found, not $value" && return 1; }
    done
    redis_cli config get maxmemory-policy | has lru || { echo "Redis: the policy isn't LRU" && return 1; }
    [ -n "$(redis_cli config get save | tail -1)" ] || { echo "Redis: no snapshots" && return 1; }
    id=$(container_of rabbitmq)
    found=$("$docker" exec "$id" rabbitmqctl -q eval '{vm_memory_monitor:get_vm_memory_high_watermark(), rabbit_disk_monitor:get_disk_free_limit(), vm_memory_monitor:get_total_memory(), element(2, application:get_env(rabbit, heartbeat)), element(2, application:get_env(rabbit, channel_max))}.')
    [ "$found" = "{0.6,2000000000,4294967296,60,2048}" ] || { echo "RabbitMQ: watermark, disk limit, memory, heartbeat, channels: $found" && return 1; }
    found=$("$docker" inspect --format '{{ .HostConfig.NanoCpus }} {{ .HostConfig.Memory }}' "$(container_of postgres)")
    wanted=$(python3 -c 'import sys; print(int(float(sys.argv[1]) * 1e9), 8 * 2**30)' "$(value_of POSTGRES_CPUS || true)" 2>/dev/null || echo "4000000000 $((8 << 30))")
    [ "$found" = "$wanted" ] || { echo "PostgreSQL: its limits are $found, not $wanted" && return 1; }
    [ "$("$docker" exec "$id" cat /var/lib/rabbitmq/.erlang.cookie)" = "$(value_of RABBITMQ_ERLANG_COOKIE)" ] ||
        { echo "RabbitMQ: the cookie isn't that of the .env" && return 1; }
    local files limit
    files=$(value_of NOFILE_LIMIT)
    limit=$("$docker" exec "$id" sh -c 'ulimit -n')
    [ "$limit" = "${files:-65536}" ] || { echo "RabbitMQ: $limit open files, not ${files:-65536}" && return 1; }
    for name in postgres rabbitmq redis; do
        found=$("$docker" inspect --format '{{ json .HostConfig.LogConfig.Config }}' "$(container_of "$name")")
        [ "$found" = '{"compress":"true","max-file":"5","max-size":"50m"}' ] || { echo "$name: the log is $found" && return 1; }
    done
}

# Every target whose service runs is up.
targets_are_up() {
    local began=$SECONDS said
    until said=$("$docker" exec "$(container_of prometheus)" wget -q -O - 'http://127.0.0.1:9090/api/v1/targets?state=active' |
        python3 "$here/targets.py" "${left_out[@]}"); do
        [ $((SECONDS - began)) -lt 60 ] || { echo "$said" && return 1; }
        sleep 2
    done
    "$docker" exec "$(container_of prometheus)" wget -q -O - 'http://127.0.0.1:9090/api/v1/rules' | has '"alertname"\|"type":"alerting"' ||
        { echo "no rule is loaded" && return 1; }
}

# The main process, which is the only child of the container's init, is killed; its
# restart policy brings it back.
# A queue that no worker serves, so that what is in it stays.
queue_without_worker() { cli queue list --json | has '"nobody"' || cli queue add nobody >/dev/null; }

survives_kill() {
    local service=$1 id init main number restarts began
    id=$(container_of "$service")
    queue_without_worker || return 1
    number=$(cli task add "kept" --queue nobody --json | sed -n 's/^ *"number": \([0-9]*\),/\1/p' | head -1)
    [ -n "$number" ] || { echo "no task was accepted" && return 1; }
    restarts=$("$docker" inspect --format '{{ .RestartCount }}' "$id")
    init=$("$docker" inspect --format '{{ .State.Pid }}' "$id")
    main=$(cat "/proc/$init/task/$init/children")
    # shellcheck disable=SC2086
    kill -KILL $main
    began=$SECONDS
    until [ "$("$docker" inspect --format '{{ .RestartCount }}' "$id")" -gt "$restarts" ]; do
        [ $((SECONDS - began)) -lt 30 ] || { echo "$service isn't started again" && return 1; }
        sleep 0.5
    done
    wait_healthy || return 1
    cli task show "$number" --json | has '"state": "queued"' || { echo "task $number isn't there as it was" && return 1; }
    began=$SECONDS
    # The worker and the broker's connections come back by themselves.
    until task_goes_through >/dev/null 2>&1; do
        [ $((SECONDS - began)) -lt 90 ] || { task_goes_through && return 1; }
        sleep 1
    done
}

# The last words of every container that isn't healthy.
tell_who_failed() {
    local id
    for id in $(containers); do
        case $("$docker" inspect --format '{{ .State.Status }} {{ if .State.Health }}{{ .State.Health.Status }}{{ end }} {{ .State.ExitCode }}' "$id") in
        "running healthy "* | "running  "* | "exited  0") ;;
        *)
            "$docker" inspect --format '{{ .Name }} {{ .State.Status }} {{ .State.ExitCode }}' "$id"
            "$docker" logs --tail 3 "$id" 2>&1
            ;;
        esac
    done
}

tests_pass() {
    in_stack up --abort-on-container-exit --exit-code-from tests && return
    "$docker" logs --tail 5 "${prefix}agent_tests" 2>&1
    return 1
}

tests_fail() {
    local code=0
    in_stack down -v >/dev/null 2>&1
    echo 'WORKER_COMMAND=exit 3' >>"$tree/.env"
    in_stack up --abort-on-container-exit --exit-code-from tests >/dev/null 2>&1 || code=$?
    sed -i '$d' "$tree/.env"
    [ "$code" = 1 ] || { echo "compose ended with $code, not with the tests' 1" && return 1; }
}

# No data of the three servers was in a volume.
nothing_is_kept() {
    local id mounts
    for id in $(containers); do
        mounts=$("$docker" inspect --format '{{ range .Mounts }}{{ if eq .Type "volume" }}{{ .Name }} {{ end }}{{ end }}' "$id")
        for mount in $mounts; do
            [[ $mount == "${prefix}test_"* ]] || { echo "$mount is a volume that stays" && return 1; }
        done
    done
}

removed() {
    in_stack down -v --remove-orphans --timeout 20
    local what left
    for what in "ps -a" "volume ls" "network ls"; do
        # shellcheck disable=SC2086
        left=$("$docker" $what --filter "name=$prefix" --format '{{ . }}')
        [ -z "$left" ] || { echo "left behind: $left" && return 1; }
    done
}

proxy_serves() {
    local https amqps ca
    https=$(value_of PROXY_HTTPS_PORT)
    amqps=$(value_of PROXY_AMQPS_PORT)
    ca=$tree/infrastructure/docker/tls/ca/ca.crt
    curl -sf --cacert "$ca" "https://localhost:$https/readyz" | has ready || { echo "the server isn't reached" && return 1; }
    [ "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$ca" "https://localhost:$https/metrics")" = 404 ] ||
        { echo "metrics can be read from outside" && return 1; }
    [ "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$ca" "https://localhost:$https/v1/status")" = 401 ] ||
        { echo "the server answers without a key" && return 1; }
    # AMQP's greeting is answered by the broker, inside TLS.
    local greeting
    greeting=$(printf 'AMQP\0\0\11\1' | timeout 5 openssl s_client -quiet -CAfile "$ca" -verify_return_error \
        -connect "localhost:$amqps" 2>/dev/null | tr -d '\0')
    [[ $greeting == *RabbitMQ* ]] || { echo "no broker behind AMQPS" && return 1; }
}

is_here() { [ -n "$(container_of "$1")" ]; }

# page STATUS PATH TEXT CURL-OPTION…: whether a page answers so, to who has a name.
page() {
    local status=$1 path=$2 text=$3 said
    shift 3
    answers 401 "$path" || return 1
    said=$(ask "$path" -u person:a-password "$@")
    { [ "$(head -n 1 <<<"$said")" = "$status" ] && has "$text" <<<"$said"; } ||
        { echo "$path: $(head -c 400 <<<"$said" | tr '\n' ' ')" && return 1; }
}

# The real pages behind the proxy, those whose image is here: under their path, asking
# for a name first, and with what is behind them.
pages_serve() {
    local cookie said
    if is_here prometheus; then
        # Wherever it sends people, they stay under its path.
        page 200 /prometheus/ Prometheus -L || return 1
        page 200 '/prometheus/api/v1/query?query=count(up)' '"status":"success"' || return 1
    fi
    if is_here alertmanager; then
        page 200 /alertmanager/ Alertmanager || return 1
        page 200 /alertmanager/api/v2/status cluster || return 1
    fi
    if is_here pgadmin; then page 302 /pgadmin/ '/pgadmin/login' || return 1; fi
    if is_here redis-commander; then
        page 200 /redis-commander/ redisCommander || return 1
        redis_commander_sees_redis || return 1
    fi
    # RabbitMQ's page by its own login, behind the name.
    page 200 /rabbitmq/ 'RabbitMQ Management' || return 1
    cookie=$(door_cookie)
    answers 403 /rabbitmq/api/overview -u "admin:$(value_of RABBITMQ_PASSWORD)" || return 1
    answers 401 /rabbitmq/api/overview -H "Cookie: $cookie" -u admin:wrong || return 1
    said=$(ask /rabbitmq/api/queues/%2F/agent.results -H "Cookie: $cookie" -u "admin:$(value_of RABBITMQ_PASSWORD)")
    { [ "$(head -n 1 <<<"$said")" = 200 ] && has '"name":"agent.results"' <<<"$said"; } ||
        { echo "the queue: $(head -c 300 <<<"$said")" && return 1; }
}

# Its page sends a login of its own by a header that isn't the proxy's.
redis_commander_sees_redis() {
    local token said
    token=$(ask /redis-commander/signin -u person:a-password -H 'Content-Type: application/json' \
        --data "{\"username\":\"admin\",\"password\":\"$(value_of REDIS_COMMANDER_PASSWORD)\"}" |
        sed -n 's/.*"bearerToken":"\([^"]*\)".*/\1/p')
    [ -n "$token" ] || { echo "Redis Commander lets nobody in" && return 1; }
    said=$(ask /redis-commander/apiv2/server/info -u person:a-password -H "X-Redis-Commander-Authorization: Bearer $token")
    has '"Redis version"' <<<"$said" || { echo "Redis Commander: $(head -c 400 <<<"$said")" && return 1; }
}

# With all three of *_REQUIRE_TLS nothing listens where TLS isn't spoken, and
# PostgreSQL refuses who comes without.
plain_is_refused() {
    local target said
    for target in "rabbitmq 5671" "rabbitmq 15671" "redis 6380" "postgres 5432"; do
        # shellcheck disable=SC2086
        reaches server $target || { echo "the server can't reach $target" && return 1; }
    done
    for target in "rabbitmq 5672" "rabbitmq 15672" "redis 6379"; do
        # shellcheck disable=SC2086
        if reaches server $target; then echo "$target answers without TLS" && return 1; fi
    done
    said=$("$docker" exec -e PGSSLMODE=disable -e PGPASSWORD="$(value_of COLLECTIVE_DB_PASSWORD)" "$(container_of postgres)" \
        psql -h 127.0.0.1 -U collective_app -d agent_orchestrator -c 'SELECT 1' 2>&1) &&
        { echo "PostgreSQL lets in who comes without TLS" && return 1; }
    has 'no encryption\|rejects connection' <<<"$said" || { echo "PostgreSQL: $said" && return 1; }
    said=$("$docker" exec "$(container_of postgres)" psql -U admin -d agent_orchestrator -Atc \
        "SELECT string_agg(DISTINCT usename, ',' ORDER BY usename) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE client_addr IS NOT NULL AND NOT ssl")
    [ -z "$said" ] || { echo "connected to PostgreSQL without TLS: $said" && return 1; }
}

# collective ARGUMENT…: `collective stack` of our image's binary on this stack.
stack_command() {
    [ -x "$work/collective" ] ||
        "$docker" cp "$(container_of server):/usr/local/bin/collective" "$work/collective" || return 1
    local environment=${combination%%+*} flags=""
    [[ $combination != *+monitoring* ]] || flags+=" --monitoring"
    [[ $combination != *+proxy* ]] || flags+=" --proxy"
    # shellcheck disable=SC2086
    env -i PATH="$PATH" HOME="$HOME" "$work/collective" stack "$@" --dir "$tree" --env "$environment" $flags
}

# Every line of a proof holds, but for those of services that were left out.
stack_is_proven() {
    stack_command verify --json >"$work/proofs" 2>"$work/said" || true
    python3 - "$work/proofs" "${left_out[@]}" <<'PY' || { cat "$work/said" && return 1; }
import json, re, sys
proofs, left_out = json.load(open(sys.argv[1])), set(sys.argv[2:])
def is_of_the_machine(proof):
    named = set(re.findall(r"[a-z]+(?:-[a-z0-9]+)*", proof["seen"]))
    return proof["what"] in ("containers", "scrape targets") and bool(named & left_out)
bad = [proof for proof in proofs if proof["outcome"] == "failed" and not is_of_the_machine(proof)]
logins = [proof for proof in proofs if proof["what"].startswith("login ") and proof["outcome"] == "passed"]
if bad or len(logins) != 10 or not any(proof["what"] == "task" and proof["outcome"] == "passed" for proof in proofs):
    sys.exit(json.dumps(bad or proofs, indent=1))
PY
}

stack_commands_work() {
    stack_is_proven || return 1
    stack_command rotate --yes >"$work/said" 2>&1 || { tail -n 5 "$work/said" && return 1; }
    wait_healthy || return 1
    is_here proxy || { echo "the proxy is gone" && return 1; }
    stack_is_proven || return 1
    stack_command backup --to "$work/backups" >"$work/said" 2>&1 || { tail -n 5 "$work/said" && return 1; }
    stack_command backup verify --to "$work/backups" >"$work/said" 2>&1 || { tail -n 5 "$work/said" && return 1; }
    # What the machine lacks makes its exit code bad; the certificates are found good.
    stack_command check --json >"$work/said" 2>/dev/null || true
    has '"certificate_ending"' <"$work/said" || { echo "check finds no certificate" && return 1; }
    if has '"certificate_missing"\|"certificate_expired"\|"key_unreadable"\|"part_unsaid"' <"$work/said"; then
        grep -A 4 '"certificate_missing"\|"certificate_expired"\|"key_unreadable"\|"part_unsaid"' "$work/said"
        return 1
    fi
}
