# shellcheck shell=bash
# What run.sh does with one stack: a copy of the files with an .env of its own,
# commands of both versions of Compose, questions to the running containers.

docker=${DOCKER:-docker}
if [ -z "${DOCKER:-}" ] && [ -x /usr/bin/docker ]; then docker=/usr/bin/docker; fi
compose_v1=${COMPOSE_V1:-docker-compose}
if [ -z "${COMPOSE_V1:-}" ] && [ -x /usr/bin/docker-compose ]; then compose_v1=/usr/bin/docker-compose; fi
readonly compose_v2_image=collective-standin/compose:2
# How long a stack may take to become healthy, in seconds.
readonly boot_limit=${BOOT_LIMIT:-300}

say() { echo "compose: $*" >&2; }

die() {
    echo "compose: error: $1" >&2
    [ $# -lt 2 ] || echo "compose: hint: $2" >&2
    exit 2
}

# --- one stack -------------------------------------------------------------------

# Ports that nobody uses now. The kernel's range for clients is above them.
free_ports() {
    python3 - "$1" <<'PY'
import random, socket, sys
wanted, found = int(sys.argv[1]), []
while len(found) < wanted:
    port = random.randint(20000, 32000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    if port not in found:
        found.append(port)
print(*found)
PY
}

secret() { head -c 18 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# new_stack ENVIRONMENT: a copy of the files with an .env, in $tree, with a
# prefix, networks and ports that collide with no other stack.
stack_count=0
new_stack() {
    local environment=$1 name ports octet
    stack_count=$((stack_count + 1))
    tree=$work/$environment-$stack_count
    prefix=ct$$x${stack_count}_
    octet=$((100 + ($$ + stack_count) % 100))
    mkdir -p "$tree/infrastructure"
    cp -a "$docker_folder" "$tree/infrastructure/docker"
    rm -rf "$tree/infrastructure/docker/tests"
    read -ra ports <<<"$(free_ports 15)"
    local -a port_names=(POSTGRES_PORT REDIS_PORT RABBITMQ_PORT RABBITMQ_MANAGEMENT_PORT SERVER_PORT
        PGADMIN_PORT REDIS_INSIGHT_PORT REDIS_COMMANDER_PORT PROMETHEUS_PORT GRAFANA_PORT
        ALERTMANAGER_PORT KIBANA_PORT JAEGER_UI_PORT PROXY_HTTPS_PORT PROXY_AMQPS_PORT)
    {
        # Development has the passwords of the example.
        if [ "$environment" = dev ] || [ "$environment" = test ]; then
            grep -E '^[A-Z_]+(PASSWORD|USER|EMAIL|KEY|TOKEN)=' "$root/.env.example"
        else
            grep -oE '^#?[A-Z_]+(PASSWORD|COOKIE|KEY|TOKEN)=' "$root/.env.example" | tr -d '#' |
                while IFS= read -r name; do echo "$name$(secret)"; done
            echo "RABBITMQ_USER=admin"
            echo "PGADMIN_EMAIL=admin@example.com"
            echo "REDIS_COMMANDER_USER=admin"
            echo "GRAFANA_USER=admin"
        fi
        echo "COLLECTIVE_VERSION=${COLLECTIVE_VERSION:-local}"
        echo "COMPOSE_PROJECT_NAME=${prefix%_}"
        echo "STACK_PREFIX=$prefix"
        echo "AGENT_SUBNET=10.129.$octet.0/24"
        echo "MONITORING_SUBNET=10.128.$octet.0/24"
        echo "MONITORING_GATEWAY=10.128.$octet.1"
        for name in "${port_names[@]}"; do
            echo "$name=${ports[0]}"
            ports=("${ports[@]:1}")
        done
        echo "PROXY_BIND=127.0.0.1"
        fit_machine
    } >"$tree/.env"
    chmod 600 "$tree/.env"
}

# Certificates for every door.
add_certificates() {
    TLS_FOLDER='' "$tree/infrastructure/docker/tls/make-test-certificates.sh" localhost >/dev/null
    echo "person:$(openssl passwd -apr1 a-password)" >"$tree/infrastructure/docker/tls/proxy/htpasswd"
    chmod 0644 "$tree/infrastructure/docker/tls/proxy/htpasswd"
    echo "PROXY_URL=https://localhost:$(value_of PROXY_HTTPS_PORT)" >>"$tree/.env"
}

# TLS is there and may be used: the server does.
offer_tls() {
    cat >>"$tree/.env" <<'ENV'
COLLECTIVE_STORE_TLS=verify-full
COLLECTIVE_STORE_CA_FILE=/etc/collective/ca/ca.crt
COLLECTIVE_BUS_TLS=true
COLLECTIVE_BUS_CA_FILE=/etc/collective/ca/ca.crt
COLLECTIVE_CACHE_TLS=true
COLLECTIVE_CACHE_PORT=6380
COLLECTIVE_CACHE_CA_FILE=/etc/collective/ca/ca.crt
ENV
}

# Nobody comes without TLS; nothing else is said.
require_tls() {
    cat >>"$tree/.env" <<'ENV'
POSTGRES_REQUIRE_TLS=true
RABBITMQ_REQUIRE_TLS=true
REDIS_REQUIRE_TLS=true
ENV
}

# What a small machine, or one inside a container, can't give.
fit_machine() {
    local cpus files
    cpus=$(nproc)
    files=$(ulimit -Hn)
    if [ "$cpus" -lt 4 ]; then echo "POSTGRES_CPUS=$cpus"; fi
    if [ "$cpus" -lt 2 ]; then
        local name
        for name in REDIS RABBITMQ SERVER PROMETHEUS; do echo "${name}_CPUS=$cpus"; done
    fi
    if [ "$files" != unlimited ] && [ "$files" -lt 65536 ]; then echo "NOFILE_LIMIT=$files"; fi
    if ! awk '$5 == "/" && / (shared|master):/ { found = 1 } END { exit !found }' /proc/self/mountinfo; then
        # Docker takes / only where it is mounted so that it can be passed on.
        echo "HOST_ROOT=$tree"
        echo "HOST_MOUNTS=rprivate"
    fi
}

value_of() { sed -n "s/^$1=//p" "$tree/.env" | tail -1; }

# --- compose ---------------------------------------------------------------------

# compose VERSION FOLDER ARGUMENT…, run in that folder of the tree with nothing
# from this environment but the way to the engine.
compose() {
    local version=$1 folder=$2
    shift 2
    if [ "$version" = v1 ]; then
        (cd "$folder" && env -i PATH="$PATH" HOME="$HOME" "$compose_v1" "$@")
    elif "$docker" compose version >/dev/null 2>&1; then
        (cd "$folder" && env -i PATH="$PATH" HOME="$HOME" "$docker" compose "$@")
    else
        "$docker" run --rm -i -v /var/run/docker.sock:/var/run/docker.sock -v "$work:$work" -w "$folder" \
            "$compose_v2_image" "$@"
    fi
}

# The -f options of a combination, with file names as seen from a folder.
files_of() {
    local at=$1 part
    options=(-f "${at}docker-compose.yml")
    for part in ${2//+/ }; do
        case $part in
        base) ;;
        # Variables say it, no file.
        tls) ;;
        proxy)
            options+=(-f "${at}../proxy/override.proxy.yml")
            [[ $2 != *monitoring* ]] || options+=(-f "${at}../proxy/override.proxy.monitoring.yml")
            ;;
        # PostgreSQL 17 and RabbitMQ 4.0.
        versions) options+=(-f "${at}../standins/override.versions.yml") ;;
        *) options+=(-f "${at}override.$part.yml") ;;
        esac
    done
}

