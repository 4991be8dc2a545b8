#!/usr/bin/env bash
# The life of the package on a machine with systemd: install, upgrade under load, an upgrade that cannot hand
# over, stop, remove, purge. Boots a sandbox (sandbox.sh); needs root.
#
#   package.sh DEB NEWER NEWEST [SANDBOX OPTIONS]     three packages of rising versions
#
# Exit 0 all is well, 77 this machine cannot run it (which is said), others something is wrong.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [ "${1:-}" != --inside ]; then
  skip() { echo "package: SKIPPED: $*"; exit 77; }
  [ "$(id -u)" -eq 0 ] || skip "needs root: it boots systemd in namespaces. Run as root: ./dev test"
  [ -x /lib/systemd/systemd ] || skip "systemd is not installed"
  for tool in unshare nsenter script ip curl logrotate man dpkg python3; do
    command -v "$tool" >/dev/null || skip "$tool is missing"
  done
  unshare --mount --pid --fork --cgroup --ipc --uts --net mount -t tmpfs tmpfs /mnt 2>/dev/null ||
    skip "this machine forbids namespaces or mounts, even to root (a container without CAP_SYS_ADMIN?)"
  group="/sys/fs/cgroup/unified"
  [ -d "$group" ] || group=/sys/fs/cgroup
  mkdir "$group/farmgate-$$" 2>/dev/null || skip "no cgroup can be made in $group"
  rmdir "$group/farmgate-$$"
  packages="$(mktemp -d)"
  trap 'rm -rf "$packages"' EXIT
  for package in first newer newest; do
    cp "${1:?package.sh DEB NEWER NEWEST}" "$packages/$package.deb"
    shift
  done
  "$here/sandbox.sh" run -b "$packages:/run/packages" -b "$here:/run/tests" "$@" -- \
    bash /run/tests/package.sh --inside
  exit
fi

cd /run/packages
PROXY=http://127.0.0.1:8080
ADMIN=http://127.0.0.1:9190
export DEBIAN_FRONTEND=noninteractive

say() { echo "package: $*"; }
fail() {
  echo "package: FAILED: $*" >&2
  journalctl --no-pager -u farmgate -n 40 >&2 || true
  systemctl status --no-pager farmgate >&2 || true
  exit 1
}
# is WANTED FOUND WHAT
is() { [ "$1" = "$2" ] || fail "$3: wanted '$1', found '$2'"; }
property() { systemctl show --property="$1" --value farmgate; }
# until_true WHAT COMMAND...: polls for up to 20 seconds.
until_true() {
  local what="$1" turn
  shift
  for ((turn = 0; turn < 200; turn++)); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  fail "never: $what"
}
serves() { curl -fsS -m 2 "$PROXY/" | grep -q "Farmgate runs"; }
install_package() { dpkg -i "$1" >/run/dpkg.log 2>&1 || { cat /run/dpkg.log; fail "dpkg -i $1"; }; }
package_state() { dpkg-query -W -f '${db:Status-Status}' farmgate 2>/dev/null || echo none; }

# A policy of the build machine that forbids starts does not hold here.
rm -f /usr/sbin/policy-rc.d

say "a first installation starts, enables and answers"
install_package first.deb
is active "$(systemctl is-active farmgate)" "the service"
is enabled "$(systemctl is-enabled farmgate)" "the service"
is disabled "$(systemctl is-enabled farmgate.socket)" "the socket unit"
serves || fail "no answer"
curl -fsS "$ADMIN/readyz" >/dev/null || fail "not ready"
systemd-analyze verify /usr/lib/systemd/system/farmgate.{service,socket} 2>&1 | grep . && fail "verify"

say "the process is no more than it has to be"
main="$(property MainPID)"
is farmgate "$(ps -o user= -p "$main")" "the user"
# Bit 10: CAP_NET_BIND_SERVICE.
is 0000000000000400 "$(sed -n 's/^CapEff:\t//p' "/proc/$main/status")" "capabilities"
is 1 "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$main/status")" "no new privileges"
is 2 "$(sed -n 's/^Seccomp:\t//p' "/proc/$main/status")" "seccomp filter"
is "750 root farmgate" "$(stat -c '%a %U %G' /etc/farmgate)" "/etc/farmgate"
is "700 farmgate" "$(stat -c '%a %U' /var/lib/farmgate)" "/var/lib/farmgate"
is "640 farmgate" "$(stat -c '%a %U' /var/log/farmgate/access.log)" "the access log"
nsenter -t "$main" -m -S "$(id -u farmgate)" test ! -w /usr/bin || fail "the service may write to /usr/bin"

