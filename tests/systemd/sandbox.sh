#!/usr/bin/env bash
# Boots the distribution's own systemd as PID 1 in fresh namespaces over a copy-on-write view of /, so that
# units are installed, started, reloaded, watched and killed for real and the host sees none of it: own pid,
# mount, cgroup, ipc, uts and (by default) network namespaces; writes go to a tmpfs; an own cgroup subtree.
# Needs root, util-linux (unshare, nsenter, script), iproute2, systemd and dbus. About two seconds.
#
#   sandbox.sh run  [OPTIONS] -- COMMAND...    boot, run the command inside, power off; exits as it did
#   sandbox.sh up   [OPTIONS]                  boot and leave running; prints its state folder
#   sandbox.sh exec STATE -- COMMAND...        run a command inside
#   sandbox.sh down STATE                      power off and clean up
#
#   -u FILE[:NAME]  install a unit, or a drop-in (x.conf:a.service.d/x.conf), in /etc/systemd/system
#   -b SRC[:DST]    bind SRC at DST, writable
#   -t UNIT         boot target; the default is basic.target and dbus, multi-user.target starts all enabled
#   -n host         share the host's network; the default is a network of its own with only lo
#   -C              hand over the v1 controllers of a hybrid hierarchy too, so that MemoryMax=, TasksMax= and
#                   CPUQuota= act; the default is a v2 tree for tracking and killing only
#   -w SECONDS      limit of boot and of shutdown (30)
# Exit code 125: the sandbox itself failed.
set -eu

die() { echo "sandbox: $*" >&2; exit 125; }

V2=/sys/fs/cgroup/unified
[ -d "$V2" ] || V2=/sys/fs/cgroup
# The v1 controllers of a hybrid hierarchy; none on a pure v2 host.
V1=
for folder in /sys/fs/cgroup/*/; do
  name="$(basename "$folder")"
  [ "$V2" != /sys/fs/cgroup ] || break
  [ "$name" = unified ] || [ ! -e "/sys/fs/cgroup/$name/cgroup.procs" ] || V1="$V1 $name"
done

# inside PID COMMAND...
inside() {
  local pid="$1"
  shift
  nsenter -t "$pid" -m -p -C -i -u -n -- env -i container=sandbox TERM=dumb LANG=C.UTF-8 HOME=/root \
    SYSTEMD_PAGER= SYSTEMD_COLORS=0 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# What runs in the new namespaces before systemd does: builds the root and changes to it.
write_inner() {
  cat >"$1" <<'INNER'
set -eu
S=$1 TARGET=$2 NET=$3 CTL=$4 V1=$5 R=$S/fs/root CONSOLE=$(tty)
mount -t tmpfs -o size=4g,mode=755 tmpfs "$S/fs"
mkdir "$S/fs/up" "$S/fs/wk" "$R"
mount -t overlay overlay -o lowerdir=/,upperdir="$S/fs/up",workdir="$S/fs/wk" "$R"
mount -t proc -o nosuid,nodev,noexec proc "$R/proc"
if [ "$NET" = private ]; then
  ip link set lo up
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$R/sys"
else
  mount --bind /sys "$R/sys"
  mount -o remount,bind,ro "$R/sys"
fi
# The host's sysctls stay as they are.
mount --bind "$R/proc/sys" "$R/proc/sys"
mount -o remount,bind,ro "$R/proc/sys"
if [ "$CTL" = 1 ] && [ -n "$V1" ]; then
  # All v1 controllers: systemd mounts those that are missing by itself, outside of the sandbox's subtree.
  mount -t tmpfs -o mode=755 tmpfs "$R/sys/fs/cgroup"
  mkdir "$R/sys/fs/cgroup/unified"
  mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup/unified"
  for c in $V1; do
    o=$c
    [ "$c" != systemd ] || o=none,name=systemd
    mkdir "$R/sys/fs/cgroup/$c"
    mount -t cgroup -o "$o" cgroup "$R/sys/fs/cgroup/$c"
  done
else
  mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
fi
mount -t tmpfs -o mode=755 tmpfs "$R/dev"
for n in null zero full random urandom tty; do
  touch "$R/dev/$n"
  mount --bind "/dev/$n" "$R/dev/$n"
done
mkdir "$R/dev/pts" "$R/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"
# Without a terminal at /dev/console systemd says nothing.
touch "$R/dev/console"
mount --bind "$CONSOLE" "$R/dev/console"
ln -s /proc/self/fd "$R/dev/fd"
for i in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${i%:*}" "$R/dev/${i#*:}"; done
mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mkdir -p "$R/run/systemd/system"
cat >"$R/run/systemd/system/sandbox.target" <<U
[Unit]
Description=Sandbox
Requires=basic.target
Wants=dbus.socket dbus.service
After=basic.target dbus.service
AllowIsolate=yes
U
# The host's /tmp stays in sight, and is not emptied at boot.
ln -s /dev/null "$R/run/systemd/system/tmp.mount"
mkdir -p "$R/etc/tmpfiles.d"
ln -sf /dev/null "$R/etc/tmpfiles.d/tmp.conf"
for m in systemd-timesyncd.service systemd-networkd.service systemd-resolved.service \
  console-getty.service e2scrub_reap.service apt-daily.timer; do
  ln -s /dev/null "$R/run/systemd/system/$m"
done
while IFS= read -r u; do
  f=${u%%:*} d=${u##*/}
  [ "$u" = "$f" ] || d=${u#*:}
  install -D -m 644 "$f" "$R/etc/systemd/system/$d"
done <"$S/units"
while IFS= read -r b; do
  s=${b%%:*} d=${b##*:}
  if [ -d "$s" ]; then mkdir -p "$R$d"; else install -D /dev/null "$R$d"; fi
  mount --rbind "$s" "$R$d"
done <"$S/binds"
[ -s "$R/etc/machine-id" ] || echo 0123456789abcdef0123456789abcdef >"$R/etc/machine-id"
hostname sandbox
cd "$R"
mkdir -p run/old
pivot_root . run/old
umount -l run/old
rmdir run/old
exec env -i container=sandbox LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit="$TARGET" --show-status=no
INNER
}

boot() {
  [ "$(id -u)" = 0 ] || die "needs root: namespaces, mounts and cgroups"
  for tool in unshare nsenter script ip; do command -v $tool >/dev/null || die "$tool is missing"; done
  [ -x /lib/systemd/systemd ] || die "systemd is missing"
  STATE="$(mktemp -d "${TMPDIR:-/tmp}/sandbox.XXXXXX")"
  local name="${STATE##*/}" target=sandbox.target net=private controllers=0 limit=30
  : >"$STATE/units"
  : >"$STATE/binds"
  while [ $# -gt 0 ]; do
    case "$1" in
      -u) echo "$2" >>"$STATE/units"; shift 2 ;;
      -b) echo "$2" >>"$STATE/binds"; shift 2 ;;
      -t) target="$2"; shift 2 ;;
      -n) net="$2"; shift 2 ;;
      -C) controllers=1; shift ;;
      -w) limit="$2"; shift 2 ;;
      --) shift; break ;;
      *) rm -rf "$STATE"; die "unknown option $1" ;;
    esac
  done
  REST=("$@")
  echo "$limit" >"$STATE/limit"
  mkdir -p "$V2/$name"
  local groups="$V2/$name" c f
  if [ $controllers = 1 ]; then
    for c in $V1; do
      mkdir -p "/sys/fs/cgroup/$c/$name"
      groups="$groups /sys/fs/cgroup/$c/$name"
      [ "$c" != cpuset ] || for f in cpuset.cpus cpuset.mems; do
        cat "/sys/fs/cgroup/cpuset/$f" >"/sys/fs/cgroup/cpuset/$name/$f"
      done
    done
  fi
  write_inner "$STATE/inner.sh"
  mkdir "$STATE/fs"
  local flags="--mount --pid --fork --kill-child --cgroup --ipc --uts --propagation private"
  [ "$net" != private ] || flags="$flags --net"
  # The shell enters the groups first: the cgroup namespace is rooted where its maker stands.
  setsid script -qefc "for g in $groups; do echo \$\$ >\$g/cgroup.procs; done
    exec unshare $flags bash $STATE/inner.sh $STATE $target $net $controllers '$V1'" \
    "$STATE/console.log" </dev/null >/dev/null 2>&1 &
  echo $! >"$STATE/script.pid"
  local end=$((SECONDS + limit)) pid state=
  while [ $SECONDS -lt $end ]; do
    pid="$(head -1 "$V2/$name/init.scope/cgroup.procs" 2>/dev/null || true)"
    if [ -n "$pid" ] && [ "$pid" != 0 ]; then
      echo "$pid" >"$STATE/pid"
      state="$(inside "$pid" systemctl is-system-running 2>/dev/null || true)"
      case "$state" in running | degraded) return 0 ;; esac
    fi
    kill -0 "$(cat "$STATE/script.pid")" 2>/dev/null || break
    sleep 0.1
  done
  echo "sandbox: boot failed (state '${state:-none}'):" >&2
  tail -20 "$STATE/console.log" >&2
  down "$STATE" || true
  exit 125
}

