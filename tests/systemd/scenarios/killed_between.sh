#!/usr/bin/env bash
# kill -9 of the old or of the new process at any moment of an upgrade: one of them serves on, and nobody is refused.
source "$(dirname "$0")/lib.sh"

begin
load plain "${MIX[@]}"
times=$([ -n "$LONG" ] && echo 20 || echo 6)
kills=0
for ((turn = 1; turn <= times; turn++)); do
  old="$(main_pid)"
  systemctl reload farmgate.service 2>"$WORK/reload" &
  reload=$!
  # Any moment: from before the new process exists until after the change.
  sleep "0.$(printf '%03d' $((RANDOM % 700)))"
  who=old victim="$old"
  if [ $((turn % 2)) = 0 ]; then
    # The youngest process of the unit that runs the node; none when it does not exist yet or the upgrade is over.
    who=new
    victim="$(for pid in $(processes); do
      [ "$pid" = "$old" ] || ! tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'farmgate run' || echo "$pid"
    done | tail -n 1)"
  fi
  moment="main was $(main_pid), $(processes | wc -l) processes"
  if [ -n "$victim" ] && kill -KILL "$victim" 2>/dev/null; then
    kills=$((kills + 1))
  else
    victim=nobody
  fi
  code=0
  wait "$reload" || code=$?
  within 15 "turn $turn ($who $victim killed): the node serves" is_serving
  say "turn $turn: killed $who $victim ($moment); reload ended with $code, main is $(main_pid)"
  within 20 "turn $turn: one process is left" only_main
  curl -fsS -m 3 -o /dev/null "http://$WEB/" || fail "turn $turn: no answer"
done
# And upgrades work still.
old="$(main_pid)"
systemctl reload farmgate.service || fail "the last upgrade was refused: $(prop StatusText)"
upgraded "$old"
within 15 "old processes have gone" only_main
unload plain
holds "somebody was killed" "$kills > 1"
same "refused connections" "$(count plain .not_connected)" 0
holds "only what was under way is lost" "$(count plain .failed) <= $kills * $(in_flight plain)"
