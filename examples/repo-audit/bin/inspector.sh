#!/bin/sh
# The inspector: what ought to be mended. Its prompt starts with `markers`,
# `secrets`, `scripts`, `links` or `papers`.
set -eu
. "$(dirname "$0")/lib.sh"

# Most scripts that are looked into, one process each.
MOST_SCRIPTS=300

# Notes to oneself that were never taken up. The words are put together here, so
# that this script doesn't find itself.
markers() {
    words=$(printf '%s ' todo fixme xxx hack | tr '[:lower:]' '[:upper:]')
    pattern=$(printf '%s' "${words% }" | tr ' ' '|')
    matches -w -E -e "$pattern" HEAD | awk -F'\t' -v words="$words" -v pattern="$pattern" "$SHARED_AWK"'
        {
            text = $3
            match(text, pattern)
            kinds[substr(text, RSTART, RLENGTH)]++
            sub(/^ +/, "", text)
            if (length(text) > 80) text = substr(text, 1, 77) "..."
            if (NR <= 10) row[NR] = sprintf("- %s, line %d: %s", code($1), $2, code(text))
        }
        END {
            count = split(words, word, " ")
            if (NR == 0) { print "No line is marked as left for later."; exit }
            for (i = 1; i <= count; i++)
                if (word[i] in kinds) list = list (list ? ", " : "") kinds[word[i]] " " word[i]
            printf "%d %s left for later (%s).\n\n", NR, plural(NR, "thing was", "things were"), list
            for (i = 1; i in row; i++) print row[i]
            if (NR > 10) printf "\nAnd %d more.\n", NR - 10
        }
    '
}

# Texts that look like keys and passwords. What was found is never shown: this
# result is kept, and sent on.
secrets() {
    {
        kind 'a private key' -e '-----BEGIN ([A-Z]+ )*PRIVATE KEY'
        kind 'a key of a cloud' -e '(^|[^A-Z0-9])AKIA[0-9A-Z]{16}($|[^A-Z0-9])'
        kind 'a token of a code host' -e '(gh[opsur]_[A-Za-z0-9]{36}|glpat-[A-Za-z0-9_-]{20})'
        kind 'a token of a chat' -e 'xox[abprs]-[0-9A-Za-z-]{10,}'
        kind 'a password in quotes' -i -e '(password|passwd|secret|token|api_?key)["'\'' ]*[:=] *["'\''][^"'\''$ {}<>()]{12,}["'\'']'
    } | awk -F'\t' "$SHARED_AWK"'
        NR <= 10 { row[NR] = sprintf("- %s, line %d: %s", code($2), $3, $1) }
        END {
            if (NR == 0) { print "Nothing in it looks like a key or a password."; exit }
            printf "%d %s like a key or a password; look whether they are real.\n\n", NR, \
                plural(NR, "line looks", "lines look")
            for (i = 1; i in row; i++) print row[i]
            if (NR > 10) printf "\nAnd %d more.\n", NR - 10
        }
    '
}

kind() {
    kind=$1
    shift
    matches -E "$@" HEAD | awk -F'\t' -v kind="$kind" '{ print kind "\t" $1 "\t" $2 }'
}

# Shell scripts that the shell can't read, programs that can't be run, and
# scripts that nobody may run.
scripts() {
    # First lines that name an interpreter; the path is enough to find the mode.
    matches -e '^#!' HEAD | awk -F'\t' '$2 == 1 { print "#\t" $1 "\t" $3 }' >"$scratch/shebangs"
    tree | awk -F'\t' -v shebangs="$scratch/shebangs" '
        BEGIN {
            while ((getline line <shebangs) > 0) {
                split(line, part, "\t")
                first[part[2]] = part[3]
            }
        }
        $2 == "blob" && ($1 == "100644" || $1 == "100755") {
            path = $5
            line = path in first ? first[path] : ""
            # Never empty: a shell that reads fields takes two tabs for one.
            shell = "-"
            if (line ~ /[\/ ](sh|dash)( |$)/) shell = "sh"
            else if (line ~ /[\/ ]bash( |$)/) shell = "bash"
            else if (line ~ /[\/ ]ksh( |$)/) shell = "ksh"
            else if (line == "" && path ~ /\.sh$/) shell = "sh"
            print $1 "\t" $3 "\t" shell "\t" (line != "" ? "#!" : "-") "\t" path
        }
    ' >"$scratch/files"
    # The first few only: a process for each.
    awk -F'\t' '$3 != "-"' "$scratch/files" | head -n "$MOST_SCRIPTS" >"$scratch/scripts"
    : >"$scratch/found"
    while IFS=$TAB read -r mode object shell _ path; do
        # A shell that isn't here can't be asked.
        command -v "$shell" >/dev/null || continue
        if ! said=$(git cat-file blob "$object" | "$shell" -n 2>&1 >/dev/null); then
            said=$(printf '%s' "$said" | head -n 1 | tr '\t' ' ')
            printf '%s\t%s can'\''t read it: %s\n' "$path" "$shell" "$said" >>"$scratch/found"
        fi
        : "$mode"
    done <"$scratch/scripts"
    awk -F'\t' '
        $4 == "#!" && $1 == "100644" { print $5 "\tstarts with #! but isn'\''t executable" }
    ' "$scratch/files" >>"$scratch/found"
    awk -F'\t' '$1 == "100755" && $4 == "-"' "$scratch/files" | head -n "$MOST_SCRIPTS" >"$scratch/programs"
    while IFS=$TAB read -r mode object _ _ path; do
        # Programs in machine code (ELF, Mach-O) need no first line.
        start=$(git cat-file blob "$object" | od -A n -t x1 -N 4 | tr -d ' \n')
        case $start in
        7f454c46 | cffaedfe | feedfacf | cafebabe) ;;
        *) printf '%s\tis executable, but nothing says what runs it\n' "$path" >>"$scratch/found" ;;
        esac
        : "$mode"
    done <"$scratch/programs"
    asked=$(wc -l <"$scratch/scripts")
    awk -F'\t' -v asked="$((asked))" "$SHARED_AWK"'
        NR <= 10 { row[NR] = sprintf("- %s %s", code($1), $2) }
        END {
            scripts = sprintf("%d shell %s", asked, plural(asked, "script", "scripts"))
            if (NR == 0 && asked == 0) { print "There is no shell script; every program can be run."; exit }
            if (NR == 0) { print scripts ", all readable by their shell; every program can be run."; exit }
            printf "%s; %d %s about scripts and programs.\n\n", scripts, NR, plural(NR, "complaint", "complaints")
            for (i = 1; i in row; i++) print row[i]
            if (NR > 10) printf "\nAnd %d more.\n", NR - 10
        }
    ' "$scratch/found"
}