down() {
  local state="$1" name="${1##*/}" pid turn hierarchy
  [ -f "$state/script.pid" ] || die "$state is no sandbox"
  pid="$(cat "$state/pid" 2>/dev/null || true)"
  if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    inside "$pid" systemctl poweroff --no-wall >/dev/null 2>&1 || kill -s SIGRTMIN+4 "$pid" || true
    for ((turn = 0; turn < $(cat "$state/limit") * 10; turn++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    # Its namespace dies with it, and all that runs inside.
    kill -KILL "$pid" 2>/dev/null || true
  fi
  kill "$(cat "$state/script.pid")" 2>/dev/null || true
  # Groups go when their last process has been reaped.
  for ((turn = 0; turn < 20; turn++)); do
    for hierarchy in "$V2" ${V1// / /sys/fs/cgroup/}; do
      [ ! -d "$hierarchy/$name" ] ||
        find "$hierarchy/$name" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    [ -d "$V2/$name" ] || break
    sleep 0.1
  done
  rm -rf "$state"
}

command="${1:-}"
shift || true
case "$command" in
  up) boot "$@"; echo "$STATE" ;;
  exec)
    STATE="$1"
    shift
    [ "${1:-}" != -- ] || shift
    inside "$(cat "$STATE/pid")" "$@"
    ;;
  down) down "$1" ;;
  run)
    boot "$@"
    trap 'down "$STATE"' EXIT
    trap 'exit 130' INT TERM
    code=0
    inside "$(cat "$STATE/pid")" "${REST[@]}" || code=$?
    exit "$code"
    ;;
  *) sed -n '2,20p' "$0"; exit 2 ;;
esac
