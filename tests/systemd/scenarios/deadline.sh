#!/usr/bin/env bash
# A drain deadline that is too short: what it cuts is lost, seen by the clients, counted and logged.
source "$(dirname "$0")/lib.sh"

install_node
drain '{ idle_grace = "1s", deadline = "1s", lb_grace = "0s" }'
start_origin
start_node
load cut --address "$WEB" --download 4 --websocket 2 --keep-alive 2
before="$(metric farmgate_drain_cut_total)"
old="$(main_pid)"
systemctl reload farmgate.service || fail "the upgrade was refused: $(prop StatusText)"
upgraded "$old"
within 5 "the old process has gone" only_main
# It tells the new one what it cut, which is where it is looked for.
cut() { [ "$(metric farmgate_drain_cut_total)" -gt "$before" ]; }
within 3 "farmgate_drain_cut_total grows" cut
curl -fsS "http://$ADMIN/metrics" | grep '^farmgate_drain_cut_total' || true
unload cut
holds "each download is lost, and the clients see it" \
  "$(count cut '.kinds[] | select(.kind == "download").failed') == 4"
same "lost small requests" "$(count cut '.kinds[] | select(.kind == "keep-alive").failed')" 0
holds "WebSockets are told before they are cut" "$(count cut '.kinds[] | select(.kind == "websocket").told') == 2"
same "lost WebSockets" "$(count cut '.kinds[] | select(.kind == "websocket").failed')" 0
wrote 'deadline.*cut|cut.*deadline' || fail "no line of the log speaks of the cut"
