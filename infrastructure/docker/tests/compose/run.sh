#!/usr/bin/env bash
# Boots every combination of the compose files and looks at what runs.
#
#   run.sh [--with v1|v2|both] [COMBINATION…]
#
# COMBINATION is one of the names below; without one, all are run. In `+tls` nobody
# comes without TLS; `pages` is the proxy alone, before servers that only tell what
# they were asked. Each is booted
# by docker-compose 1.29 (v1) and by Compose 2.x (v2), from a copy of the files
# with an .env, a prefix, networks and ports of its own, and removed again. Nothing
# else on the machine is touched. Images that are missing are left out by name, or
# pulled where PULL=true; collective:local must be there (server/build.sh).
#
# Ends with a table and with 1 if a check failed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
docker_folder=$(cd "$here/../.." && pwd)
root=$(cd "$docker_folder/../.." && pwd)
readonly here docker_folder root
readonly all=(dev test test+versions staging production dev+monitoring production+monitoring production+proxy
    production+monitoring+proxy+tls pages side-by-side)

# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=checks.sh
. "$here/checks.sh"
# shellcheck source=pages.sh
. "$here/pages.sh"

work=$(mktemp -d "${TMPDIR:-/var/tmp}/collective-compose-XXXXXX")
table=$work/table
: >"$table"
failed=0
tree="" prefix="" version="" combination=""
options=() services=() left_out=()

clean_up() {
    local code=$?
    trap - EXIT
    remove_all_stacks
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# check WORDS COMMAND…: runs it and writes a line of the table; what it prints is
# the reason if it fails.
check() {
    local what=$1 began=$SECONDS said result=passed
    shift
    if ! said=$("$@" 2>&1); then
        result=FAILED
        failed=$((failed + 1))
    fi
    printf '%s\t%s\t%s\t%s\t%s\n' "$combination" "$version" "$what" "$result" "$((SECONDS - began))" >>"$table"
    say "$combination $version: $what: $result$([ "$result" = passed ] || printf ': %s' "$(tail -c 600 <<<"$said")")"
    [ "$result" = passed ]
}

boot() {
    services_to_boot
    [ ${#left_out[@]} -eq 0 ] || say "$combination $version: no image for ${left_out[*]}"
    in_stack up -d "${services[@]}" && wait_healthy && return
    tell_who_failed
    return 1
}

run_stack() {
    combination=$1
    version=$2
    new_stack "${combination%%+*}"
    case $combination in
    *+tls) add_certificates && require_tls ;;
    *+proxy) add_certificates && offer_tls ;;
    esac
    check "config is valid from three folders" config_is_valid || return 0
    if [[ $combination == test* ]]; then
        check "the tests' exit code is that of compose" tests_pass || true
        check "a failing test's exit code too" tests_fail || true
        check "nothing is kept" nothing_is_kept || true
    elif check "boots until all is healthy" boot; then
        services_to_boot
        check "a task goes through the whole stack" task_goes_through || true
        check "ports as promised" ports_are_as_promised || true
        check "limits and privileges in force" containers_are_confined || true
        check "only what must talk can talk" networks_are_split || true
        case $combination in
        production*) check "the document's settings are in force" settings_are_in_force || true ;;
        esac
        case $combination in
        *+monitoring*) check "what was booted is scraped" targets_are_up || true ;;
        esac
        case $combination in
        *+proxy*)
            check "HTTPS and AMQPS by the proxy, nothing else" proxy_serves || true
            check "every page that is here, by the proxy" pages_serve || true
            ;;
        esac
        case $combination in
        *+tls)
            check "nobody comes without TLS" plain_is_refused || true
            check "collective stack verifies, changes passwords, backs up" stack_commands_work || true
            ;;
        *+monitoring | *+proxy) ;;
        *)
            local service
            for service in postgres rabbitmq redis; do
                check "kill -9 of $service, back with the acknowledged task" survives_kill "$service" || true
            done
            ;;
        esac
    fi
    check "removed without a rest" removed || true
    rm -rf "$tree"
}

# Two of development at the same time.
run_side_by_side() {
    combination=dev
    version=$1
    local first_tree first_prefix second_prefix
    new_stack dev
    check "side by side: the first boots" boot || true
    first_tree=$tree first_prefix=$prefix
    new_stack dev
    second_prefix=$prefix
    check "side by side: the second boots beside it" boot || true
    check "side by side: a task in the second" task_goes_through || true
    local second_tree=$tree
    tree=$first_tree prefix=$first_prefix
    check "side by side: a task in the first, none of the second's" only_own_tasks || true
    check "side by side: the first is removed" removed || true
    tree=$second_tree prefix=$second_prefix
    check "side by side: the second goes on" task_goes_through || true
    check "side by side: the second is removed" removed || true
}

versions=(v1 v2)
case ${1:-} in
--with)
    case ${2:-} in
    v1 | v2) versions=("$2") ;;
    both) ;;
    *) die "--with wants v1, v2 or both" ;;
    esac
    shift 2
    ;;
-h | --help)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit
    ;;
esac
[ $# -gt 0 ] || set -- "${all[@]}"

"$docker" version >/dev/null 2>&1 || die "no Docker engine answers $docker" "start dockerd"
own_image=collective:${COLLECTIVE_VERSION:-local}
"$docker" image inspect "$own_image" >/dev/null 2>&1 || die "the image $own_image is missing" "server/build.sh BINARY"
python3 -c 'import yaml' 2>/dev/null || die "Python's yaml is missing" "apt-get install python3-yaml"
for each in "${versions[@]}"; do
    compose "$each" "$work" version >/dev/null 2>&1 || die "Compose $each is missing" "docker-compose 1.29, and standins/build.sh compose-v2"
done

for each in "$@"; do
    for version in "${versions[@]}"; do
        case $each in
        side-by-side) run_side_by_side "$version" ;;
        pages) run_pages "$version" ;;
        *) run_stack "$each" "$version" ;;
        esac
    done
done

echo
awk -F'\t' 'BEGIN { printf "%-22s %-3s %-55s %-7s %s\n", "combination", "", "check", "result", "seconds" }
    { printf "%-22s %-3s %-55s %-7s %s\n", $1, $2, $3, $4, $5 }' "$table"
echo
echo "$(grep -c passed "$table") passed, $failed failed"
[ "$failed" = 0 ]
