#!/usr/bin/env bash
# systemctl stop: health checks fail first, the load balancer gets its time, then what is under way ends, here and in
# a process that was replaced before, however long it takes: the unit's own limit is pushed back by the node.
# shellcheck source=tests/systemd/lib.sh
source "$(dirname "$0")/lib.sh"

install_node
drain '{ idle_grace = "1s", deadline = "60s", lb_grace = "3s" }'
# Far less than the drain below takes.
drop_in '[Service]
TimeoutStopSec=4'
start_origin
start_node
# 100 parts, one each 100 ms: ten seconds.
curl -fsS -m 60 -o "$WORK/longer" "http://$WEB/slow-body?chunks=100&size=1000&interval_ms=100" &
longer=$!
within 5 "the first long download has begun" test -s "$WORK/longer"
systemctl reload farmgate.service || fail "the upgrade was refused: $(prop StatusText)"
holds "the old process drains" "$(processes | wc -l) == 2"
curl -fsS -m 60 -o "$WORK/long" "http://$WEB/slow-body?chunks=100&size=1000&interval_ms=100" &
long=$!
within 5 "the long download has begun" test -s "$WORK/long"

load fresh --address "$WEB" --fresh 3
begun=$EPOCHREALTIME
systemctl stop farmgate.service &
stop=$!
code() { curl -s -o /dev/null -m 2 -w '%{http_code}' "$1"; }
unready() { [ "$(code "http://$ADMIN/readyz")" = 503 ]; }
within 2 "/readyz fails" unready
same "the listener's health path" "$(code "http://$WEB/farmgate/ready")" 503
same "/livez while it goes" "$(code "http://$ADMIN/livez")" 200
same "the state of the unit" "$(prop ActiveState)" deactivating
# The load balancer still sends: nobody is refused until lb_grace is over.
sleep 1.5
unload fresh
lossless fresh
closed() { ! (exec 3<>"/dev/tcp/${WEB%:*}/${WEB##*:}") 2>/dev/null; }
within 5 "the listener closes after lb_grace" closed
closed_ms=$(((${EPOCHREALTIME/./} - ${begun/./}) / 1000))
say "the listener closed after $closed_ms ms"
holds "lb_grace was kept" "$closed_ms >= 2900"
wait "$longer" || fail "the long download of the old process was cut"
wait "$long" || fail "the long download was cut"
same "bytes of the long download" "$(stat -c %s "$WORK/long")" 100000
wait "$stop" || fail "systemctl stop failed"
took_ms=$(((${EPOCHREALTIME/./} - ${begun/./}) / 1000))
say "stopped after $took_ms ms"
same "the state of the unit" "$(prop ActiveState)" inactive
same "the result of the unit" "$(prop Result)" success
same "processes that are left" "$(processes)" ""
# Else nothing was shown: the limit of the unit must have passed.
holds "the drain took longer than the unit's limit" "$took_ms > 4500"
holds "the stop ended with its last client" "$took_ms < 20000"
