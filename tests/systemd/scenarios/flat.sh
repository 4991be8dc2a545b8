#!/usr/bin/env bash
# Thirty upgrades in a row (--long): memory, open files and sockets in the store are those of the third.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

rss_kib() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }
files() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
stored() { prop NFileDescriptorStore; }

install_node
# No WebSockets, which would stay until the deadline: each old process has to go before the next upgrade.
start_origin
start_node
times=30
load plain --address "$WEB" --keep-alive 4 --fresh 2 --think 2 --h2 1 --download 1
for ((turn = 1; turn <= times; turn++)); do
  old="$(main_pid)"
  systemctl reload farmgate.service || fail "upgrade $turn was refused: $(prop StatusText)"
  upgraded "$old"
  # Only then figures are comparable: nothing of the one before is here any more.
  within 15 "upgrade $turn: the old process has gone" only_main
  pid="$(main_pid)"
  rss="$(rss_kib "$pid")" open="$(files "$pid")" store="$(stored)"
  if [ "$turn" = 3 ]; then first_rss="$rss" first_open="$open" first_store="$store"; fi
  [ $((turn % 3)) != 0 ] || say "upgrade $turn: $rss KiB, $open files, $store in the store"
done
unload plain
lossless plain
same "restarts" "$(prop NRestarts)" 0
same "sockets in the store" "$store" "$first_store"
holds "memory is flat (KiB)" "$rss <= $first_rss + $first_rss / 5"
# Connections come and go: what an upgrade leaked would be there once for each.
holds "open files are flat" "$open <= $first_open + (times - 3) / 2"
