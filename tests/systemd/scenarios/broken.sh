#!/usr/bin/env bash
# New binaries and configurations that are broken in every way: the old process goes on, and says why.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

install_node
sed -i 's/^upgrade = .*/upgrade = { ready = "2s" }/' "$CONF"
# A file system without room, which the service would be allowed to write to.
mkdir -p /mnt/full
mount -t tmpfs -o nr_inodes=1,mode=777 tmpfs /mnt/full
drop_in '[Service]
TimeoutStartSec=4
ReadWritePaths=/mnt/full'
start_origin
start_node
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
  "$HERE/farmgate" status >/dev/null || fail "$what: the control socket does not answer"
  say "$what: $(prop StatusText | head -c 150 | head -n 1)"
}

# fake LINES: a binary whose `run` does this; its other commands work.
fake() {
  # shellcheck disable=SC2016 # for the script
  printf '#!/bin/sh\ncase "$1" in run) ;; *) exec /farmgate/farmgate "$@" ;; esac\n%s\n' "$1" >"$WORK/fake"
  put "$WORK/fake"
}

fake 'kill -SEGV $$'
refused "crashes at its start" 'ended before it was ready'
fake 'sleep 0.3; kill -SEGV $$'
refused "crashes a little later" 'ended before it was ready'
fake 'exit 0'
refused "ends at once, content" 'ended before it was ready'
fake 'echo "no such thing" >&2; exit 3'
refused "ends at once with an error" 'ended before it was ready'
wrote 'no such thing' || fail "what the new process said is not in the journal"
fake 'exec sleep 1000'
refused "is never ready" 'not ready within 2 s'
printf '#!/bin/sh\nexec sleep 1000\n' >"$WORK/fake"
put "$WORK/fake"
# systemctl reload runs this file too, so systemd's own limit ends it.
refused "hangs whatever it is asked" 'did not end within 2 s'
printf '#!/bin/sh\nkill -SEGV $$\n' >"$WORK/fake"
put "$WORK/fake"
refused "crashes whatever it is asked" 'crashed .*(signal|SEGV)'
put "$HERE/farmgate"
chmod 644 /usr/bin/farmgate
refused "is not executable" 'permission denied'
rm /usr/bin/farmgate
refused "is missing" 'no such file'
printf 'not a program\n' >"$WORK/fake"
put "$WORK/fake"
refused "is no program" 'exec format'
# What a full disk leaves behind: the first part of the file.
head -c 1000000 "$HERE/farmgate" >"$WORK/fake"
put "$WORK/fake"
refused "was cut off by a full disk" 'crashed|cannot be run|exec format|exit code'
put "$HERE/farmgate"

sed 's/^threads = 2/thread = 2/' "$WORK/good.toml" >"$CONF"
refused "bad configuration" 'farmgate.toml:[0-9]+:[0-9]+: E-CONF'
mv /etc/farmgate/tls/certificate.pem /etc/farmgate/tls/certificate.pem.good
refused "a certificate that is missing" 'certificate.pem'
mv /etc/farmgate/tls/certificate.pem.good /etc/farmgate/tls/certificate.pem
"$HERE/farmgate" origin --address 127.0.0.1:8099 >/dev/null &
squatter=$!
within 5 "the port is taken" curl -fsS -o /dev/null http://127.0.0.1:8099/
{
  cat "$WORK/good.toml"
  printf '[[listener]]\nname = "taken"\naddress = "127.0.0.1:8099"\n'
} >"$CONF"
refused "a port of another process" '127.0.0.1:8099'
# The one that gives up is killed; a child of it goes its own way to the end, and may not take the sockets' files along.
# shellcheck disable=SC2016 # for the script
printf '#!/bin/sh\n/farmgate/farmgate "$@"\nexit $?\n' >"$WORK/fake"
put "$WORK/fake"
refused "a port of another process, and it ends in its own time" '127.0.0.1:8099'
put "$HERE/farmgate"
kill "$squatter"
# The file of the access log cannot be made: no room is left where it has to be.
sed 's,/var/log/farmgate/access.log,/mnt/full/access.log,' "$WORK/good.toml" >"$CONF"
refused "a full disk" 'No space left'
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
