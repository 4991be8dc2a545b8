#!/usr/bin/env bash
# Two upgrades, an upgrade and a reload, upgrades while old processes drain, a stop while an upgrade is under way.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

install_node
drain '{ idle_grace = "6s", deadline = "60s", lb_grace = "0s" }'
put_held
start_origin
start_node
load plain --address "$WEB" --keep-alive 4 --fresh 3 --think 3 --h2 1
# says WHAT PATTERN COMMAND...: it fails, and gives this reason.
says() {
  local what="$1" pattern="$2" said code=0
  shift 2
  said="$("$HERE/farmgate" "$@" 2>&1)" || code=$?
  same "$what: exit code" "$code" 1
  grep -qiE "$pattern" <<<"$said" || fail "$what: it says: $said"
  say "$what: $said"
}

# Two at once: the second is refused, whoever asks for it, and the first one is not disturbed.
old="$(main_pid)"
hold run
systemctl reload farmgate.service &
reload=$!
within 5 "a process was started" has_heir
first="$(heir)"
says "a second upgrade" 'under way' upgrade
kill -USR2 "$old"
within 5 "a third one, by signal, is refused" wrote 'upgrade .*under way.*one at a time'
same "the process that is to take over" "$(heir)" "$first"
# A reload waits, and is then refused by the process that has handed over.
"$HERE/farmgate" reload >"$WORK/reload" 2>&1 &
second=$!
release
wait "$reload" || fail "the first upgrade was refused: $(prop StatusText)"
same "MainPID" "$(main_pid)" "$first"
code=0
wait "$second" || code=$?
say "a reload while an upgrade is under way: exit $code: $(cat "$WORK/reload")"
same "exit code of the reload" "$code" 1
"$HERE/farmgate" reload >/dev/null || fail "the next reload is refused"
within 15 "the old process has gone" only_main

# While old processes drain: as many as [server] upgrade.draining, not more.
downloads=()
for turn in 1 2 3; do
  file="$WORK/long$turn"
  curl -fsS -m 60 -o "$file" "http://$WEB/slow-body?chunks=80&size=1000&interval_ms=100" &
  downloads+=($!)
  within 5 "download $turn has begun" test -s "$file"
  old="$(main_pid)"
  systemctl reload farmgate.service || fail "upgrade $turn was refused: $(prop StatusText)"
  [ "$(main_pid)" != "$old" ] || fail "upgrade $turn changed nothing"
done
main="$(main_pid)"
holds "old processes drain" "$(processes | wc -l) == 4"
says "a fourth upgrade" '3 old processes still drain' upgrade
same "MainPID" "$(main_pid)" "$main"
drains() { "$HERE/farmgate" status --json | jq -e ".upgrade.draining | length == $1" >/dev/null; }
within 3 "status shows them" drains 3
for turn in 1 2 3; do
  wait "${downloads[turn - 1]}" || fail "download $turn was cut"
  same "bytes of download $turn" "$(stat -c %s "$WORK/long$turn")" 80000
done
within 15 "old processes have gone" only_main
systemctl reload farmgate.service || fail "the fourth upgrade is refused still: $(prop StatusText)"
within 15 "old processes have gone" only_main
unload plain
lossless plain
same "restarts" "$(prop NRestarts)" 0

# A stop while an upgrade is under way: no new process, and no waiting for one.
for step in run handing-over; do
  old="$(main_pid)"
  hold run
  systemctl reload farmgate.service 2>/dev/null &
  reload=$!
  within 5 "a process was started" has_heir
  new="$(heir)"
  if [ "$step" = handing-over ]; then
    freeze "$old"
    release
    within 5 "the new process says that it is ready" has_mail "$old"
    freeze "$new"
    kill -CONT "$old"
    within 5 "the old process hands over" at "handing over"
  fi
  begun=$EPOCHREALTIME
  systemctl stop farmgate.service || fail "no stop"
  took_ms=$(((${EPOCHREALTIME/./} - ${begun/./}) / 1000))
  wait "$reload" && fail "the reload succeeded"
  say "stopped while an upgrade was at \`$step\` after $took_ms ms"
  holds "the stop does not wait for the upgrade" "$took_ms < 4000"
  # It went down well; systemd calls the unit failed because the reload of this moment did.
  wrote 'Main process exited' && fail "the main process did not end by itself: $(cat "$WORK/wrote")"
  grep -E 'inactive|failed' <<<"$(prop ActiveState)" >/dev/null || fail "the unit is $(prop ActiveState)"
  same "processes that are left" "$(processes)" ""
  release
  systemctl reset-failed farmgate.service
  start_node
done

# An upgrade of a node that stops.
curl -fsS -m 60 -o "$WORK/last" "http://$WEB/slow-body?chunks=20&size=1000&interval_ms=100" &
last=$!
within 5 "the download has begun" test -s "$WORK/last"
systemctl stop farmgate.service &
stop=$!
within 5 "the node drains" at "draining"
says "an upgrade of a node that stops" 'stop' upgrade
wait "$last" || fail "the download was cut"
wait "$stop" || fail "no stop"
same "processes that are left" "$(processes)" ""
