#!/bin/sh
# The historian: what the history tells. Its prompt starts with `hot` or `people`.
set -eu
. "$(dirname "$0")/lib.sh"

# How many of the last commits are looked at: enough to see where work happens now.
LAST=1000

# A shallow clone has only the end of its history, and must say so.
shallow_note() {
    if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
        say
        say "This is a shallow clone: earlier commits are missing here."
    fi
}

# Files that change most often: where the next mistake is likely, and a test worth most.
hot() {
    # The files that are there still, then the files of each commit.
    {
        paths | sed 's/^/= /'
        git log -z --format= --name-only --no-renames -n "$LAST" HEAD | one_a_line
    } | awk '
        /^= / { here[substr($0, 3)] = 1; next }
        $0 in here { changes[$0]++ }
        END { for (path in changes) print changes[path] "\t" path }
    ' | sort -t "$TAB" -k 1,1nr -k 2,2 | awk -F'\t' -v commits="$1" -v last="$LAST" "$SHARED_AWK"'
        NR == 1 { top = $2; most = $1 }
        NR <= 8 { row[NR] = sprintf("- %s: %d", code($2), $1) }
        END {
            if (NR == 0) { print "No file of today was changed in the last commits."; exit }
            looked = commits < last ? commits : last
            printf "The file that changed most often in the last %d %s is %s (%d %s).\n\n", \
                looked, plural(looked, "commit", "commits"), code(top), most, plural(most, "time", "times")
            for (i = 1; i in row; i++) print row[i]
        }
    '
}

# Who wrote it, and on how many people it rests.
people() {
    first=$(git log --format=%cd --date=short HEAD | tail -n 1)
    last=$(git log -n 1 --format=%cd --date=short HEAD)
    # Without HEAD as an argument, shortlog would read a log from standard input.
    git shortlog -s -n HEAD </dev/null | awk -v first="$first" -v last="$last" "$SHARED_AWK"'
        {
            number = $1; name = $0
            sub(/^[ \t]*[0-9]+[ \t]*/, "", name)
            gsub(/[|`\001-\037]/, " ", name)
            all += number; share[NR] = number
            if (NR <= 8) row[NR] = sprintf("- %s: %d", name, number)
        }
        END {
            # The smallest number of people with more than half of the commits.
            for (half = 0; 2 * sum <= all && half < NR; ) sum += share[++half]
            printf "%d %s by %d %s from %s to %s; more than half of them by %d.\n\n", \
                all, plural(all, "commit", "commits"), NR, plural(NR, "person", "people"), first, last, half
            for (i = 1; i in row; i++) print row[i]
            if (NR > 8) printf "\nAnd %d more.\n", NR - 8
        }
    '
}

need=$(first_word)
need_commits
commits=$(git rev-list --count HEAD)
note "reading the history of $(count "$commits" commit commits): $need"
case $need in
hot) hot "$commits" ;;
people) people ;;
*)
    note "the historian knows hot and people, not '$need'"
    exit 64 # EX_USAGE: trying again is no use
    ;;
esac
shallow_note
