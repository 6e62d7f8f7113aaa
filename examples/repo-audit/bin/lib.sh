# Common ground of the agents of this audit. Sourced, never run.
# shellcheck shell=sh disable=SC2034 # what is set here is used there
#
# All of them look at the last commit (HEAD), not at the files that happen to lie
# around: so they agree with each other, and bare repositories work too.

# Bytes, not characters: file names and sources may be in any encoding.
LC_ALL=C
export LC_ALL
TAB=$(printf '\t')

# A person's own settings (colours, line numbers in grep, signatures in log) must
# not change what the agents read.
git() {
    command git -c color.ui=false -c core.quotePath=false -c grep.lineNumber=false \
        -c grep.column=false -c grep.fullName=false -c log.showSignature=false "$@"
}

# The agent's words go to standard output: they are the result of its task.
say() {
    printf '%s\n' "$*"
}

# What a person may want to see while the agent works goes to standard error.
note() {
    printf '%s\n' "$*" >&2
}

# Gives a file as the task's result: in the file that was named for it, or as output.
give() {
    if [ -n "${COLLECTIVE_RESULT:-}" ]; then cat "$1" >"$COLLECTIVE_RESULT"; else cat "$1"; fi
}

# 1 file, 2 files.
count() {
    if [ "$1" -eq 1 ]; then printf '%s %s' "$1" "$2"; else printf '%s %s' "$1" "$3"; fi
}

# The first word of the prompt says what to look at. A language model would read
# all of it; these agents know one thing each.
first_word() {
    IFS=': ' read -r word rest || :
    : "$rest"
    printf '%s' "$word"
}

# Ends the task where there is nothing to look at.
need_commits() {
    # A folder inside the repository would see only its own part of it.
    top=$(git rev-parse --show-toplevel 2>/dev/null) || top=
    cd "${top:-.}" || exit 66 # EX_NOINPUT
    if ! git rev-parse --quiet --verify HEAD >/dev/null; then
        git rev-parse --git-dir >/dev/null
        say "There is no commit yet, so there is nothing to look at."
        exit 0
    fi
}

# NUL-separated paths, one a line. Names may hold anything but NUL: a tab becomes a
# blank, and what would break a line is shown as `?`.
one_a_line() {
    tr '\n\000\t' '?\n ' | tr '\001-\010\013-\037\177' '[?*]'
}

# The paths of all files, one a line.
paths() {
    git ls-tree -r -z --name-only HEAD | one_a_line
}

# The files at HEAD, one a line: mode, type, object, size, path.
tree() {
    git ls-tree -r -l -z HEAD | one_a_line | awk '{
        match($0, /^[^ ]+ [^ ]+ [^ ]+ +[^ ]+ /)
        print $1 "\t" $2 "\t" $3 "\t" $4 "\t" substr($0, RLENGTH + 1)
    }'
}

# git grep, where finding nothing is no failure.
search() {
    git grep "$@" || [ $? -eq 1 ]
}

# Makes fields of what `git grep -z` prints: NUL becomes a tab, and each match a
# line, though names may hold line breaks. $1 is the number of fields.
fields() {
    tr '\001\t' '  ' | tr '\000\n' '\t\001' | awk -v fields="$1" '
        BEGIN { RS = "\001"; FS = "\t" }
        { record = held $0 }
        split(record, part, "\t") < fields { held = record "?"; next }
        { sub(/^HEAD:/, "", record); print record; held = "" }
    ' | tr '\001-\010\013-\037\177' '[?*]'
}

# Matches of text files at HEAD, one a line: path, line number, text.
matches() {
    search -I -n -z "$@" | fields 3
}

# How many lines of each text file at HEAD match: path, number.
match_counts() {
    search -I -c -z "$@" | fields 2
}

# shellcheck disable=SC2016 # these are awk's, not the shell's
# Functions for awk: names as code, sizes as people read them.
SHARED_AWK='
    function code(text) { gsub(/`/, "\047", text); return "`" text "`" }
    function plural(number, one, many) { return number == 1 ? one : many }
    function size(bytes) {
        if (bytes < 1024) return sprintf("%d B", bytes)
        if (bytes < 1048576) return sprintf("%.1f KiB", bytes / 1024)
        return sprintf("%.1f MiB", bytes / 1048576)
    }
    function ending(path, name, parts) {
        parts = split(path, name, "/")
        path = name[parts]
        if (path ~ /^(Dockerfile|Makefile|GNUmakefile)/) return path ~ /^D/ ? "Dockerfile" : "Makefile"
        if (path ~ /.\.[A-Za-z0-9]+$/) { sub(/^.*\./, "", path); return "." tolower(path) }
        return "no ending"
    }
'
