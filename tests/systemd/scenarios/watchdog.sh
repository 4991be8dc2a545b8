#!/usr/bin/env bash
# A process that hangs: the watchdog notices, systemd starts another one, and nobody is refused.
source "$(dirname "$0")/lib.sh"

install_node
drop_in '[Service]
WatchdogSec=2
TimeoutAbortSec=2'
start_origin
start_node
# Longer than the watchdog's time: it is fed.
sleep 3
same "restarts of a healthy node" "$(prop NRestarts)" 0
load fresh --address "$WEB" --fresh 3 --think 3
old="$(main_pid)"
kill -STOP "$old"
restarted() { [ "$(main_pid)" != "$old" ] && is_serving; }
within 15 "the watchdog restarts the node" restarted
sleep 1
unload fresh
same "restarts" "$(prop NRestarts)" 1
journal | grep -i watchdog | head -n 2 || journalctl -q --no-pager | grep -i watchdog | head -n 2 ||
  fail "the journal does not speak of the watchdog"
same "refused connections" "$(count fresh .not_connected)" 0
holds "only what was under way is lost" "$(count fresh .failed) <= 6"
# The one that took over is watched too.
old="$(main_pid)"
systemctl reload farmgate.service || fail "the upgrade was refused: $(prop StatusText)"
upgraded "$old"
within 15 "the old process has gone" only_main
sleep 3
same "restarts of a healthy node after an upgrade" "$(prop NRestarts)" 1
old="$(main_pid)"
kill -STOP "$old"
within 15 "the watchdog restarts the upgraded node" restarted
same "restarts" "$(prop NRestarts)" 2
