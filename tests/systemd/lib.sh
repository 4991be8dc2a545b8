# shellcheck shell=bash disable=SC2034
# What the scenarios share; read by them inside the sandbox. A scenario ends with exit 0 or says why not.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
WORK="$(mktemp -d)"
WEB=127.0.0.1:8080
SECURE=127.0.0.1:8443
ADMIN=127.0.0.1:9190
ORIGIN=127.0.0.1:9001
CONF=/etc/farmgate/farmgate.toml
LONG="${LONG:-}"
# Clients of every kind, for each of the two listeners.
MIX=(--address "$WEB" --keep-alive 6 --fresh 3 --think 4 --h2 2 --websocket 3 --download 2 --upload 2)
TLS_MIX=(--address "$SECURE" --tls --keep-alive 2 --fresh 1 --think 2 --h2 1 --websocket 1 --download 1 --upload 1)
declare -A LOADS=()

say() { printf '%s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*"; exit 1; }

# What an operator would look at first; the sandbox and its journal are gone afterwards.
report() {
  local code=$?
  [ "$code" -ne 0 ] || exit 0
  set +e
  say "--- unit"
  systemctl show farmgate.service -p ActiveState,SubState,Result,MainPID,NRestarts,StatusText,ControlGroup
  say "--- processes: $(processes | tr '\n' ' ')"
  for file in "$WORK"/*.err; do [ -s "$file" ] && say "--- $file" && tail -n 5 "$file"; done
  say "--- journal"
  journalctl -q --no-pager -o short-precise -u farmgate.service -n "${JOURNAL_LINES:-40}"
  exit "$code"
}
trap report EXIT

# within SECONDS WHAT COMMAND...: polls until the command succeeds.
within() {
  local seconds="$1" what="$2" end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "$what: not within $seconds s"
    sleep 0.05
  done
}

# same WHAT FOUND WANTED
same() { [ "$2" = "$3" ] || fail "$1 is \`$2\`, not \`$3\`"; }
# holds WHAT EXPRESSION: arithmetic.
holds() { (($2)) || fail "$1: $2 does not hold"; }

# --- the node -------------------------------------------------------------------------------------

prop() { systemctl show -p "$1" --value farmgate.service; }
main_pid() { prop MainPID; }
is_not_main() { [ "$(main_pid)" != "$1" ]; }
# All processes of the unit.
processes() {
  local group
  group="$(prop ControlGroup)"
  # A unit that does not run has no group.
  [ -z "$group" ] || cat "/sys/fs/cgroup$group/cgroup.procs" 2>/dev/null || true
}
only_main() { [ "$(processes)" = "$(main_pid)" ]; }
is_active() { [ "$(prop ActiveState)" = active ] && [ "$(main_pid)" != 0 ]; }
is_serving() { is_active && curl -fsS -o /dev/null -m 2 "http://$ADMIN/readyz"; }
# restarted OLD: another process than this one serves.
restarted() { is_not_main "$1" && is_serving; }
# metric NAME: the sum of its series; with labels, as they are printed, that one.
metric() { curl -fsS -m 5 "http://$ADMIN/metrics" | awk -v name="$1" '
  index($1, name) == 1 { rest = substr($1, length(name) + 1, 1); if (rest == "" || rest == "{") sum += $2 }
  END { printf "%d\n", sum }'; }
# wrote PATTERN: a line of the node's journal, without regard to case. To its end: a reader that leaves early fails
# the writer.
wrote() { journalctl -q --no-pager -o cat -u farmgate.service | grep -iE "$1" >"$WORK/wrote"; }

# put FILE: as dpkg does it, a new file under the name of the old one.
put() {
  install -m 755 "$1" /usr/bin/farmgate.new
  mv /usr/bin/farmgate.new /usr/bin/farmgate
}

# The binary, the units as they are shipped, the configuration and a certificate; nothing is started. What a
# scenario changes of the unit it adds as a drop-in.
install_node() {
  put "$HERE/farmgate"
  install -D -m 644 "$HERE/units/farmgate.service" /etc/systemd/system/farmgate.service
  install -m 644 "$HERE/units/farmgate.socket" /etc/systemd/system/farmgate.socket
  systemd-sysusers "$HERE/units/farmgate.sysusers" 2>/dev/null
  mkdir -p /etc/farmgate/tls
  chmod 750 /etc/farmgate
  rm -f /etc/farmgate/*.toml
  cp "$HERE/node.toml" "$CONF"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=www.example.test \
    -addext subjectAltName=DNS:www.example.test -keyout /etc/farmgate/tls/key.pem \
    -out /etc/farmgate/tls/certificate.pem 2>/dev/null
  chown -R root:farmgate /etc/farmgate
  chmod 640 /etc/farmgate/tls/key.pem
  systemctl daemon-reload
}

# drop_in TEXT: a change of the unit.
drop_in() {
  mkdir -p /etc/systemd/system/farmgate.service.d
  printf '%s\n' "$1" >/etc/systemd/system/farmgate.service.d/scenario.conf
  systemctl daemon-reload
}

# drain TABLE: the node's times for going.
drain() { sed -i "s/^drain = .*/drain = $1/" "$CONF"; }

start_origin() {
  "$HERE/farmgate" origin --address "$ORIGIN" >"$WORK/origin.log" 2>&1 &
  within 10 "the origin answers" curl -fsS -o /dev/null "http://$ORIGIN/"
}

start_node() {
  systemctl start farmgate.service || fail "the unit does not start"
  within 10 "the node is ready" is_serving
}

# The usual beginning.
begin() {
  install_node
  start_origin
  start_node
}

# upgraded OLD: another process serves, from the file on disk.
upgraded() {
  local pid exe disk
  pid="$(main_pid)"
  [ "$pid" != "$1" ] || fail "MainPID is still $1"
  exe="$(stat -L -c %d:%i "/proc/$pid/exe")"
  disk="$(stat -c %d:%i /usr/bin/farmgate)"
  same "the file that process $pid runs" "$exe" "$disk"
  same "the state of the unit" "$(prop ActiveState)" active
}

# --- upgrades that stand still --------------------------------------------------------------------

HOLD=/run/hold

# A binary that waits before `check`, and before `run` in a process that is to take over, while $HOLD/check or
# $HOLD/run is there; then it is the real one.
put_held() {
  mkdir -p "$HOLD"
  cat >"$WORK/held" <<'HELD'
#!/bin/bash
hold=none
[ "$1" != check ] || hold=check
[ "$1" != run ] || [ -z "${FARMGATE_UPGRADE:-}" ] || hold=run
while [ -e "/run/hold/$hold" ]; do sleep 0.02; done
exec -a /usr/bin/farmgate /farmgate/farmgate "$@"
HELD
  put "$WORK/held"
}
hold() { touch "$HOLD/$1"; }
release() { rm -f "$HOLD"/*; }

# at PHASE: the service manager was told of it.
at() { prop StatusText | grep -F "$1" >/dev/null; }
# The process that is to take over from the main one, if there is one.
heir() {
  local pid main
  main="$(main_pid)"
  for pid in $(processes); do
    [ "$pid" = "$main" ] || ! began_as_heir "$pid" || echo "$pid"
  done 2>/dev/null | head -n 1
}
# It has the channel's number, and the double fork is behind it.
began_as_heir() {
  tr '\0' '\n' <"/proc/$1/environ" | grep '^FARMGATE_UPGRADE=' >/dev/null &&
    tr '\0' ' ' <"/proc/$1/cmdline" | grep ' run ' >/dev/null
}
# freeze PID: returns when each of its threads stands still; the signal alone takes its time.
freeze() {
  kill -STOP "$1"
  within 5 "process $1 stands still" stands_still "$1"
}
stands_still() { ! grep -hE '^State:' "/proc/$1"/task/*/status | grep -v 'T (stopped)'; }
has_heir() { [ -n "$(heir)" ]; }
# has_mail PID: bytes wait for it on a connected Unix socket; it stands still, so this is the channel of an upgrade.
has_mail() { ss -xpH state connected | awk -v pid="pid=$1," 'index($0, pid) && $3 > 0 { found = 1 } END { exit !found }'; }

# --- the clients ----------------------------------------------------------------------------------

# load NAME OPTIONS...: starts clients; returns when all kinds are at work.
load() {
  local name="$1"
  shift
  "$HERE/farmgate-load" mixed --json --seconds 600 "$@" >"$WORK/$name.json" 2>"$WORK/$name.err" &
  LOADS[$name]=$!
  within 20 "clients at work ($name)" grep -q "under load" "$WORK/$name.err"
}

# unload NAME: ends them, and prints what they counted.
unload() {
  local name="$1"
  kill -TERM "${LOADS[$name]}"
  # Their verdict is not ours: see `lossless` and `count`.
  wait "${LOADS[$name]}" || true
  unset "LOADS[$name]"
  [ -s "$WORK/$name.json" ] || fail "the clients ($name) left no result"
  jq -r --arg name "$name" '
    "\($name): \(.failed) failed of \(.ok + .failed); " + ([.kinds[] |
      "\(.kind) \(.ok)" + (if .refused > 0 then ", \(.refused) refused" else "" end)
      + (if .told > 0 then ", \(.told) told" else "" end) + ", longest \(.longest_ms) ms"] | join("; ")),
    (.kinds[] | .kind as $kind | .reasons[] | "  \($kind) at \(.clock), \(.count) times: \(.reason)")
    ' "$WORK/$name.json"
}

# count NAME FILTER: a number out of a result.
count() { jq -r "$2" "$WORK/$1.json"; }

# lossless NAME: nothing failed, and every kind did something.
lossless() {
  same "failures ($1)" "$(count "$1" .failed)" 0
  same "kinds without one right answer ($1)" "$(count "$1" '[.kinds[] | select(.ok == 0)] | length')" 0
}

# One way in: some clients more than there are, as bounds of what a kill may cost.
in_flight() { count "$1" '[.kinds[] | .clients * (if .kind == "h2" then 4 else 1 end)] | add'; }
