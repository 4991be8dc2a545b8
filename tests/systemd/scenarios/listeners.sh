#!/usr/bin/env bash
# A hundred listeners are handed over, and come back after a crash.
source "$(dirname "$0")/lib.sh"

install_node
addresses=()
for ((number = 0; number < 100; number++)); do
  addresses+=(--address "127.0.0.1:$((20000 + number))")
  printf '[[listener]]\nname = "l%d"\naddress = "127.0.0.1:%d"\n' "$number" "$((20000 + number))"
done >>"$CONF"
start_origin
start_node
# One client of each kind stays with each address.
load hundred "${addresses[@]}" --keep-alive 100 --fresh 100 --think 100 --pause-ms 100
for turn in 1 2; do
  old="$(main_pid)"
  systemctl reload farmgate.service || fail "upgrade $turn was refused: $(prop StatusText)"
  upgraded "$old"
  sleep 1
done
within 15 "old processes have gone" only_main
unload hundred
lossless hundred

# The store of systemd has them all: after a crash none is refused.
load after "${addresses[@]}" --fresh 100 --pause-ms 100
old="$(main_pid)"
kill -KILL "$old"
restarted() { [ "$(main_pid)" != "$old" ] && is_serving; }
within 10 "the node serves again" restarted
sleep 1
unload after
same "refused connections" "$(count after .not_connected)" 0
holds "only what was under way is lost" "$(count after .failed) <= 100"