# in_stack ARGUMENT…: compose of the current stack from its compose folder.
in_stack() {
    files_of "" "$combination"
    compose "$version" "$tree/infrastructure/docker/compose" "${options[@]}" "$@"
}

# Services of the combination whose images are here or can be had; the others are
# written to $left_out.
services_to_boot() {
    local service image
    left_out=()
    services=()
    while read -r service image; do
        if [ -z "$image" ] || [[ $image == collective:* ]] || "$docker" image inspect "$image" >/dev/null 2>&1; then
            services+=("$service")
        elif [ "${PULL:-false}" = true ]; then
            "$docker" pull -q "$image" >/dev/null && services+=("$service")
        else
            left_out+=("$service")
        fi
    done < <(in_stack config 2>/dev/null | python3 "$here/services.py")
}

# --- containers ------------------------------------------------------------------

containers() { "$docker" ps -aq --filter "label=com.docker.compose.project=${prefix%_}"; }

container_of() {
    "$docker" ps -q --filter "label=com.docker.compose.project=${prefix%_}" \
        --filter "label=com.docker.compose.service=$1" | head -1
}

# One word per container: its service and healthy, running, done, or what is wrong.
states() {
    local id
    for id in $(containers); do
        "$docker" inspect --format '{{ index .Config.Labels "com.docker.compose.service" }} {{ if .State.Running }}{{ if .State.Health }}{{ .State.Health.Status }}{{ else }}running{{ end }}{{ else if and (eq .State.ExitCode 0) (eq .State.Status "exited") }}done{{ else }}{{ .State.Status }}:{{ .State.ExitCode }}{{ end }}' "$id"
    done
}

wait_healthy() {
    local began=$SECONDS bad
    while :; do
        bad=$(states | grep -vE ' (healthy|running|done)$' || true)
        [ -n "$bad" ] || return 0
        if [ $((SECONDS - began)) -gt "$boot_limit" ]; then
            echo "after $boot_limit s: $(tr '\n' ',' <<<"$bad")"
            return 1
        fi
        sleep 1
    done
}

# A command of our image in the server's container.
cli() { "$docker" exec "$(container_of server)" collective "$@"; }

# Whatever is left of this run, also after an interruption.
remove_all_stacks() {
    local left
    left=$("$docker" ps -aq --filter "name=ct$$x")
    # shellcheck disable=SC2086
    [ -z "$left" ] || "$docker" rm -fv $left >/dev/null
    left=$("$docker" volume ls -q --filter "name=ct$$x")
    # shellcheck disable=SC2086
    [ -z "$left" ] || "$docker" volume rm $left >/dev/null
    left=$("$docker" network ls -q --filter "name=ct$$x")
    # shellcheck disable=SC2086
    [ -z "$left" ] || "$docker" network rm $left >/dev/null
}
