#!/usr/bin/env bash
# A hundred listeners are handed over, and come back after a crash.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

install_node
addresses=()
for ((number = 0; number < 100; number++)); do addresses+=(--address "127.0.0.1:$((20000 + number))"); done
# listeners COUNT: these, beside those of node.toml.
listeners() {
  cp "$HERE/node.toml" "$CONF"
  for ((number = 0; number < $1; number++)); do
    printf '[[listener]]\nname = "l%d"\naddress = "127.0.0.1:%d"\n' "$number" "$((20000 + number))"
  done >>"$CONF"
}
stored() { prop NFileDescriptorStore; }

listeners 100
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
within 10 "the node serves again" restarted "$old"
sleep 1
unload after
same "refused connections" "$(count after .not_connected)" 0
same "sockets in the store" "$(stored)" 102
holds "only what was under way is lost" "$(count after .failed) <= 100"

# An upgrade with fewer listeners keeps none of the others: where nobody accepts clients are refused, and do not hang.
listeners 50
systemctl reload farmgate.service || fail "the upgrade to fewer was refused: $(prop StatusText)"
within 15 "the old process has gone" only_main
answer() {
  local code=0
  curl -fsS -m 3 -o /dev/null "http://127.0.0.1:$1/" 2>/dev/null || code=$?
  echo "$code"
}
fewer() {
  same "$1: curl on a listener that stayed" "$(answer 20049)" 0
  # 7: refused.
  same "$1: curl on a listener that went" "$(answer 20050)" 7
  same "$1: sockets in the store" "$(stored)" 52
}
fewer "after the upgrade"
old="$(main_pid)"
kill -KILL "$old"
within 10 "the node serves again" restarted "$old"
fewer "after a crash"
