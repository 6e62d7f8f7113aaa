#!/bin/bash
# Makes an authority and one certificate for each node of the cluster in /certs.
# What is there already is kept; it can be stopped at any point and run again.
set -euo pipefail

certs=${CERTS:-/certs}
nodes=(elasticsearch-1 elasticsearch-2 elasticsearch-3)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_authority() {
  [ -s "$certs/ca/ca.key" ] && return
  elasticsearch-certutil ca --silent --pem --days 1825 --out "$work/ca.zip"
  unzip -q -o "$work/ca.zip" -d "$work"
  mkdir -p "$certs/ca"
  mv "$work/ca/ca.crt" "$certs/ca/ca.crt"
  mv "$work/ca/ca.key" "$certs/ca/ca.key"
  echo "certs: a new authority"
}

make_certificate() {
  local node=$1
  [ -s "$certs/$node/$node.key" ] && return
  elasticsearch-certutil cert --silent --pem --days 1825 --name "$node" --dns "$node,localhost" --ip 127.0.0.1 \
    --ca-cert "$certs/ca/ca.crt" --ca-key "$certs/ca/ca.key" --out "$work/$node.zip"
  unzip -q -o "$work/$node.zip" -d "$work"
  mkdir -p "$certs/$node"
  mv "$work/$node/$node.crt" "$certs/$node/$node.crt"
  mv "$work/$node/$node.key" "$certs/$node/$node.key"
  echo "certs: a certificate for $node"
}

PATH=$PATH:/usr/share/elasticsearch/bin
make_authority
for node in "${nodes[@]}"; do make_certificate "$node"; done
# Every program of the stack reads the authority; the nodes run as user 1000 and
# group 0; the authority's key is root's.
chown -R 0:0 "$certs"
find "$certs" -type d -exec chmod 0755 {} +
find "$certs" -name '*.crt' -exec chmod 0644 {} +
find "$certs" -name '*.key' -exec chmod 0640 {} +
chmod 0600 "$certs/ca/ca.key"