say "the control socket hears root and the service's user, nobody else"
farmgate status >/dev/null || fail "root"
setpriv --reuid=farmgate --regid=farmgate --clear-groups farmgate status >/dev/null || fail "the user"
code=0
setpriv --reuid=nobody --regid=nogroup --clear-groups farmgate status >/dev/null 2>&1 || code=$?
is 69 "$code" "nobody"

say "events stand in the journal with their priority and without a time of their own"
journalctl --no-pager -u farmgate -o json >/run/journal.json
python3 - <<'PY' || fail "the journal"
import json
events = [e for e in map(json.loads, open("/run/journal.json")) if e["_COMM"] == "farmgate"]
ours = [e for e in events if e["MESSAGE"].startswith("farmgate::")]
assert ours, events
for event in ours:
    assert event["PRIORITY"] == "6", event
assert not [e for e in events if e["MESSAGE"].startswith(("<", "20"))], events
PY

say "what it kills comes back"
kill -KILL "$main"
until_true "a new process answers" serves
is 1 "$(property NRestarts)" "restarts"

say "logrotate moves the access log, and the node goes on in a new one"
until_true "a line in the log" test -s /var/log/farmgate/access.log
logrotate --force /etc/logrotate.d/farmgate || fail "logrotate"
test -s /var/log/farmgate/access.log.1 || fail "nothing was moved"
serves || fail "no answer"
until_true "a line in the new log" test -s /var/log/farmgate/access.log

say "manual and completions are where they are looked for"
man -w farmgate farmgate-run >/dev/null || fail "manual"
bash -c '. /usr/share/bash-completion/completions/farmgate; complete -p farmgate' >/dev/null || fail "bash"

# load FILE: asks until FILE.stop is there, by turns on a new connection and on one that is kept as long as the node lets
# it; nothing is tried twice. Writes what failed to FILE, the number of right answers to FILE.count.
load() {
  python3 - "$1" <<'PY'
import http.client
import os
import sys

out = open(sys.argv[1], "w", buffering=1)
kept, right = None, 0
while not os.path.exists(sys.argv[1] + ".stop"):
    for keep in (True, False):
        connection = (keep and kept) or http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
        try:
            connection.request("GET", "/", headers={} if keep else {"connection": "close"})
            response = connection.getresponse()
            assert response.status == 200 and b"Farmgate runs" in response.read()
            right += 1
            closes = response.will_close
        except Exception as error:
            out.write(f"{'kept' if keep else 'new'}: {error!r}\n")
            closes = True
        if closes:
            connection.close()
        if keep:
            kept = None if closes else connection
open(sys.argv[1] + ".count", "w").write(str(right))
PY
}

say "the unit may bind ports below 1024, and a change of address needs no restart"
invocation="$(property InvocationID)"
sed -i 's/^address = "127.0.0.1:8080"/address = "127.0.0.1:80"/' /etc/farmgate/farmgate.toml
systemctl reload farmgate || fail "reload: $(property StatusText)"
curl -fsS http://127.0.0.1:80/ | grep -q "Farmgate runs" || fail "no answer on port 80"
sed -i 's/^address = "127.0.0.1:80"/address = "127.0.0.1:8080"/' /etc/farmgate/farmgate.toml
systemctl reload farmgate || fail "reload: $(property StatusText)"
serves || fail "no answer"
is "$invocation" "$(property InvocationID)" "the service was restarted: its invocation"

