#!/usr/bin/env bash
# New binaries and configurations that are broken in every way: the old process goes on, and says why.
source "$(dirname "$0")/lib.sh"

begin
load plain "${MIX[@]}"
load tls "${TLS_MIX[@]}"
main="$(main_pid)"
cp "$CONF" "$WORK/good.toml"

# refused CASE REASON: an upgrade fails, is explained, and changes nothing. The command itself comes from a binary
# that works, since the one on disk may not.
refused() {
  local what="$1" reason="$2" said code=0
  if systemctl reload farmgate.service 2>/dev/null; then fail "$what: systemctl reload succeeded"; fi
  said="$("$HERE/farmgate" upgrade 2>&1)" || code=$?
  same "$what: exit code of farmgate upgrade" "$code" 1
  grep -qiE "$reason" <<<"$said" || fail "$what: farmgate upgrade says: $said"
  prop StatusText | grep -qiE "$reason" || fail "$what: StatusText is: $(prop StatusText)"
  same "$what: MainPID" "$(main_pid)" "$main"
  same "$what: state of the unit" "$(prop ActiveState)" active
  within 3 "$what: no process is left behind" only_main
  say "$what: $(prop StatusText | head -c 150 | head -n 1)"
}

# fake LINES: a binary whose `run` does this; its other commands work.
fake() {
  printf '#!/bin/sh\ncase "$1" in run) ;; *) exec /farmgate/farmgate "$@" ;; esac\n%s\n' "$1" >"$WORK/fake"
  put "$WORK/fake"
}

fake 'kill -SEGV $$'
refused "crashes at its start" 'signal|crash|end|SEGV'
fake 'exit 0'
refused "ends at once, content" 'end|exit'
fake 'echo "no such thing" >&2; exit 3'
refused "ends at once with an error" 'end|exit'
fake 'exec sleep 1000'
refused "is never ready" 'ready|5 s'
printf '#!/bin/sh\nexec sleep 1000\n' >"$WORK/fake"
put "$WORK/fake"
# systemctl reload runs this file too; it must not wait for it for ever.
systemd_limit='[Service]
TimeoutStartSec=8'
drop_in "$systemd_limit"
refused "hangs whatever it is asked" '5 s|within'
printf '#!/bin/sh\nkill -SEGV $$\n' >"$WORK/fake"
put "$WORK/fake"
refused "crashes whatever it is asked" 'signal|crash|SEGV'
put "$HERE/farmgate"
chmod 644 /usr/bin/farmgate
refused "is not executable" 'denied|cannot be run'
rm /usr/bin/farmgate
refused "is missing" 'no such file|cannot be run'
printf 'not a program\n' >"$WORK/fake"
put "$WORK/fake"
refused "is no program" 'exec format|cannot be run'
put "$HERE/farmgate"

sed 's/^threads = 2/thread = 2/' "$WORK/good.toml" >"$CONF"
refused "bad configuration" 'E-CONF|configuration'
"$HERE/farmgate" origin --address 127.0.0.1:8099 >/dev/null &
squatter=$!
within 5 "the port is taken" curl -fsS -o /dev/null http://127.0.0.1:8099/
{
  cat "$WORK/good.toml"
  printf '[[listener]]\nname = "taken"\naddress = "127.0.0.1:8099"\n'
} >"$CONF"
refused "a port of another process" '127.0.0.1:8099'
kill "$squatter"
cp "$WORK/good.toml" "$CONF"

# And after all that an upgrade still works.
systemctl reload farmgate.service || fail "the last upgrade was refused: $(prop StatusText)"
upgraded "$main"
within 15 "the old process has gone" only_main
unload plain
unload tls
lossless plain
lossless tls
same "restarts" "$(prop NRestarts)" 0