# Links of Markdown pages to files that aren't there.
links() {
    {
        paths | awk '{ print "=\t" $0 }'
        matches -e '' HEAD -- '*.md' '*.markdown'
    } | awk -F'\t' "$SHARED_AWK"'
        # The files, and the folders that they lie in.
        $1 == "=" {
            path = $2
            there[path] = 1
            while (sub(/\/[^\/]*$/, "", path)) there[path] = 1
            next
        }
        {
            if ($1 != page) { page = $1; fenced = 0; pages++ }
            text = $3
            if (text ~ /^ *(```|~~~)/) { fenced = !fenced; next }
            if (fenced) next
            gsub(/`[^`]*`/, "", text)
            while (match(text, /\]\([^)]*\)/)) {
                target = substr(text, RSTART + 2, RLENGTH - 3)
                text = substr(text, RSTART + RLENGTH)
                sub(/^ */, "", target)
                if (target ~ /^</) { sub(/^</, "", target); sub(/>.*$/, "", target) }
                else sub(/ .*$/, "", target)
                sub(/[#?].*$/, "", target)
                gsub(/%20/, " ", target)
                if (target == "" || target ~ /^[A-Za-z][A-Za-z0-9+.-]*:/ || target ~ /^\/\//) continue
                links++
                if (!leads(page, target)) {
                    broken++
                    if (broken <= 10) row[broken] = sprintf("- %s, line %d: %s", code(page), $2, code(target))
                }
            }
        }
        function leads(page, target, path, part, parts, i, kept) {
            path = page
            if (target ~ /^\//) path = target
            else if (sub(/\/[^\/]*$/, "/", path)) path = path target
            else path = target
            parts = split(path, part, "/")
            kept = 0
            for (i = 1; i <= parts; i++) {
                if (part[i] == "" || part[i] == ".") continue
                if (part[i] == "..") { if (--kept < 0) return 0 } else part[++kept] = part[i]
            }
            path = ""
            for (i = 1; i <= kept; i++) path = path (i > 1 ? "/" : "") part[i]
            return path == "" || path in there
        }
        END {
            checked = sprintf("%d %s between files in %d Markdown %s", links, plural(links, "link", "links"), \
                pages, plural(pages, "page", "pages"))
            if (!links) { print "No Markdown page has a link to a file."; exit }
            if (!broken) { print checked ", none of them broken."; exit }
            printf "%s; %d %s nowhere.\n\n", checked, broken, plural(broken, "leads", "lead")
            for (i = 1; i in row; i++) print row[i]
            if (broken > 10) printf "\nAnd %d more.\n", broken - 10
        }
    '
}

# The papers that people look for in a repository.
papers() {
    paths | awk '
        function paper(name, pattern) { if (!(name in have) && lower ~ pattern) have[name] = $0 }
        {
            lower = tolower($0)
            paper("a readme", "^readme")
            paper("a licence", "^(licen[cs]e|copying|unlicense)")
            paper("a guide for contributors", "^(\\.github/|docs/)?contributing")
            paper("a changelog", "^(changelog|changes|history|news)")
            paper("a security policy", "^(\\.github/|docs/)?security")
            paper("automatic checks", "^(\\.github/workflows/|\\.gitlab-ci|\\.ci/|\\.circleci/|jenkinsfile|azure-pipelines)")
            paper("tests", "(^|/)(tests?|spec|__tests__)/|[_.-]test\\.[a-z]+$|(^|/)test_[^/]*\\.py$")
            paper("a .gitignore", "^\\.gitignore$")
        }
        END {
            split("a readme;a licence;a guide for contributors;a changelog;a security policy;automatic checks;tests;a .gitignore", name, ";")
            for (i = 1; i in name; i++) {
                if (name[i] in have) {
                    path = have[name[i]]; gsub(/`/, "\047", path)
                    there = there sprintf("- %s: `%s`\n", name[i], path); n++
                } else missing = missing (missing ? ", " : "") name[i]
            }
            if (missing) printf "Missing: %s.\n", missing
            else print "It has all the papers that people look for."
            if (n) printf "\n%s", there
        }
    '
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/audit.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' TERM INT HUP

need=$(first_word)
need_commits
note "inspecting: $need"
case $need in
markers) markers ;;
secrets) secrets ;;
scripts) scripts ;;
links) links ;;
papers) papers ;;
*)
    note "the inspector knows markers, secrets, scripts, links and papers, not '$need'"
    exit 64 # EX_USAGE: trying again is no use
    ;;
esac
