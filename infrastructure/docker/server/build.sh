#!/usr/bin/env bash
# Builds collective:local from a binary that is compiled already, so that the
# image needs no Rust: build.sh BINARY [IMAGE]
#
# The binary must fit the image's Debian 12 (glibc 2.36 or older).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?"usage: build.sh BINARY [IMAGE]"}
image=${2:-collective:${COLLECTIVE_VERSION:-local}}
docker=${DOCKER:-docker}
[ -n "${DOCKER:-}" ] || ! [ -x /usr/bin/docker ] || docker=/usr/bin/docker

[ -x "$binary" ] || { echo "build: error: $binary is no program" >&2 && exit 1; }
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/dist" "$context/infrastructure/docker/server"
cp "$binary" "$context/dist/collective"
cp "$here/entrypoint.sh" "$context/infrastructure/docker/server/"
"$docker" build --quiet --target prebuilt --file "$here/Dockerfile" --tag "$image" \
    --build-arg "VERSION=$("$binary" --version | cut -d' ' -f2)" \
    --build-arg "REVISION=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)" "$context" >/dev/null
"$docker" run --rm "$image" --version >/dev/null
echo "build: $image is $("$docker" image inspect --format '{{ .Size }}' "$image" | awk '{ printf "%.0f MB", $1 / 1e6 }')"
