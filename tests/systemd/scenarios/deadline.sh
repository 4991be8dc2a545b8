#!/usr/bin/env bash
# A drain deadline that is too short: what it cuts is lost, seen by the clients, counted and logged.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

install_node
drain '{ idle_grace = "1s", deadline = "1s", lb_grace = "0s" }'
start_origin
start_node
load cut --address "$WEB" --download 4 --websocket 2 --keep-alive 2
old="$(main_pid)"
cuts() { metric "farmgate_drain_cut_total{kind=\"$1\"}"; }
responses="$(cuts http1_response)" sockets="$(cuts websocket)"
systemctl reload farmgate.service || fail "the upgrade was refused: $(prop StatusText)"
upgraded "$old"
within 5 "the old process has gone" only_main
# It tells the new one what it cut, which is where it is looked for.
counted() { [ "$(cuts http1_response)" = $((responses + 4)) ] && [ "$(cuts websocket)" = $((sockets + 2)) ]; }
within 3 "farmgate_drain_cut_total grows by 4 responses and 2 WebSockets" counted
unload cut
holds "each download is lost, and the clients see it" \
  "$(count cut '.kinds[] | select(.kind == "download").failed') == 4"
same "lost small requests" "$(count cut '.kinds[] | select(.kind == "keep-alive").failed')" 0
holds "WebSockets are told before they are cut" "$(count cut '.kinds[] | select(.kind == "websocket").told') == 2"
same "lost WebSockets" "$(count cut '.kinds[] | select(.kind == "websocket").failed')" 0
wrote 'were cut at the end.*http1_response' || fail "no line of the log speaks of the cut"
