#!/bin/sh
# The surveyor: how large the repository is, in which languages, and where the
# weight lies. Its prompt starts with `languages`, `largest` or `layout`.
set -eu
. "$(dirname "$0")/lib.sh"

# Lines and files by ending. A language is what people call the ending.
languages() {
    match_counts -e '' HEAD | awk -F'\t' "$SHARED_AWK"'
        BEGIN {
            split(".rs Rust .py Python .js JavaScript .ts TypeScript .tsx TypeScript .go Go " \
                ".java Java .kt Kotlin .c C .h C .cc C++ .cpp C++ .hpp C++ .rb Ruby .php PHP " \
                ".sh Shell .bash Shell .sql SQL .html HTML .css CSS .md Markdown .toml TOML " \
                ".yaml YAML .yml YAML .json JSON .lock Lockfile .proto Protobuf .tf Terraform", word, " ")
            for (i = 1; word[i] != ""; i += 2) name[word[i]] = word[i + 1]
        }
        {
            end = ending($1)
            language = end in name ? name[end] : end
            lines[language] += $2; files[language]++; all += $2; number++
        }
        END {
            print "total\t" all + 0 "\t" number + 0
            for (language in lines) print language "\t" lines[language] "\t" files[language]
        }
    ' | sort -t "$TAB" -k 2,2nr -k 1,1 | awk -F'\t' "$SHARED_AWK"'
        # The total sorts first, since it is the sum; a tie means that there is one language.
        $1 == "total" { all = $2; number = $3; next }
        { row[++rows] = $0 }
        END {
            if (rows == 0) { print "There is no text in it."; exit }
            split(row[1], first, "\t")
            if (first[1] == "no ending") first[1] = "in files whose names have no ending"
            printf "%d %s of text in %d %s, most of them %s.\n\n", all, plural(all, "line", "lines"), \
                number, plural(number, "file", "files"), first[1]
            print "| language | lines | files | share |"
            print "|---|--:|--:|--:|"
            for (i = 1; i <= rows && i <= 10; i++) {
                split(row[i], part, "\t")
                printf "| %s | %d | %d | %.0f %% |\n", part[1], part[2], part[3], 100 * part[2] / (all ? all : 1)
            }
            if (rows > 10) printf "\nAnd %d more.\n", rows - 10
        }
    '
}

# Files by size; lengths come from git, so nothing is unpacked.
largest() {
    tree | awk -F'\t' "$SHARED_AWK"'
        $2 == "blob" { all += $4; number++; print $4 "\t" $5 }
        END { print -1 "\t" size(all + 0) "\t" number + 0 }
    ' | sort -t "$TAB" -k 1,1nr | awk -F'\t' "$SHARED_AWK"'
        $1 < 0 { all = $2; number = $3; next }
        NR <= 10 { row[NR] = sprintf("- %s, %s", code($2), size($1)); if (NR == 1) top = $0 }
        END {
            if (number == 0) { print "There is no file in it."; exit }
            split(top, first, "\t")
            printf "%s in %d %s; the largest is %s with %s.\n\n", all, number, plural(number, "file", "files"), code(first[2]), size(first[1])
            for (i = 1; i in row; i++) print row[i]
        }
    '
}

# Files by top folder, and how deep they lie.
layout() {
    paths | awk "$SHARED_AWK"'
        {
            depth = split($0, part, "/")
            top = depth > 1 ? part[1] "/" : "the top"
            files[top]++
            if (depth > deepest) { deepest = depth; where = $0 }
        }
        END {
            if (NR == 0) { print -1 "\tThere is no file in it."; exit }
            for (top in files) print files[top] "\t" top
            folders = length_of(files)
            printf "-1\t%d %s in %d %s at the top; the deepest lies %d %s down: %s.\n", \
                NR, plural(NR, "file", "files"), folders, plural(folders, "folder", "folders"), \
                deepest, plural(deepest, "level", "levels"), code(where)
        }
        function length_of(list, key, n) { for (key in list) if (key != "the top") n++; return n + 0 }
    ' | sort -t "$TAB" -k 1,1nr -k 2,2 | awk -F'\t' "$SHARED_AWK"'
        $1 < 0 { print $2 "\n"; for (i = 1; i <= rows; i++) print row[i]; exit }
        rows < 12 { row[++rows] = sprintf("- %s: %d", $2 == "the top" ? $2 : code($2), $1) }
    '
}

need=$(first_word)
need_commits
note "surveying: $need"
case $need in
languages) languages ;;
largest) largest ;;
layout) layout ;;
*)
    note "the surveyor knows languages, largest and layout, not '$need'"
    exit 64 # EX_USAGE: trying again is no use
    ;;
esac
