#!/bin/sh
# Compiles the mounted source at every change and puts the binary where the
# containers of development look for a newer one. What doesn't compile changes
# nothing: the binary of before goes on.
set -eu

readonly source="${SOURCE:-/src}"
readonly place=/opt/collective/dev
readonly pause="${REBUILD_PAUSE:-2}"

say() { echo "rebuild: $*" >&2; }

# A sum of everything that is compiled.
state() {
    find "$source/crates" "$source/Cargo.toml" "$source/Cargo.lock" -type f \
        \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' -o -name '*.sql' -o -name '*.lua' -o -name '*.html' \) \
        -printf '%p %s %T@\n' 2>/dev/null | sort | cksum
}

build() {
    RUSTUP_TOOLCHAIN=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$source/rust-toolchain.toml")
    export RUSTUP_TOOLCHAIN
    if cargo build --locked --manifest-path "$source/Cargo.toml" --package collective-cli --bin collective; then
        install -m 0755 "$CARGO_TARGET_DIR/debug/collective" "$place/.collective.new"
        mv -f "$place/.collective.new" "$place/collective"
        say "a new binary is there"
    else
        say "it doesn't compile; the binary of before goes on"
    fi
}

seen=
while :; do
    now=$(state)
    if [ "$now" != "$seen" ]; then
        seen=$now
        build
    fi
    sleep "$pause"
done
