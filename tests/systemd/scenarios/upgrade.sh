#!/usr/bin/env bash
# Upgrades by `systemctl reload` under clients of every kind: nobody loses anything.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

begin
load plain "${MIX[@]}"
load tls "${TLS_MIX[@]}"
few() { [ "$(processes | wc -l)" -le 3 ]; }
times=$([ -n "$LONG" ] && echo 30 || echo 10)
for ((turn = 1; turn <= times; turn++)); do
  old="$(main_pid)"
  put "$HERE/farmgate"
  # More than this many may not drain at once.
  within 15 "an old process ends" few
  systemctl reload farmgate.service || fail "upgrade $turn was refused: $(prop StatusText)"
  upgraded "$old"
  say "upgrade $turn: $old -> $(main_pid), status: $(prop StatusText)"
  # Some seconds of load with both at work.
  sleep 1.5
done
within 15 "old processes have gone" only_main
unload plain
unload tls
lossless plain
lossless tls
same "restarts" "$(prop NRestarts)" 0
holds "WebSockets were told to go" "$(count plain '.kinds[] | select(.kind == "websocket").told') > 0"
