#!/bin/sh
# The editor: changes files, in a worktree and on a branch of its own, so that
# nobody's work is touched. Its prompt starts with `mend` or `page`.
set -eu
. "$(dirname "$0")/lib.sh"

# Most files that are mended in one go: a change that a person can still review.
MOST_FILES=200

# Commits what was changed; a person's hooks and signatures are not the agent's.
commit() {
    git add --all
    git -c commit.gpgsign=false commit --quiet --no-verify --message "$1"
}

# Where a person finds the work.
say_where() {
    say
    say "The work is on the branch \`${COLLECTIVE_BRANCH:-$(git rev-parse --abbrev-ref HEAD)}\`, its patch is with this result."
}

# Takes blanks from the ends of lines. Two blanks mean something in Markdown, and
# patches and snapshots must stay as they are.
mend_blanks() {
    # shellcheck disable=SC2016 # the inner shell's, not this one's
    search -I -l -z -e "[ $TAB]\$" -- . ':!*.md' ':!*.markdown' ':!*.patch' ':!*.diff' ':!*.snap' |
        xargs -0 sh -c '
            blanks=$1 copy=$2 left=$3
            shift 3
            for file do
                # A link would be followed out of the repository.
                [ -f "./$file" ] && [ ! -L "./$file" ] && [ "$left" -gt 0 ] || continue
                left=$((left - 1))
                sed "s/[$blanks]*\$//" "./$file" >"$copy"
                # Written into the old file, which keeps its mode.
                cat "$copy" >"./$file"
            done
        ' sh " $TAB" "$scratch/copy" "$MOST_FILES"
}

labelled() {
    awk -v label="$1" '{ print label "\t" $0 }'
}

# How the files of each ending begin their lines, as lines of .editorconfig.
measure() {
    {
        match_counts -e '' HEAD | labelled lines
        match_counts -e "^$TAB" HEAD | labelled tab
        match_counts -e '^  [^ ]' HEAD | labelled two
        match_counts -e '^    [^ ]' HEAD | labelled four
    } | awk -F'\t' "$SHARED_AWK"'
        { end = ending($2); sum[$1, end] += $3; if ($1 == "lines") all[end] = 1 }
        END {
            for (end in all) {
                if (end !~ /^\./) continue
                tabs = sum["tab", end]; two = sum["two", end]; four = sum["four", end]
                # Files that indent by two have lines with four, but not the other way round.
                if (tabs > two + four) style = "tab"
                else if (two * 10 > two + four) style = "space 2"
                else if (four) style = "space 4"
                else continue
                print sum["lines", end] "\t" end "\t" style
            }
        }
    ' | sort -t "$TAB" -k 1,1nr -k 2,2 | head -n 6 | awk -F'\t' '
        {
            split($3, style, " ")
            printf "\n[*%s]\nindent_style = %s\n", $2, style[1]
            if (style[2]) printf "indent_size = %s\n", style[2]
        }
    '
}

write_editorconfig() {
    say "# Measured from the files at $(git rev-parse --short HEAD), not wished for."
    say "root = true"
    say
    say "[*]"
    if [ -z "$(search -I -l -e "$(printf '\r')\$" HEAD | head -n 1)" ]; then
        say "end_of_line = lf"
    fi
    say "trim_trailing_whitespace = true"
    say
    say "[*.md]"
    say "trim_trailing_whitespace = false"
    measure
}

mend() {
    mend_blanks
    changed=$(git diff --numstat HEAD | awk '{ lines += $1; files++ } END { print lines + 0, files + 0 }')
    lines=${changed% *}
    files=${changed#* }
    did=
    [ "$files" -eq 0 ] || did="took blanks from the ends of $(count "$lines" line lines) in $(count "$files" file files)"
    if [ ! -e .editorconfig ]; then
        write_editorconfig >.editorconfig
        did="${did:+$did, and }wrote an \`.editorconfig\` that says how the files are indented"
    fi
    if [ -z "$did" ]; then
        say "Nothing to mend: no line ends with blanks, and there is an \`.editorconfig\`."
        return
    fi
    commit "Mend line ends and say how files are indented"
    say "The editor $did."
    say_where
}

# The findings, one a line, as the tasks before this one gave them.
findings() {
    for file in "${COLLECTIVE_DEPENDENCIES_DIR:-/nowhere}"/*.txt; do
        [ -s "$file" ] && head -n 1 "$file"
    done
    return 0
}

section() {
    say
    say "## $1"
    say
    case $1 in
    Findings)
        findings | sed 's/^/- /'
        ;;
    'What to do next')
        findings | grep -E 'lead nowhere|leads nowhere|complaint|^Missing|left for later|like a key' |
            sed 's/^/- [ ] /' >"$scratch/next" || :
        if [ -s "$scratch/next" ]; then cat "$scratch/next"; else say "Nothing that the agents know of."; fi
        ;;
    'How it was found')
        say "Each finding is the work of one task, done by git and the usual tools of a shell at"
        say "commit $(git rev-parse --short "${COLLECTIVE_BASE:-HEAD}"). No language model took part."
        ;;
    *) say "(The editor knows nothing of this.)" ;;
    esac
}

# Writes AUDIT.md. This is a rehearsal of an agent that claims to be done and isn't:
# the first attempt leaves out two of three sections. What is missing it learns from
# the check, whose output the next attempt is given.
page() {
    {
        say "# Audit"
        section Findings
        if [ -n "${COLLECTIVE_FEEDBACK:-}" ]; then
            sed -n 's/^.*AUDIT\.md has no section: //p' "$COLLECTIVE_FEEDBACK" | sort -u |
                while IFS= read -r missing; do section "$missing"; done
        fi
    } >AUDIT.md
    commit "Add AUDIT.md: what the agents found"
    say "AUDIT.md is written, with every section that was asked for. (Claimed on attempt ${COLLECTIVE_ATTEMPT:-1}.)"
    say_where
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/audit.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' TERM INT HUP

need=$(first_word)
need_commits
note "editing: $need"
case $need in
mend) mend >"$scratch/result" ;;
page) page >"$scratch/result" ;;
*)
    note "the editor knows mend and page, not '$need'"
    exit 64 # EX_USAGE: trying again is no use
    ;;
esac
give "$scratch/result"
