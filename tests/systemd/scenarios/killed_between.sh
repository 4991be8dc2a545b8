#!/usr/bin/env bash
# kill -9 of the old or the new process at each step of an upgrade, which stands still there: one of them serves on or
# systemd starts another, and nobody is refused.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

install_node
put_held
start_origin
start_node
load plain --address "$WEB" --keep-alive 4 --fresh 3 --think 3 --h2 2 --download 1 --upload 1
reload=
old=
new=

# Each leads from the one before.
checking() {
  hold check
  systemctl reload farmgate.service 2>/dev/null &
  reload=$!
  within 5 "the upgrade checks" at "checking"
  release
}
starting() {
  hold run
  systemctl reload farmgate.service 2>/dev/null &
  reload=$!
  within 5 "a process was started" has_heir
  new="$(heir)"
}
ready() {
  starting
  freeze "$old"
  release
  within 5 "the new process says that it is ready" has_mail "$old"
}
handing_over() {
  ready
  freeze "$new"
  kill -CONT "$old"
  within 5 "the old process hands over" at "handing over"
}
serving() {
  handing_over
  freeze "$old"
  kill -CONT "$new"
  within 5 "the new process says that it serves" has_mail "$old"
}
committed() {
  systemctl reload farmgate.service 2>/dev/null &
  reload=$!
  within 5 "the new process is the main one" is_not_main "$old"
  new="$(main_pid)"
}

kills=0
# kills_at STEP VICTIM AFTER: who is the main process afterwards: old, new, or another one.
kills_at() {
  local step="$1" victim="$2" wanted="$3" restarts code=0 after found
  restarts="$(prop NRestarts)"
  old="$(main_pid)" new=
  "$step"
  kill -KILL "$([ "$victim" = old ] && echo "$old" || echo "$new")"
  kills=$((kills + 1))
  release
  # Whoever is left goes on.
  kill -CONT "$old" "$new" 2>/dev/null || true
  wait "$reload" || code=$?
  within 10 "$step, $victim killed: the node serves" is_serving
  within 10 "$step, $victim killed: one process is left" only_main
  after="$(main_pid)"
  case "$after" in
    "$old") found=old ;;
    "$new") found=new ;;
    *) found=another ;;
  esac
  say "$step, $victim killed: $found serves; systemctl reload ended with $code"
  same "$step, $victim killed: who serves" "$found" "$wanted"
  if [ "$found" = another ]; then restarts=$((restarts + 1)); fi
  same "$step, $victim killed: restarts" "$(prop NRestarts)" "$restarts"
  # Started by the service manager, or by an upgrade that went well.
  [ "$found" != old ] || [ "$code" != 0 ] || fail "systemctl reload says that all went well"
  curl -fsS -m 3 -o /dev/null "http://$WEB/" || fail "$step, $victim killed: no answer"
}

kills_at checking old another
kills_at starting old another
kills_at starting new old
kills_at ready old another
kills_at ready new old
kills_at handing_over old another
kills_at handing_over new old
kills_at serving old another
kills_at serving new old
kills_at committed old new
kills_at committed new another

# And upgrades work still.
old="$(main_pid)"
put "$HERE/farmgate"
systemctl reload farmgate.service || fail "the last upgrade was refused: $(prop StatusText)"
upgraded "$old"
within 15 "old processes have gone" only_main
unload plain
same "refused connections" "$(count plain .not_connected)" 0
holds "only what was under way is lost" "$(count plain .failed) <= $kills * $(in_flight plain)"
