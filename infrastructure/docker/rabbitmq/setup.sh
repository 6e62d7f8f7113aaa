#!/usr/bin/env bash
# Makes a RabbitMQ ready for Collective: users, permissions, policies, topology;
# and makes a user for an agent that speaks AMQP. See --help.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Where the folder lies inside the container.
inside=/opt/collective/rabbitmq
ctl=${RABBITMQCTL:-rabbitmqctl}
# How long it is waited for a broker that is still starting, in seconds.
wait_limit=${COLLECTIVE_SETUP_WAIT:-90}

dry_run=false
container=""
output=""
words=()
# Passwords must be readable by nobody else, also in files that live for a moment.
umask 077

usage() {
    cat <<'TEXT'
usage: setup.sh [apply]                      users, permissions, policies, topology
       setup.sh agent-user NAME TEAM         a user for an agent that speaks AMQP
       setup.sh remove-agent-user NAME TEAM
       setup.sh render FILE                  write the definitions, ask no broker

Everything may be done as often as you like and may be interrupted: what is there
is set again, nothing else is touched.

options
  --output FILE       agent-user: where a password that is made here is written
                      (mode 0600; a file that is there is not overwritten)
  --dry-run           say what would be done, change nothing
  --container [NAME]  run inside this container; without NAME, agent_rabbitmq
                      with the prefix of STACK_PREFIX
  --help

where   The broker that rabbitmqctl reaches (RABBITMQ_NODENAME, its Erlang cookie);
        RABBITMQCTL names another program.
secrets RABBITMQ_PASSWORD of the administrator RABBITMQ_USER (admin),
        COLLECTIVE_RABBITMQ_PASSWORD of `collective`, RABBITMQ_MONITOR_PASSWORD of
        `monitor`, RABBITMQ_AGENT_PASSWORD of an agent; each also as a file named
        by …_FILE. Where COLLECTIVE_ENVIRONMENT is development or test, what is
        missing is RABBITMQ_PASSWORD. Elsewhere the first two must be there, 20
        characters or more, and `monitor` can't log in without its own.
TEXT
}

say() { echo "setup: $*" >&2; }

fail() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --dry-run) dry_run=true ;;
        --output)
            [ $# -gt 1 ] || fail "--output wants a file"
            output=$2
            shift
            ;;
        --container)
            container=${STACK_PREFIX:-}agent_rabbitmq
            case ${2:---} in
            --* | apply | agent-user | remove-agent-user) ;;
            *)
                container=$2
                shift
                ;;
            esac
            ;;
        --*) fail "there is no option '$1'" "setup.sh --help lists them" ;;
        *) words+=("$1") ;;
        esac
        shift
    done
    [ ${#words[@]} -gt 0 ] || words=(apply)
}

# Runs this script inside the container. Passwords go by name, so that they are
# taken from the environment and stand in no command line.
run_in_container() {
    local docker=(docker exec -i) name
    for name in RABBITMQ_USER RABBITMQ_PASSWORD COLLECTIVE_RABBITMQ_PASSWORD RABBITMQ_MONITOR_PASSWORD \
        RABBITMQ_AGENT_PASSWORD COLLECTIVE_ENVIRONMENT; do
        if [ -n "${!name:-}" ]; then docker+=(--env "$name"); fi
    done
    command -v docker >/dev/null || fail "the program docker is missing" "leave --container out for a local broker"
    [ -z "$output" ] || fail "--output and --container don't go together" \
        "make the password yourself: RABBITMQ_AGENT_PASSWORD=\$(openssl rand -hex 24)"
    local options=("${words[@]}")
    if $dry_run; then options+=(--dry-run); fi
    exec "${docker[@]}" "$container" "$inside/setup.sh" "${options[@]}"
}

# The secret of a name, from NAME or from the file that NAME_FILE names.
secret() {
    local name=$1 file_name=$1_FILE value=""
    local file=${!file_name:-}
    if [ -n "$file" ] && [ -n "${!name:-}" ]; then
        fail "both $name and $file_name are set" "leave one of them out"
    fi
    if [ -n "$file" ]; then
        [ -r "$file" ] || fail "$file_name: the file $file can't be read"
        value=$(cat "$file")
        [ -n "$value" ] || fail "$file_name: the file $file is empty"
    else
        value=${!name:-}
    fi
    case $value in
    *$'\n'*) fail "$name holds a line break" "a password is one line" ;;
    esac
    printf '%s' "$value"
}