say "an upgrade of the package hands over under load, and restarts nothing"
old="$(property MainPID)"
invocation="$(property InvocationID)"
restarts="$(property NRestarts)"
load /run/load &
loader=$!
until_true "load" serves
# What the administrator changed is kept, and nobody is asked.
echo '# changed here' >>/etc/farmgate/farmgate.toml
install_package newer.deb
: >/run/load.stop
wait "$loader"
! grep -q WARNING /run/dpkg.log || { cat /run/dpkg.log; fail "the hand-over"; }
is installed "$(package_state)" "the package"
is "$invocation" "$(property InvocationID)" "the service was restarted: its invocation"
is "$restarts" "$(property NRestarts)" "restarts"
[ "$old" != "$(property MainPID)" ] || fail "the main process is still the old one"
is "" "$(cat /run/load)" "requests failed"
is "# changed here" "$(tail -1 /etc/farmgate/farmgate.toml)" "the configuration"
[ "$(cat /run/load.count)" -ge 100 ] || fail "the load was no load: $(cat /run/load.count) requests"
say "$(cat /run/load.count) requests, none failed"
serves || fail "no answer"

say "a new version that cannot take over leaves the old process serving, and dpkg content"
main="$(property MainPID)"
cp /etc/farmgate/farmgate.toml /run/good.toml
echo 'nonsense = 1' >>/etc/farmgate/farmgate.toml
install_package newest.deb
grep -q "WARNING: the new version is installed but not running" /run/dpkg.log ||
  { cat /run/dpkg.log; fail "no warning"; }
is installed "$(package_state)" "the package"
case "$(property StatusText)" in
  "upgrade failed, serving on: "*nonsense*) ;;
  *) fail "the status does not say why: $(property StatusText)" ;;
esac
! systemctl reload farmgate 2>/dev/null || fail "systemctl reload does not fail"
is "$main" "$(property MainPID)" "the main process"
is active "$(systemctl is-active farmgate)" "the service"
serves || fail "no answer"
cp /run/good.toml /etc/farmgate/farmgate.toml
systemctl reload farmgate || fail "reload with the mended configuration"
[ "$main" != "$(property MainPID)" ] || fail "the main process is still the old one"
serves || fail "no answer"

say "a stopped node stays stopped over an upgrade"
systemctl stop farmgate
install_package newest.deb
is inactive "$(systemctl is-active farmgate || true)" "the service"
systemctl start farmgate
serves || fail "no answer"

say "removal stops, keeps the configuration, and a new installation starts again"
dpkg -r farmgate >/dev/null 2>&1 || fail "dpkg -r"
is inactive "$(systemctl is-active farmgate || true)" "the service"
[ -e /etc/farmgate/farmgate.toml ] || fail "the configuration is gone"
install_package first.deb
is active "$(systemctl is-active farmgate)" "the service"
is enabled "$(systemctl is-enabled farmgate)" "the service"

say "purge leaves nothing but the user"
dpkg -L farmgate | while read -r path; do [ -d "$path" ] || echo "$path"; done >/run/paths
dpkg -P farmgate >/dev/null 2>&1 || fail "dpkg -P"
is none "$(package_state)" "the package"
while read -r path; do [ ! -e "$path" ] || fail "$path is left"; done </run/paths
find /etc /run /usr /var -xdev -name '*farmgate*' -not -path '/run/packages*' -not -path '/run/journal.json' \
  -not -path '/var/cache/man/*' >/run/left
is "" "$(cat /run/left)" "left behind"
is "" "$(ps -o pid= -u farmgate || true)" "processes"
getent passwd farmgate >/dev/null || fail "the user is gone"
systemctl list-units --all --plain --no-legend | grep farmgate && fail "units are left"

say "an installation that cannot start says so, and dpkg is content"
python3 -m http.server --bind 127.0.0.1 8080 >/dev/null 2>&1 &
squatter=$!
until_true "the port is taken" curl -fsS "$PROXY/"
install_package first.deb
grep -q "WARNING: the node did not start" /run/dpkg.log || { cat /run/dpkg.log; fail "no warning"; }
is installed "$(package_state)" "the package"
journalctl --no-pager -u farmgate -p err -o cat >/run/why
grep -q "cannot bind 127.0.0.1:8080" /run/why || fail "the journal does not say why"
kill "$squatter"
wait "$squatter" || true
systemctl reset-failed farmgate || true
systemctl start farmgate || fail "it does not start on a free port"
serves || fail "no answer"
say "ok"
