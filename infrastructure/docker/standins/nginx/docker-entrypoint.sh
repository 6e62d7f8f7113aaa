#!/bin/sh
# Debian builds the stream module apart; everything else is as in the image.
set -e
if [ "$1" = nginx ]; then
    shift
    exec nginx -g "load_module /usr/lib/nginx/modules/ngx_stream_module.so; daemon off;" -c /etc/nginx/nginx.conf
fi
exec "$@"
