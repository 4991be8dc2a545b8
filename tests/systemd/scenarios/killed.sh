#!/usr/bin/env bash
# kill -9 of the main process: systemd keeps the sockets, so nobody is refused; only what was under way is lost.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

begin
load plain "${MIX[@]}"
load tls "${TLS_MIX[@]}"
times=3
for ((turn = 1; turn <= times; turn++)); do
  old="$(main_pid)"
  kill -KILL "$old"
  within 10 "kill $turn: the node serves again" restarted "$old"
  say "kill $turn: $old -> $(main_pid)"
  # Clients of every kind come to work again.
  sleep 2.5
done
same "restarts" "$(prop NRestarts)" "$times"
within 5 "one process is left" only_main
unload plain
unload tls
for name in plain tls; do
  same "refused connections ($name)" "$(count "$name" .not_connected)" 0
  holds "only what was under way is lost ($name)" "$(count "$name" .failed) <= $times * $(in_flight "$name")"
  # The clients see what is lost; if they saw nothing here, they would see nothing anywhere.
  holds "failures are seen ($name)" "$(count "$name" .failed) > 0"
done
