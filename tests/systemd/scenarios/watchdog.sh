#!/usr/bin/env bash
# A process that hangs, and one of whose threads hangs: the watchdog notices, systemd starts another process, and
# nobody is refused.
# shellcheck source=tests/systemd/lib.sh
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
within 15 "the watchdog restarts a node that hangs" restarted "$old"
unload fresh
same "restarts" "$(prop NRestarts)" 1
wrote 'watchdog timeout' || fail "the journal does not speak of the watchdog"
same "refused connections" "$(count fresh .not_connected)" 0
holds "only what was under way is lost" "$(count fresh .failed) <= 6"

# The one that took over is watched too, and each of its threads.
old="$(main_pid)"
systemctl reload farmgate.service || fail "the upgrade was refused: $(prop StatusText)"
upgraded "$old"
within 15 "the old process has gone" only_main
load busy --address "$WEB" --keep-alive 4 --fresh 3
# Longer than the watchdog's time, and busy: it is fed.
sleep 3
same "restarts of a healthy node after an upgrade" "$(prop NRestarts)" 1
old="$(main_pid)"
"$HERE/stick.py" "$old" >"$WORK/stuck" 2>"$WORK/stick.err" &
within 10 "a thread stands still" test -s "$WORK/stuck"
within 15 "the watchdog restarts a node of which one thread hangs" restarted "$old"
same "restarts" "$(prop NRestarts)" 2
wrote 'serving thread [0-9]+ has made no progress' || fail "the log does not speak of the thread"
unload busy
same "refused connections" "$(count busy .not_connected)" 0
holds "only what was under way is lost" "$(count busy .failed) <= 7"
