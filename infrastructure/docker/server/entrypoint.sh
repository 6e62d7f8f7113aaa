#!/bin/sh
# What a container of the image does:
#
#   server        serves (the default)
#   worker        an agent that takes tasks and runs $WORKER_COMMAND for each
#   worker-keys   makes the keys of $WORKER_COUNT workers, then ends
#   smoke         waits for the server, makes the keys, sends one task through
#                 everything and ends with 0 if its result is right
#   health        whether what runs in this container does its work
#   …             anything else is given to `collective`
#
# Servers share one administrator's token in /var/lib/collective-shared, made by
# the first of them. Workers have keys of their own in /var/lib/collective-key:
# each takes one that no other worker holds, and with it a name that stays.
set -eu

readonly data="${COLLECTIVE_DATA:-/var/lib/collective}"
readonly shared=/var/lib/collective-shared
readonly keys=/var/lib/collective-key
readonly fresh=/opt/collective/dev/collective
# Where the health check reads what runs here.
readonly note="$data/runs"
# How long is waited for a server or a key, in seconds.
readonly patience="${START_PATIENCE:-180}"

say() { echo "entrypoint: $*" >&2; }

fail() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

# In development the binary that was compiled last, once there is one.
binary() {
    if [ "${RELOAD:-false}" = true ] && [ -x "$fresh" ]; then echo "$fresh"; else echo collective; fi
}

stamp() { stat -c %Y-%s "$fresh" 2>/dev/null || echo none; }

# Runs the binary; in development again whenever a newer one is there.
run() {
    if [ "${RELOAD:-false}" != true ]; then
        exec collective "$@"
    fi
    while :; do
        seen=$(stamp)
        "$(binary)" "$@" &
        child=$!
        trap 'kill -TERM "$child" 2>/dev/null; wait "$child"; exit $?' TERM INT
        while kill -0 "$child" 2>/dev/null && [ "$(stamp)" = "$seen" ]; do sleep 1; done
        if kill -0 "$child" 2>/dev/null; then
            say "a newer binary is there; starting it"
            kill -TERM "$child"
            wait "$child" || true
        else
            code=0
            wait "$child" || code=$?
            exit "$code"
        fi
    done
}

# The token is linked in place with a name that is taken only once, so that
# servers that start together agree on one.
share_token() {
    mkdir -p "$data" || fail "the folder $data can't be made" "is it writable for uid $(id -u)?"
    if ! [ -w "$shared" ]; then
        say "$shared can't be written: this server keeps a token of its own"
        return 0
    fi
    if ! [ -s "$shared/token" ]; then
        umask 077
        made=$(mktemp "$shared/.token.XXXXXX")
        printf 'ca_%s\n' "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')" >"$made"
        ln "$made" "$shared/token" 2>/dev/null || true
        rm -f "$made"
    fi
    ln -sfn "$shared/token" "$data/token"
}

# A part of the stack that lets nobody in without TLS is spoken to over TLS and has
# to show a certificate of the stack's authority. What the settings say counts more.
speak_tls() {
    ca=/etc/collective/ca/ca.crt
    if [ "${POSTGRES_REQUIRE_TLS:-false}" = true ] && [ -z "${COLLECTIVE_STORE_TLS:-}" ]; then
        export COLLECTIVE_STORE_TLS=verify-full COLLECTIVE_STORE_CA_FILE="${COLLECTIVE_STORE_CA_FILE:-$ca}"
    fi
    if [ "${RABBITMQ_REQUIRE_TLS:-false}" = true ] && [ -z "${COLLECTIVE_BUS_TLS:-}" ]; then
        export COLLECTIVE_BUS_TLS=true COLLECTIVE_BUS_CA_FILE="${COLLECTIVE_BUS_CA_FILE:-$ca}"
    fi
    if [ "${REDIS_REQUIRE_TLS:-false}" = true ] && [ -z "${COLLECTIVE_CACHE_TLS:-}" ]; then
        export COLLECTIVE_CACHE_TLS=true COLLECTIVE_CACHE_CA_FILE="${COLLECTIVE_CACHE_CA_FILE:-$ca}"
        export COLLECTIVE_CACHE_PORT="${COLLECTIVE_CACHE_PORT:-6380}"
    fi
}

