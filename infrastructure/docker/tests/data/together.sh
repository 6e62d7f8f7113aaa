# shellcheck shell=bash
# The server on all three, in production's settings, as the users made for it.
# What run.sh and lib.sh set is used here.
# shellcheck disable=SC2154

binary() {
    local candidate
    for candidate in "${COLLECTIVE_BIN:-}" "$root/target/release/collective" "$root/target/debug/collective"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            echo "$candidate"
            return 0
        fi
    done
    echo "there is no server: build it (cargo build -p collective-cli) or set COLLECTIVE_BIN" >&2
    return 1
}

sv_place() {
    sv=$work/$1
    mkdir -p "$sv/data"
    if ! [ -s "$sv/port" ]; then free_port >"$sv/port"; fi
    sv_environment=(
        PATH="$PATH" HOME="$sv" COLLECTIVE_DATA="$sv/data"
        COLLECTIVE_STORE_HOST=127.0.0.1 COLLECTIVE_STORE_PORT="$pg_port" COLLECTIVE_STORE_DATABASE=agent_orchestrator
        COLLECTIVE_STORE_USER=collective_app COLLECTIVE_STORE_PASSWORD="$app_secret"
        COLLECTIVE_BUS_HOST=127.0.0.1 COLLECTIVE_BUS_PORT="$mq_port" COLLECTIVE_BUS_USER=collective
        COLLECTIVE_BUS_PASSWORD="$app_secret"
        COLLECTIVE_CACHE_HOST=127.0.0.1 COLLECTIVE_CACHE_PORT="$rd_port" COLLECTIVE_CACHE_USER=collective
        COLLECTIVE_CACHE_PASSWORD="$app_secret"
    )
    keep_environment "$sv" "${sv_environment[@]}"
}

sv_start() {
    launch "$sv" in_environment "$sv" "$(binary)" up --engine distributed --listen "127.0.0.1:$(cat "$sv/port")"
    until_true 30 sv_is_ready || {
        tail -n 20 "$sv/log"
        return 1
    }
}

sv_is_ready() { curl -sS --fail "http://127.0.0.1:$(cat "$sv/port")/readyz" | grep -q '"ready":true'; }

# The CLI against it.
cli() { env -i PATH="$PATH" HOME="$sv" COLLECTIVE_DATA="$sv/data" "$(binary)" "$@"; }

tg_start() {
    pg_start postgresql.production.conf
    rd_start redis.production.conf
    mq_start
    sv_start
    local parts
    parts=$(curl -sS "http://127.0.0.1:$(cat "$sv/port")/readyz")
    same "store bus cache clock" "$(jq -r '[.parts[] | select(.ok) | .part] | join(" ")' <<<"$parts")"
}

# The schema that the first start made needs nothing more.
tg_nothing_migrated() {
    same 1 "$(pg_ask "SELECT max(version) FROM schema_version")"
    refused "" grep -q "schema was migrated" "$sv/log"
}

tg_http_task() {
    local agent=$work/http-agent
    mkdir -p "$agent"
    launch "$agent" env -i PATH="$PATH" HOME="$sv" COLLECTIVE_DATA="$sv/data" "$(binary)" agent run --name http-ada -- wc -w
    says '^ *3' "$(cli task add "Count the words" --prompt "one two three" --wait --for 60s --quiet)"
    stop "$agent"
}

