#!/usr/bin/env bash
# Makes postgres/seeds/dev_data.sql anew: a real server and real agents live
# through a small story, and what they leave in the database becomes statements.
# Run it when the schema has changed, and look at the difference.
# What lib.sh and the parts set is used here.
# shellcheck disable=SC2154
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
for part in postgres rabbitmq redis together; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done

# An agent of the story: it does what the prompt's first word says.
write_agent() {
    cat >"$work/agent" <<'AGENT'
#!/usr/bin/env bash
read -r word rest
case $word in
Fails*) echo "The test still fails one time in ten." >&2; exit 1 ;;
*) sleep 0.3; echo "Done: $rest" ;;
esac
AGENT
    chmod +x "$work/agent"
}

story() {
    local queue
    for queue in backend frontend docs; do cli queue add "$queue" >/dev/null; done
    add() { cli task add --quiet "$@" >/dev/null; }
    add "Set up the repository" --key setup --queue backend --label area=base --prompt "Creates the folders, the linter and the first test."
    add "Store sessions in the database" --key sessions --queue backend --after setup --label area=login --priority high \
        --prompt "Moves sessions out of memory, so that a restart logs nobody out."
    add "Write the login form" --key form --queue frontend --after setup --label area=login --prompt "Builds a form with name, password and a clear error."
    add "Find why the login test is flaky" --key flaky --queue backend --after sessions --max-attempts 2 --retry-delay 1ms --retry-max-delay 1ms \
        --label area=login --prompt "Fails one time in ten; find the reason."
    local name
    for name in ada:backend bob:frontend; do
        launch_agent "${name%:*}" "${name#*:}"
    done
    cli task wait setup sessions form --for 60s >/dev/null
    cli task wait flaky --for 60s >/dev/null 2>&1 || true
    for name in ada bob; do stop "$work/agent-$name"; done
    # What is still to do.
    add "Review the login form" --key review --queue frontend --after form --label area=login --priority high \
        --prompt "Checks the form on a phone, with a screen reader, and with a wrong password."
    add "Describe the login in the handbook" --key handbook --queue docs --after review --label area=docs \
        --prompt "Writes one page: how to log in, what to do when it fails."
    add "Release the login" --key release --queue backend --after review --after handbook --label area=base --prompt "Tags the version and writes the notes."
    add "Update the dependencies" --key dependencies --queue backend --label area=base --priority low --prompt "Updates what has a security fix, one commit each."
    add "Renew the certificate" --key certificate --queue backend --label area=base --run-at 2031-01-01T03:00:00Z \
        --prompt "Renews the certificate of the staging server."
    add "Try another login library" --key library --queue backend --label area=login --prompt "Compares three libraries by size and age."
    cli task cancel library --yes --reason "We stay with the one that we have." >/dev/null
    cli message send agent:bob --from ada "The form answers 422 for an empty name now; please check it in the review." >/dev/null
    cli schedule add nightly "0 3 * * *" "Run the slow tests" --queue backend --prompt "Runs the tests that take longer than a minute." >/dev/null
    cli schedule pause nightly >/dev/null
}

launch_agent() {
    local place=$work/agent-$1
    mkdir -p "$place"
    launch "$place" env -i PATH="$PATH" HOME="$place" COLLECTIVE_DATA="$sv/data" "$(binary)" agent run --name "$1" --queue "$2" \
        --description "Works on the $2" -- "$work/agent"
}

begin
pg_place story-postgres
mq_place story-rabbitmq
rd_place story-redis
sv_place server
write_agent
tg_start
story
cli task list
stop "$sv"
"$here/seeds.py" "$sv/environment" >"$docker_dir/postgres/seeds/dev_data.sql.new"
mv "$docker_dir/postgres/seeds/dev_data.sql.new" "$docker_dir/postgres/seeds/dev_data.sql"