wait_for() {
    what=$1
    shift
    waited=0
    until "$@" >/dev/null 2>&1; do
        [ "$waited" -lt "$patience" ] || fail "$what isn't there after $patience s" "look at the logs of the other services"
        waited=$((waited + 1))
        sleep 1
    done
}

server_answers() { "$(binary)" status --quiet --json; }

make_keys() {
    COLLECTIVE_TOKEN_FILE=$shared/token
    export COLLECTIVE_TOKEN_FILE
    [ -r "$COLLECTIVE_TOKEN_FILE" ] || wait_for "the administrator's token" test -r "$COLLECTIVE_TOKEN_FILE"
    wait_for "the server at ${COLLECTIVE_URL:-(COLLECTIVE_URL is not set)}" server_answers
    number=1
    while [ "$number" -le "${WORKER_COUNT:-8}" ]; do
        name=worker-$number
        if ! [ -s "$keys/$name.key" ]; then
            rm -f "$keys/.$name.new"
            "$(binary)" key create --quiet --label "$name" --agent "$name" --role worker --output "$keys/.$name.new" >/dev/null ||
                fail "no key could be made for $name"
            mv "$keys/.$name.new" "$keys/$name.key"
        fi
        number=$((number + 1))
    done
    say "$((number - 1)) workers have keys"
}

# Takes a key that no other container holds, for as long as this one lives.
take_key() {
    for key in "$keys"/worker-*.key; do
        [ -r "$key" ] || continue
        exec 9<"$key"
        if flock --nonblock 9; then
            name=$(basename "$key" .key)
            return 0
        fi
        exec 9<&-
    done
    return 1
}

worker() {
    : "${WORKER_COMMAND:?the command that works on a task, such as WORKER_COMMAND=./agent.sh}"
    waited=0
    until take_key; do
        [ "$waited" -lt "$patience" ] || fail "no key is free in $keys" "raise WORKER_COUNT, then start worker-keys again"
        waited=$((waited + 1))
        sleep 1
    done
    mkdir -p "$data"
    echo "$name" >"$note"
    COLLECTIVE_TOKEN_FILE=$keys/$name.key
    export COLLECTIVE_TOKEN_FILE
    wait_for "the server at ${COLLECTIVE_URL:-(COLLECTIVE_URL is not set)}" "$(binary)" agent list --quiet --json
    run agent run --name "$name" --queue "${WORKER_QUEUE:-default}" --slots "${WORKER_SLOTS:-1}" -- \
        sh -c "$WORKER_COMMAND"
}

smoke() {
    make_keys
    said="smoke-$(head -c 6 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    answer=$("$(binary)" task add "smoke test" --prompt "$said" --queue "${WORKER_QUEUE:-default}" --wait --for 60s --json) ||
        fail "the task didn't succeed" "look at the logs of server and worker"
    case $answer in
    *"$said"*) say "passed: $said came back through server, store and worker" ;;
    *) fail "the result isn't what the worker was told: $answer" ;;
    esac
}

health() {
    if [ -s "$note" ]; then
        name=$(cat "$note")
        COLLECTIVE_TOKEN_FILE=$keys/$name.key
        export COLLECTIVE_TOKEN_FILE
        "$(binary)" agent show "$name" --quiet --json | grep -q '"present": *true'
    else
        server_answers >/dev/null
    fi
}

[ $# -gt 0 ] || set -- server
command=$1
case $command in
server)
    shift
    share_token
    speak_tls
    run up "$@"
    ;;
worker) worker ;;
worker-keys) make_keys ;;
smoke) smoke ;;
health) health ;;
*) exec "$(binary)" "$@" ;;
esac
