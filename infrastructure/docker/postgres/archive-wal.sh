#!/bin/sh
# Keeps one WAL segment: archive-wal.sh PATH NAME, as archive_command calls it.
#
# A segment that is there already is never overwritten: the same content counts
# as kept (PostgreSQL asks again after a crash), another one is a mistake that
# PostgreSQL goes on reporting. The name appears only when all bytes are on disk.
set -eu

archive=${COLLECTIVE_WAL_ARCHIVE:-/var/lib/postgresql/wal_archive}

fail() {
    echo "archive-wal: $1" >&2
    exit 1
}

[ $# -eq 2 ] || fail "give the path and the name of a segment"
path=$1
name=$2
case $name in
*/* | "" | .*) fail "'$name' is no name of a segment" ;;
esac
[ -d "$archive" ] || fail "the folder $archive is missing: mount a volume there"
[ -w "$archive" ] || fail "the folder $archive can't be written by $(id -un): chown it"

kept=$archive/$name
if [ -e "$kept" ]; then
    cmp -s "$path" "$kept" && exit 0
    fail "$kept is there with other content: two servers use one archive?"
fi

part=$archive/.$name.part
rm -f "$part"
cp "$path" "$part" || fail "cannot copy $path to $archive: is its disk full?"
sync "$part" 2>/dev/null || sync
# A hard link is refused where the name is taken, which a rename isn't.
ln "$part" "$kept" || fail "cannot name $kept"
rm -f "$part"
sync "$archive" 2>/dev/null || sync
