#!/usr/bin/env bash
# Makes an authority of its own and certificates of it for every door of the
# stack, for tests and for networks that nobody else sees:
#
#   make-test-certificates.sh [HOST…]     names that the proxy answers for
#
# What is there already is kept. For the internet put certificates of a public
# authority into proxy/server.crt and proxy/server.key instead.
set -euo pipefail
umask 077

here=${TLS_FOLDER:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}
days=${TLS_DAYS:-365}
command -v openssl >/dev/null || { echo "tls: error: openssl is missing" >&2 && exit 1; }

make_authority() {
    mkdir -p "$here/ca"
    [ -s "$here/ca/ca.crt" ] && return
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$days" \
        -keyout "$here/ca/ca.key" -out "$here/ca/ca.crt" -subj "/CN=Collective test authority" 2>/dev/null
    chmod 0644 "$here/ca/ca.crt"
    # The folder is mounted where servers read ca.crt; its key stays root's.
    chmod 0755 "$here/ca"
}

# make_certificate FOLDER NAME…
make_certificate() {
    local folder=$here/$1 name names=""
    shift
    mkdir -p "$folder"
    [ -s "$folder/server.crt" ] && return
    for name in "$@"; do
        case $name in
        *[0-9].[0-9]*) names+="IP:$name," ;;
        *) names+="DNS:$name," ;;
        esac
    done
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$folder/server.key" \
        -out "$folder/server.csr" -subj "/CN=$1" 2>/dev/null
    openssl x509 -req -in "$folder/server.csr" -CA "$here/ca/ca.crt" -CAkey "$here/ca/ca.key" \
        -CAcreateserial -days "$days" -out "$folder/server.crt" \
        -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${names%,}") 2>/dev/null
    rm -f "$folder/server.csr"
    cp "$here/ca/ca.crt" "$folder/ca.crt"
    chmod 0644 "$folder/server.crt" "$folder/ca.crt"
    chmod 0755 "$folder"
    echo "tls: $folder/server.crt is for $*"
}

make_authority
for service in postgres rabbitmq redis; do make_certificate "$service" "$service" localhost 127.0.0.1; done
[ $# -gt 0 ] || set -- localhost
make_certificate proxy "$@" 127.0.0.1
# The proxy runs as user 101 and reads its key from the mount.
chmod 0644 "$here/proxy/server.key"
