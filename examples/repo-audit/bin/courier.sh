#!/bin/sh
# The courier: where the repository comes from and goes to.
#
# It rehearses a flaky network, and says so: the first attempt ends with
# EX_TEMPFAIL, which means `try again`; the second finds the line up. Nothing
# leaves this machine.
set -eu
. "$(dirname "$0")/lib.sh"

if [ "${COLLECTIVE_ATTEMPT:-1}" -eq 1 ]; then
    note "rehearsal: the network is down; trying again may help"
    exit 75 # EX_TEMPFAIL
fi
need_commits

remotes=$(git remote)
if [ -z "$remotes" ]; then
    headline="It has no remote: nothing was ever fetched from or pushed to anywhere else."
else
    number=$(printf '%s\n' "$remotes" | wc -l)
    headline="It has $(count "$((number))" remote remotes)."
fi
say "$headline (Told on attempt ${COLLECTIVE_ATTEMPT:-2}, after a rehearsed loss of the line.)"

say
printf '%s\n' "$remotes" | while IFS= read -r remote; do
    [ -n "$remote" ] || continue
    # An address may hold a user and a password; neither belongs into a report.
    url=$(git config --get "remote.$remote.url" | tr '`' "'" | sed 's,://[^/@]*@,://,') || url=unknown
    say "- \`$remote\`: \`$url\`"
done
if upstream=$(git rev-parse --abbrev-ref '@{upstream}' 2>/dev/null); then
    # As of the last fetch: the courier doesn't fetch.
    behind=$(git rev-list --count 'HEAD..@{upstream}')
    ahead=$(git rev-list --count '@{upstream}..HEAD')
    say "- Compared with \`$upstream\` as last fetched: $(count "$ahead" commit commits) ahead, $behind behind."
fi
