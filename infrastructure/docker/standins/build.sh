#!/usr/bin/env bash
# Builds stand-ins for the images that a machine without a container registry
# can't pull: the same programs from Debian's packages, the Python and the npm
# registry, under the names that images.lock pins, with each image's contract.
#
#   build.sh [NAME…]   builds these, or all but rust; what is built already is kept
#   build.sh --again [NAME…]   builds them again
#   build.sh --base SUITE…     builds only what stand-ins of a Debian start from
#   build.sh --remove  removes every stand-in
#
# An image that is there under such a name and is not a stand-in is never touched.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly lock=$here/../images.lock
readonly label=org.collective.standin
docker=${DOCKER:-docker}
[ -n "${DOCKER:-}" ] || ! [ -x /usr/bin/docker ] || docker=/usr/bin/docker
again=false

# NAME of a stand-in, image that it stands in for ("" is none), build arguments.
readonly all=(postgres rabbitmq redis prometheus alertmanager node-exporter
    blackbox-exporter postgres-exporter redis-exporter nginx pgadmin redis-commander
    postgres-17 rabbitmq-4 compose-v2)

say() { echo "standins: $*"; }

fail() {
    echo "standins: error: $1" >&2
    [ $# -lt 2 ] || echo "standins: hint: $2" >&2
    exit 1
}

# The pinned image whose repository ends with /NAME or is NAME.
pinned() {
    local found
    found=$(awk -v name="$1" '!/^#/ && NF { split($1, part, ":"); if (part[1] == name) print $1 }' "$lock")
    [ -n "$found" ] || fail "$lock pins no image $1" "write it there as IMAGE:TAG DIGEST SERVICE…"
    echo "$found"
}

is_there() { "$docker" image inspect "$1" >/dev/null 2>&1; }

is_standin() {
    [ "$("$docker" image inspect --format "{{ index .Config.Labels \"$label\" }}" "$1" 2>/dev/null)" = true ]
}

# A Debian from packages alone, and the base of all stand-ins of it.
build_base() {
    local suite=$1 raw=collective-standin/$1:raw base=collective-standin/$1:base rootfs
    is_there "$base" && return
    if ! is_there "$raw"; then
        command -v debootstrap >/dev/null || fail "debootstrap is missing" "apt-get install debootstrap"
        rootfs=$(mktemp -d "${TMPDIR:-/var/tmp}/collective-standin-XXXXXX")
        say "making Debian $suite"
        debootstrap --variant=minbase --include=ca-certificates "$suite" "$rootfs" >"$rootfs.log" 2>&1 ||
            fail "debootstrap of $suite failed; see $rootfs.log"
        tar -C "$rootfs" -c . | "$docker" import --change "LABEL $label=true" --change 'CMD ["bash"]' - "$raw" >/dev/null
        rm -rf --one-file-system "$rootfs" "$rootfs.log"
    fi
    "$docker" build -q --build-arg "FROM=$raw" --tag "$base" "$here/base" >/dev/null
}

# Builds IMAGE from FOLDER on a Debian SUITE with build arguments.
build() {
    local image=$1 folder=$2 suite=$3 started=$SECONDS
    shift 3
    if is_there "$image"; then
        is_standin "$image" || { say "$image is there and no stand-in; left alone" && return; }
        if [ "$again" = false ]; then
            say "$image is built already"
            return
        fi
    fi
    build_base "$suite"
    local -a options=(--build-arg "FROM=collective-standin/$suite:base")
    local argument
    for argument in "$@"; do options+=(--build-arg "$argument"); done
    local context
    context=$(mktemp -d "${TMPDIR:-/var/tmp}/collective-standin-XXXXXX")
    cp "$here/$folder"/* "$context/"
    case $folder in
    pgadmin) fetch_pgadmin "$context" ;;
    redis-commander) fetch_redis_commander "$context" ;;
    rust) copy_toolchain "$context" ;;
    esac
    "$docker" build -q "${options[@]}" --label "$label=true" --tag "$image" "$context" >/dev/null ||
        fail "the build of $image failed" "run: $docker build ${options[*]} $context"
    rm -rf "$context"
    say "$image built in $((SECONDS - started)) s"
}

# The registries are asked from this machine, as it is set up to reach them.
fetch_pgadmin() {
    command -v pip3 >/dev/null || fail "pip3 is missing" "apt-get install python3-pip"
    mkdir "$1/wheels"
    pip3 wheel --quiet --no-cache-dir --wheel-dir "$1/wheels" "pgadmin4==${PGADMIN_VERSION:-9.18}" gunicorn >"$1/pip.log" 2>&1 ||
        fail "pgAdmin can't be fetched" "see $1/pip.log"
}

fetch_redis_commander() {
    command -v npm >/dev/null || fail "npm is missing" "apt-get install npm"
    (
        cd "$1"
        npm pack --silent "redis-commander@${REDIS_COMMANDER_VERSION:-0.9.0}" >npm.log
        mkdir app
        tar -xzf ./*.tgz -C app --strip-components=1
        rm ./*.tgz
        cd app
        npm install --omit=dev --no-package-lock --ignore-scripts >>../npm.log 2>&1
    ) || fail "redis-commander can't be fetched" "see $1/npm.log"
}

copy_toolchain() {
    local sysroot
    sysroot=$(cd "$here" && rustc --print sysroot) || fail "there is no Rust here" "install the toolchain of rust-toolchain.toml"
    mkdir "$1/toolchain" "$1/authorities"
    cp -a "$sysroot/bin" "$sysroot/lib" "$1/toolchain/"
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$1/authorities/" \;
}

component() {
    build "$(pinned "$1")" prometheus bookworm "PACKAGE=$2" "PROGRAM=$2" "AS=$3" "FOLDER=${4:-/}"
}

build_one() {
    case $1 in
    postgres) build "$(pinned postgres)" postgres bookworm MAJOR=15 ;;
    rabbitmq) build "$(pinned rabbitmq)" rabbitmq bookworm ;;
    redis) build "$(pinned redis)" redis bookworm ;;
    prometheus) component prom/prometheus prometheus prometheus /prometheus ;;
    alertmanager) component prom/alertmanager prometheus-alertmanager alertmanager /alertmanager ;;
    node-exporter) component prom/node-exporter prometheus-node-exporter node_exporter ;;
    blackbox-exporter) component prom/blackbox-exporter prometheus-blackbox-exporter blackbox_exporter ;;
    postgres-exporter) component prometheuscommunity/postgres-exporter prometheus-postgres-exporter postgres_exporter ;;
    redis-exporter) component oliver006/redis_exporter prometheus-redis-exporter redis_exporter ;;
    nginx) build "$(pinned nginxinc/nginx-unprivileged)" nginx bookworm ;;
    pgadmin) build "$(pinned dpage/pgadmin4)" pgadmin bookworm ;;
    redis-commander) build "$(pinned ghcr.io/joeferner/redis-commander)" redis-commander bookworm ;;
    # To compile our image where no registry of images is reached.
    rust) build "$(pinned rust)" rust bookworm ;;
    # For tests of other versions; nothing pins them.
    postgres-17) build collective-standin/postgres:17 postgres trixie MAJOR=17 ;;
    rabbitmq-4) build collective-standin/rabbitmq:4.0 rabbitmq trixie ;;
    compose-v2) build collective-standin/compose:2 compose-v2 trixie ;;
    debian) build_debian ;;
    *) fail "there is no stand-in '$1'" "one of: ${all[*]}" ;;
    esac
}

# The base of our own image, under its pinned name.
build_debian() {
    local image
    image=$(pinned debian)
    is_there "$image" && return
    build_base bookworm
    "$docker" tag collective-standin/bookworm:base "$image"
}

remove_all() {
    local image
    "$docker" image ls --filter "label=$label=true" --format '{{.Repository}}:{{.Tag}}' | while read -r image; do
        "$docker" image rm "$image" >/dev/null && say "removed $image"
    done
}

"$docker" version >/dev/null 2>&1 || fail "no Docker engine answers $docker" "start dockerd"
case ${1:-} in
--remove)
    remove_all
    exit
    ;;
--again)
    again=true
    shift
    ;;
--base)
    shift
    for suite in "${@:?--base needs a suite, such as bookworm}"; do build_base "$suite"; done
    exit
    ;;
-h | --help)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit
    ;;
esac
[ $# -gt 0 ] || set -- debian "${all[@]}"
for name in "$@"; do build_one "$name"; done
