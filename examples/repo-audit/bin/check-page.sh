#!/bin/sh
# The check of the task `page`: whether AUDIT.md has every section. It runs in a
# clean worktree at the commit that the agent claims, whatever the agent says.
set -eu

if [ ! -f AUDIT.md ]; then
    echo "there is no AUDIT.md"
    exit 1
fi
missing=0
for section in 'Findings' 'What to do next' 'How it was found'; do
    if ! grep -q "^## $section\$" AUDIT.md; then
        echo "AUDIT.md has no section: $section"
        missing=1
    fi
done
exit "$missing"
