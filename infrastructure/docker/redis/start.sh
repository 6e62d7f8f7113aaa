#!/bin/sh
# The container's entrypoint: writes the file of users from the environment and
# switches TLS on where a certificate is mounted; then the image's own.
#   start.sh redis-server /opt/collective/redis/redis.conf
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
data=${COLLECTIVE_REDIS_DATA:-/data}
tls=${COLLECTIVE_TLS_DIR:-/etc/redis/tls}
run=${COLLECTIVE_RUN_DIR:-/run/collective}
users=$data/users.acl
# What the file was when it was written here; see write_users.
rendered=$data/users.acl.rendered

say() { echo "start: $*" >&2; }

fail() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# A value of the environment by its name.
value_of() { eval "printf '%s' \"\${$1:-}\""; }

# The secret of a name, from NAME or from the file that NAME_FILE names.
secret() {
    secret_value=$(value_of "$1")
    secret_file=$(value_of "$1_FILE")
    if [ -n "$secret_file" ]; then
        [ -z "$secret_value" ] || fail "both $1 and $1_FILE are set" "leave one of them out"
        [ -r "$secret_file" ] || fail "$1_FILE: the file $secret_file can't be read"
        secret_value=$(cat "$secret_file")
        [ -n "$secret_value" ] || fail "$1_FILE: the file $secret_file is empty"
    fi
    printf '%s' "$secret_value"
}

is_relaxed() {
    case ${COLLECTIVE_ENVIRONMENT:-} in
    development | dev | test) return 0 ;;
    *) return 1 ;;
    esac
}

# The password of a user. In development and test one that is missing is
# REDIS_PASSWORD; elsewhere it must be there, where it is needed.
password() {
    password_value=$(secret "$1") || exit 1
    if [ -z "$password_value" ] && is_relaxed; then password_value=$(secret REDIS_PASSWORD) || exit 1; fi
    if [ -z "$password_value" ]; then
        [ "$2" = false ] || fail "$1 is not set" \
            "make one: $1=\$(openssl rand -hex 24); in development set COLLECTIVE_ENVIRONMENT=development"
    elif ! is_relaxed && [ ${#password_value} -lt 20 ]; then
        fail "$1 has ${#password_value} characters" "take 20 or more: openssl rand -hex 24"
    fi
    printf '%s' "$password_value"
}

# How the file of users knows a password: `#` and its SHA-256. A user without
# one can't log in.
hash_of() {
    if [ -z "$1" ]; then
        printf 'resetpass'
    else
        printf '#%s' "$(printf '%s' "$1" | sha256sum | cut -c1-64)"
    fi
}

# Drivers introduce themselves where the server knows the command: from 7.2 on. A
# file of users that names a command which is unknown stops the server.
setinfo_rule() {
    version=$(redis-server --version | sed -n 's/.*v=\([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    major=${version% *}
    minor=${version#* }
    if [ "${major:-0}" -gt 7 ] || { [ "${major:-0}" = 7 ] && [ "$minor" -ge 2 ]; }; then
        printf ' +client|setinfo'
    fi
}

# Passwords that were changed in the running server (ACL SETUSER, ACL SAVE)
# survive a restart with the environment of before; a changed one is written.
write_users() {
    a=$(password REDIS_PASSWORD true) || exit 1
    b=$(password COLLECTIVE_REDIS_PASSWORD true) || exit 1
    c=$(password REDIS_EXPORTER_PASSWORD false) || exit 1
    a=$(hash_of "$a")
    b=$(hash_of "$b")
    c=$(hash_of "$c")
    text=$(sed -e "s/@DEFAULT_HASH@/$a/" -e "s/@COLLECTIVE_HASH@/$b/" -e "s/@EXPORTER_HASH@/$c/" \
        -e "s/@SETINFO@/$(setinfo_rule)/" \
        "$here/users.template.acl")
    if [ -s "$users" ] && [ "$(cat "$rendered" 2>/dev/null)" = "$text" ]; then return 0; fi
    printf '%s\n' "$text" >"$users.new" || fail "$data can't be written" "is the volume writable for uid $(id -u)?"
    mv -f "$users.new" "$users"
    printf '%s\n' "$text" >"$rendered.new"
    mv -f "$rendered.new" "$rendered"
    if is_root; then chown redis:redis "$users" "$rendered"; fi
}

# The options of TLS, for the server's user by a copy: what is mounted may be
# readable for root only.
copy_certificates() {
    mkdir -p "$run" || fail "the folder $run can't be made" "mount a tmpfs at $run"
    for name in server.crt server.key ca.crt; do
        if [ -e "$tls/$name" ]; then cat "$tls/$name" >"$run/$name"; fi
    done
    [ -s "$run/server.key" ] || fail "$tls/server.key is missing or can't be read" "mount it beside server.crt"
    if is_root; then chown -R redis:redis "$run"; fi
}

if [ "${1:-}" = redis-server ]; then
    write_users
    set -- "$@" --aclfile "$users"
    if [ -e "$tls/server.crt" ]; then
        copy_certificates
        set -- "$@" --tls-port 6380 --tls-auth-clients no \
            --tls-cert-file "$run/server.crt" --tls-key-file "$run/server.key"
        if [ -e "$run/ca.crt" ]; then set -- "$@" --tls-ca-cert-file "$run/ca.crt"; fi
        if [ "${REDIS_REQUIRE_TLS:-false}" = true ]; then set -- "$@" --port 0; fi
    elif [ "${REDIS_REQUIRE_TLS:-false}" = true ]; then
        fail "REDIS_REQUIRE_TLS is true and $tls/server.crt is missing" "mount server.crt and server.key at $tls"
    fi
    unset REDIS_PASSWORD COLLECTIVE_REDIS_PASSWORD REDIS_EXPORTER_PASSWORD REDISCLI_AUTH
fi
exec docker-entrypoint.sh "$@"
