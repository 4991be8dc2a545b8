#!/usr/bin/env bash
# farmgate.socket: systemd binds, the first client starts the node, upgrades work, a restart refuses nobody.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

install_node
mkdir -p /etc/systemd/system/farmgate.socket.d
printf '[Socket]\nListenStream=\nListenStream=%s\nListenStream=%s\n' "$WEB" "$SECURE" \
  >/etc/systemd/system/farmgate.socket.d/scenario.conf
# systemd binds: the node needs no capability for low ports.
drop_in '[Service]
AmbientCapabilities=
CapabilityBoundingSet='
start_origin
systemctl start farmgate.socket || fail "the socket unit does not start"
same "the node before the first client" "$(prop ActiveState)" inactive
curl -fsS -m 20 -o /dev/null "http://$WEB/" || fail "the first client has no answer"
within 10 "the node is ready" is_serving

load plain "${MIX[@]}"
load tls "${TLS_MIX[@]}"
for turn in 1 2; do
  old="$(main_pid)"
  systemctl reload farmgate.service || fail "upgrade $turn was refused: $(prop StatusText)"
  upgraded "$old"
  sleep 1
done
within 15 "old processes have gone" only_main
unload plain
unload tls
lossless plain
lossless tls

# A restart is a stop and a start: long, but nobody is refused.
drain '{ idle_grace = "1s", deadline = "2s", lb_grace = "0s" }'
systemctl reload farmgate.service || fail "the upgrade to other times was refused: $(prop StatusText)"
within 15 "the old process has gone" only_main
load fresh --address "$WEB" --fresh 4
old="$(main_pid)"
systemctl restart farmgate.service || fail "no restart"
within 10 "the node is ready again" is_serving
sleep 1
unload fresh
[ "$(main_pid)" != "$old" ] || fail "the restart changed nothing"
lossless fresh