is_relaxed() {
    case ${COLLECTIVE_ENVIRONMENT:-} in
    development | dev | test) return 0 ;;
    *) return 1 ;;
    esac
}

admin_name() { printf '%s' "${RABBITMQ_USER:-${RABBITMQ_DEFAULT_USER:-admin}}"; }

# The administrator's; the image's own name for it counts as well.
admin_password() {
    local value
    value=$(secret RABBITMQ_PASSWORD) || exit 1
    printf '%s' "${value:-${RABBITMQ_DEFAULT_PASS:-}}"
}

# The password of a user, by the rules that --help tells.
password() {
    local name=$1 is_needed=$2 value
    if [ "$name" = RABBITMQ_PASSWORD ]; then
        value=$(admin_password) || exit 1
    else
        value=$(secret "$name") || exit 1
    fi
    if is_relaxed && [ -z "$value" ]; then value=$(admin_password) || exit 1; fi
    if [ -z "$value" ]; then
        [ "$is_needed" = false ] || fail "$name is not set" \
            "make one: $name=\$(openssl rand -hex 24); in development set COLLECTIVE_ENVIRONMENT=development"
    elif ! is_relaxed && [ ${#value} -lt 20 ]; then
        fail "$name has ${#value} characters" "take 20 or more: openssl rand -hex 24"
    fi
    printf '%s' "$value"
}

# Bytes from their hexadecimal digits.
from_hex() {
    local digits=$1
    while [ -n "$digits" ]; do
        printf '%b' "\\x${digits:0:2}"
        digits=${digits:2}
    done
}

# The broker's form of a password: base64 of salt and SHA-256(salt, password).
# No password gives no hash, which lets nobody in.
password_hash() {
    local salt=$1 password=$2 digest
    [ -n "$password" ] || return 0
    digest=$({ from_hex "$salt" && printf '%s' "$password"; } | sha256sum | cut -c1-64)
    from_hex "$salt$digest" | base64 | tr -d '\n'
}

# Salts are kept, so that the same passwords give the same file: the broker
# imports definitions at its start only if they have changed.
salts() {
    local file=$1
    if [ -n "$file" ] && [ -s "$file" ]; then
        cat "$file"
        return 0
    fi
    local fresh
    fresh=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
    if [ -n "$file" ]; then
        printf '%s\n' "$fresh" >"$file.new"
        mv "$file.new" "$file"
    fi
    printf '%s' "$fresh"
}

# The definitions with this deployment's users, on standard output.
definitions() {
    local salt_file=$1 admin a b c salt
    admin=$(admin_name)
    [[ $admin =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] ||
        fail "RABBITMQ_USER: '$admin' has characters other than letters, digits, '.', '_', '-'"
    case $admin in
    guest) fail "RABBITMQ_USER is guest" "take another name: everybody knows that one" ;;
    collective | monitor) fail "RABBITMQ_USER is $admin, which is a service's user" "take another name, such as admin" ;;
    esac
    a=$(password RABBITMQ_PASSWORD true) || exit 1
    b=$(password COLLECTIVE_RABBITMQ_PASSWORD true) || exit 1
    c=$(password RABBITMQ_MONITOR_PASSWORD false) || exit 1
    salt=$(salts "$salt_file")
    [[ $salt =~ ^[0-9a-f]{24}$ ]] || fail "$salt_file doesn't hold 24 hexadecimal digits" "remove it"
    a=$(password_hash "${salt:0:8}" "$a")
    b=$(password_hash "${salt:8:8}" "$b")
    c=$(password_hash "${salt:16:8}" "$c")
    local text
    text=$(cat "$here/definitions.template.json")
    text=${text//@ADMIN@/"$admin"}
    text=${text//@ADMIN_HASH@/"$a"}
    text=${text//@COLLECTIVE_HASH@/"$b"}
    text=${text//@MONITOR_HASH@/"$c"}
    printf '%s\n' "$text"
}

render() {
    local file=$1 text
    text=$(definitions "$file.salt") || exit 1
    printf '%s\n' "$text" >"$file.new"
    mv "$file.new" "$file"
}

control() { "$ctl" --quiet "$@"; }

wait_for_broker() {
    local began=$SECONDS said
    command -v "$ctl" >/dev/null || fail "the program $ctl is missing" "run this where the broker runs, or with --container"
    until said=$(control await_startup --timeout 15 2>&1); do
        [ $((SECONDS - began)) -lt "$wait_limit" ] || fail "RabbitMQ doesn't answer within $wait_limit s: $said" \
            "is it running, and is this user allowed to read its Erlang cookie?"
        sleep 1
    done
}

apply() {
    local text file
    text=$(definitions "") || exit 1
    wait_for_broker
    if $dry_run; then
        say "apply: would set users $(admin_name), collective, monitor, their permissions, 1 policy, 5 exchanges, 2 queues, 7 bindings"
        if has_user guest; then say "apply: would remove the user guest"; fi
        return 0
    fi
    file=$(mktemp)
    # The name is known now: it stands in the trap as it is.
    # shellcheck disable=SC2064
    trap "rm -f '$file'" EXIT
    printf '%s\n' "$text" >"$file"
    control import_definitions "$file" >&2
    say "apply: users $(admin_name), collective, monitor; permissions, policy and topology are set"
    if has_user guest; then
        control delete_user guest >&2
        say "apply: the user guest is removed"
    fi
    local password
    password=$(password COLLECTIVE_RABBITMQ_PASSWORD true)
    control authenticate_user collective <<<"$password" >/dev/null ||
        fail "collective can't log in with the password that was just set" "try again; then look into the broker's log"
}

# The list is read to its end: a program that is cut off fails.
has_user() {
    local users
    users=$(control list_users --no-table-headers) || fail "the users can't be listed"
    [ -n "$(awk -v name="$1" '$1 == name' <<<"$users")" ]
}

# The broker's user of an agent. Names of agents are unique in their team only.
agent_user_name() {
    local what
    for what in "$1" "$2"; do
        [[ $what =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] ||
            fail "'$what' is no name: it has characters other than letters, digits, '.', '_', '-'"
    done
    printf '%s.%s' "$2" "$1"
}

# A name as one word of a routing key, in a pattern.
word() { printf '%s' "${1//./:}"; }

agent_user() {
    local agent=$1 team=$2 user password made=false read_pattern
    user=$(agent_user_name "$agent" "$team") || exit 1
    password=$(secret RABBITMQ_AGENT_PASSWORD) || exit 1
    if [ -z "$password" ]; then
        [ -n "$output" ] || fail "there is no password for $user" \
            "set RABBITMQ_AGENT_PASSWORD, or give --output FILE to have one made"
        ! [ -e "$output" ] || fail "$output is there already" "name another file"
        password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
        made=true
    elif [ ${#password} -lt 20 ] && ! is_relaxed; then
        fail "RABBITMQ_AGENT_PASSWORD has ${#password} characters" "take 20 or more: openssl rand -hex 24"
    fi
    # Its team's queues and roles, and what is for itself alone.
    read_pattern="^agent\\.tasks\\.$(word "$team")\\.((queue|role)\\.[^.]+|agent\\.$(word "$agent"))\\.(critical|high|normal|low)\$"
    wait_for_broker
    if $dry_run; then
        say "agent-user: would make $user, write ^agent\\.results\$, read $read_pattern"
        return 0
    fi
    if $made; then printf '%s\n' "$password" >"$output"; fi
    if has_user "$user"; then
        control change_password "$user" <<<"$password" >&2
    else
        control add_user "$user" <<<"$password" >&2
    fi
    control set_permissions -p / "$user" '^$' '^agent\.results$' "$read_pattern" >&2
    say "agent-user: $user may publish to agent.results and read $read_pattern"
    if $made; then say "agent-user: its password is in $output"; fi
}

remove_agent_user() {
    local user
    user=$(agent_user_name "$1" "$2") || exit 1
    wait_for_broker
    if ! has_user "$user"; then
        say "remove-agent-user: there is no user $user"
    elif $dry_run; then
        say "remove-agent-user: would remove $user"
    else
        control delete_user "$user" >&2
        say "remove-agent-user: $user is removed; its connections are closed"
    fi
}

read_options "$@"
if [ -n "$container" ]; then run_in_container; fi
case "${words[0]} ${#words[@]}" in
"apply 1") apply ;;
"render 2") render "${words[1]}" ;;
"agent-user 3") agent_user "${words[1]}" "${words[2]}" ;;
"remove-agent-user 3") remove_agent_user "${words[1]}" "${words[2]}" ;;
*) fail "'${words[*]}' is not understood" "setup.sh --help" ;;
esac
