# shellcheck shell=bash
# What is set here is used by the parts.
# shellcheck disable=SC2034
# The ground of the checks: a temporary folder, free ports, servers that are
# started as their containers would, stopped by their process ids, and a table.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
docker_dir=$(cd "$here/../.." && pwd)
root=$(cd "$docker_dir/../.." && pwd)
failed=0
passed=0
# Passwords, each of a kind, so that one that leaks is known.
admin_secret=adm1n-5ecret-of-the-te5t-run
app_secret=app-5ecret-of-the-te5t-run
reader_secret=reader-5ecret-of-the-te5t-run
monitor_secret=monit0r-5ecret-of-the-te5t-run

pg_bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 2>/dev/null | sort -V | tail -1)
mq_bin=/usr/lib/rabbitmq/bin

begin() {
    work=$(mktemp -d /tmp/collective-data-XXXXXX)
    # The servers' own users look into it.
    chmod 0755 "$work"
    # Process ids of what was started here.
    : >"$work/pids"
    trap finish EXIT
    trap 'exit 130' INT TERM
}

# Stops what is still running and removes the folder.
finish() {
    local status=$? pid
    trap '' INT TERM
    for pid in $(tac "$work/pids"); do kill_group "$pid"; done
    if [ "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
    exit "$status"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Keeps the environment of a place in a file: as arguments of `env` passwords
# would stand in a command line, which the servers' scripts are checked not to do.
keep_environment() {
    local place=$1 setting
    shift
    for setting; do printf '%s=%q\n' "${setting%%=*}" "${setting#*=}"; done >"$place/environment"
    chmod 0644 "$place/environment"
}

# Runs a command in it; settings may come before the command, as with `env`.
in_environment() {
    local place=$1
    shift
    "$here/environment.sh" "$place/environment" "$@"
}

# Starts a program of a place in a process group of its own. Its output is
# PLACE/log, its id PLACE/pid: checks run in shells of their own.
launch() {
    local place=$1
    shift
    if [ "$1" = in_environment ]; then set -- "$here/environment.sh" "$2/environment" "${@:3}"; fi
    setsid "$@" >>"$place/log" 2>&1 </dev/null &
    echo $! >"$place/pid"
    echo $! >>"$work/pids"
}

is_running() { kill -0 "$1" 2>/dev/null && ! grep -qs '^State:.*Z' "/proc/$1/status"; }

# Asks the program of a place to end, waits, and kills what is left of its group.
stop() {
    local pid signal=${2:-TERM} tries
    pid=$(cat "$1/pid")
    kill -s "$signal" -- "$pid" 2>/dev/null || true
    for ((tries = 0; tries < 300; tries++)); do
        is_running "$pid" || break
        sleep 0.1
    done
    kill_group "$pid"
}

# Kills a whole group at once.
kill_group() {
    local tries
    kill -s KILL -- "-$1" 2>/dev/null || true
    for ((tries = 0; tries < 100; tries++)); do
        is_running "$1" || break
        sleep 0.05
    done
}

# Waits until a command succeeds.
until_true() {
    local seconds=$1 began=$SECONDS
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $((SECONDS - began)) -ge "$seconds" ]; then
            echo "not within $seconds s: $*"
            return 1
        fi
        sleep 0.2
    done
}

section() { printf '\n%s\n' "$1"; }

# One row of the table: a sentence, and the function that proves it.
check() {
    local sentence=$1 began=$EPOCHREALTIME status=0 said=$work/said
    shift
    # A function in a condition would not end at its first failure.
    set +e
    (
        set -euo pipefail
        "$@"
    ) >"$said" 2>&1
    status=$?
    set -e
    local seconds
    seconds=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
        printf '  ok      %6s s  %s\n' "$seconds" "$sentence"
    else
        failed=$((failed + 1))
        printf '  FAILED  %6s s  %s\n' "$seconds" "$sentence"
        tail -n 25 "$said" | sed 's/^/            /'
    fi
}

# Fails unless two texts are the same.
same() {
    if [ "$1" != "$2" ]; then
        printf 'expected: %s\nfound:    %s\n' "$1" "$2"
        return 1
    fi
}

# Fails unless the text matches the pattern.
says() {
    local pattern=$1 text=$2
    if ! grep -qE -- "$pattern" <<<"$text"; then
        printf 'expected something like: %s\nfound: %s\n' "$pattern" "$text"
        return 1
    fi
}

# Fails unless the command fails and says something like the pattern.
refused() {
    local pattern=$1 said
    shift
    if said=$("$@" 2>&1); then
        printf 'not refused: %s\n%s\n' "$*" "$said"
        return 1
    fi
    says "$pattern" "$said"
}

# Runs a command and looks at all command lines meanwhile for a secret.
without_secrets_in_ps() {
    local flag=$work/watching seen=$work/seen
    : >"$flag"
    : >"$seen"
    (
        while [ -e "$flag" ]; do
            cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -aoE '[a-z0-9]+-5ecret-of-the[a-z0-9-]*' >>"$seen" || true
        done
    ) &
    local watcher=$!
    "$@"
    rm -f "$flag"
    wait "$watcher" || true
    if [ -s "$seen" ]; then
        echo "seen in a command line: $(sort -u "$seen" | tr '\n' ' ')"
        return 1
    fi
}

# A copy of a service's folder with the container's paths rewritten to this run's.
copy_of() {
    local service=$1 to=$2
    rm -rf "$to"
    mkdir -p "$to"
    cp -r "$docker_dir/$service/." "$to/"
    grep -rlE "/opt/collective/$service|/run/collective" "$to" | xargs -r \
        sed -i -e "s#/opt/collective/$service#$to#g" -e "s#/run/collective#$to.run#g"
    chmod -R a+rX "$to"
}

# A certificate for localhost and its own authority.
make_certificates() {
    local to=$1
    mkdir -p "$to"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=test authority" \
        -keyout "$to/ca.key" -out "$to/ca.crt" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" \
        -keyout "$to/server.key" -out "$to/server.csr" 2>/dev/null
    openssl x509 -req -in "$to/server.csr" -CA "$to/ca.crt" -CAkey "$to/ca.key" -CAcreateserial -days 2 \
        -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out "$to/server.crt" 2>/dev/null
    chmod 0600 "$to/server.key"
}
