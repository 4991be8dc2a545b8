#!/usr/bin/env bash
# The clients see losses: nginx closes idle connections at a reload (issue of its design), and they count that.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

nginx="$(PATH="$PATH:/usr/sbin" command -v nginx)" || { say "nginx is missing"; exit 77; }
cat >"$WORK/nginx.conf" <<NGINX
worker_processes 2;
pid $WORK/nginx.pid;
error_log $WORK/nginx.log;
events { worker_connections 1024; }
http {
  access_log off;
  upstream origin { server $ORIGIN; keepalive 64; }
  server {
    listen $WEB;
    keepalive_requests 1000000;
    client_body_temp_path $WORK/body;
    proxy_temp_path $WORK/proxy;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / { proxy_pass http://origin; }
  }
}
NGINX
start_origin
"$nginx" -c "$WORK/nginx.conf"
load idle --address "$WEB" --keep-alive 6
load fresh --address "$WEB" --fresh 3
for _ in 1 2; do
  "$nginx" -c "$WORK/nginx.conf" -s reload 2>/dev/null
  sleep 1
done
unload idle
unload fresh
"$nginx" -c "$WORK/nginx.conf" -s stop 2>/dev/null
holds "losses of kept connections are seen" "$(count idle .failed) > 0"
# And nothing else is taken for one.
lossless fresh