# An agent that speaks AMQP alone, as the user that setup.sh makes for it.
tg_amqp_task() {
    local agent=$work/amqp-agent
    mkdir -p "$agent"
    [ -x "$work/python/bin/python" ] || {
        python3 -m venv "$work/python"
        "$work/python/bin/pip" install -q --disable-pip-version-check -r "$root/examples/amqp-agents/python/requirements.txt"
    }
    mq_run RABBITMQ_AGENT_PASSWORD=amqp-5ecret-of-the-te5t "$mq/rabbitmq/setup.sh" agent-user amqp-ada default
    cli queue add broker
    cli key create --label amqp-ada --agent amqp-ada --role worker --output "$agent/key"
    launch "$agent" env -i PATH="$PATH" HOME="$agent" AGENT_NAME=amqp-ada AGENT_QUEUES=broker AGENT_COMMAND='wc -w' \
        COLLECTIVE_KEY="$(cat "$agent/key")" AMQP_URL="amqp://default.amqp-ada:amqp-5ecret-of-the-te5t@127.0.0.1:$mq_port/%2F" \
        "$work/python/bin/python" "$root/examples/amqp-agents/python/agent.py"
    says '^ *4' "$(cli task add "Count more words" --queue broker --prompt "one two three four" --wait --for 120s --quiet)" || {
        tail -n 20 "$agent/log"
        return 1
    }
    stop "$agent"
}

# A news line from one server to the other by way of the broker and its own queue.
tg_second_server() {
    sv_place second
    cp "$work/server/data/token" "$sv/data/token"
    sv_start
    says "Count the words" "$(cli task list)"
    stop "$sv"
}

# With the permissions that they have, the server never met a refusal.
tg_no_denials() {
    local found
    found=$(grep -E "permission denied|not permitted|must be owner" "$pg/log" || true)
    same "" "$found"
    found=$(grep -E "ACCESS_REFUSED|access_refused|access to .* refused" "$mq/log" || true)
    same "" "$found"
    same "" "$(rd_admin acl log)"
}

tg_parts_killed() {
    kill_group "$(cat "$rd/pid")"
    kill_group "$(cat "$mq/pid")"
    kill_group "$(cat "$pg/pid")"
    pg_forget_locks
    pg_start postgresql.production.conf
    rd_start redis.production.conf
    mq_start
    until_true 60 sv_is_ready
    tg_http_task
}

# Development's tasks: sensible to the server, loaded once.
tg_dev_data() {
    pg_place dev-postgres
    pg_start postgresql.dev.conf COLLECTIVE_ENVIRONMENT=development COLLECTIVE_DEV_DATA=true
    sv_place dev-server
    sv_start
    local list state
    list=$(cli task list)
    for state in succeeded queued dead scheduled blocked cancelled; do says " $state " "$list"; done
    says "Write the login form" "$(cli task show form)"
    says "Review the login form" "$(cli task explain release)"
    says "fails one time in ten" "$(cli task logs flaky)"
    says "flaky" "$(cli dead list)"
    says "nightly" "$(cli schedule list)"
    says "ada" "$(cli agent list)"
    # What waits can be done.
    local agent=$work/dev-agent
    mkdir -p "$agent"
    launch "$agent" env -i PATH="$PATH" HOME="$sv" COLLECTIVE_DATA="$sv/data" "$(binary)" agent run --name eve \
        --queue frontend --queue docs --queue backend -- cat
    cli task wait release --for 60s
    stop "$agent"
    local before
    before=$(pg_ask "SELECT count(*) FROM events")
    says "nothing is loaded" "$(pg_run COLLECTIVE_ENVIRONMENT=development COLLECTIVE_DEV_DATA=true "$pg/postgres/setup.sh" --in-container --only seeds)"
    same "$before" "$(pg_ask "SELECT count(*) FROM events")"
    stop "$sv"
    pg_stop
}

together_checks() {
    section "The server on all three, production's settings"
    pg_place together-postgres
    mq_place together-rabbitmq
    rd_place together-redis
    sv_place server
    check "it starts as collective_app, collective and collective" tg_start
    check "it finds the schema in place" tg_nothing_migrated
    check "an agent over HTTP does a task" tg_http_task
    check "an agent over AMQP does a task, as the user made for it" tg_amqp_task
    check "a second server sees the same team" tg_second_server
    check "PostgreSQL, RabbitMQ and Redis refused it nothing" tg_no_denials
    check "all three killed and started again, it goes on" tg_parts_killed
    stop "$sv"
    pg_stop
    check "development's tasks are loaded once, and done by an agent" tg_dev_data
    stop "$mq"
    stop "$rd"
}
