#!/bin/sh
# The reporter: one report of what all the others found. Each of their results is
# a file in COLLECTIVE_DEPENDENCIES_DIR, named after its task; its first line is
# the finding, the rest is what it rests on.
set -eu
. "$(dirname "$0")/lib.sh"

results=${COLLECTIVE_DEPENDENCIES_DIR:?is the folder with the results of the tasks before}

# What the tasks are called here, in the order of the report.
tasks() {
    cat <<'END'
survey-languages Languages
survey-largest Largest files
survey-layout Layout
history-people People
history-hot Where work happens
remote Remotes
inspect-papers Papers
inspect-links Links
inspect-scripts Scripts and programs
inspect-markers Left for later
inspect-secrets Keys and passwords
mend Mended
page AUDIT.md
END
}

report() {
    name=$(basename "$(git rev-parse --show-toplevel 2>/dev/null || pwd)")
    say "# Audit of $name"
    say
    if git rev-parse --quiet --verify HEAD >/dev/null; then
        say "At commit $(git log -n 1 --date=short --format='%h of %cd' HEAD)."
    else
        say "It has no commit yet."
    fi
    say
    say "## In short"
    say
    tasks | while read -r task title; do
        if [ -s "$results/$task.txt" ]; then
            say "- **$title**: $(head -n 1 "$results/$task.txt")"
        else
            say "- **$title**: no result; its task did not succeed."
        fi
    done
    tasks | while read -r task title; do
        # The first line was told; a blank one stands before the rest.
        rest=
        [ ! -s "$results/$task.txt" ] || rest=$(sed 1,2d "$results/$task.txt")
        [ -n "$rest" ] || continue
        say
        say "## $title"
        say
        say "$rest"
    done
}

note "reporting on $(find "$results" -name '*.txt' | wc -l | tr -d ' ') results"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/audit.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' TERM INT HUP
report >"$scratch/report.md"
# As the result of the task, and as a file to keep.
[ -z "${COLLECTIVE_ARTIFACTS:-}" ] || cp "$scratch/report.md" "$COLLECTIVE_ARTIFACTS/report.md"
give "$scratch/report.md"
