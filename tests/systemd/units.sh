#!/usr/bin/env bash
# The files of systemd/ without a running systemd: `units.sh FARMGATE` (the binary the unit would start).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

farmgate="$(realpath "${1:?units.sh FARMGATE}")"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
fail() { echo "units: $*" >&2; exit 1; }

# The exposure that systemd computes, times ten. It only ever comes down.
EXPOSURE=15
systemd-analyze security --offline=true --threshold="$EXPOSURE" systemd/farmgate.service >"$folder/security" || {
  grep -F '✗' "$folder/security" >&2
  fail "farmgate.service is more exposed than $((EXPOSURE / 10)).$((EXPOSURE % 10))"
}

# `verify` wants the commands to be there; a word that it does not know is a line, not an exit code.
for unit in farmgate.service farmgate.socket; do
  sed "s|/usr/bin/farmgate|$farmgate|" "systemd/$unit" >"$folder/$unit"
done
systemd-analyze verify --man=no "$folder/farmgate.service" "$folder/farmgate.socket" 2>&1 | tee "$folder/verify"
[ ! -s "$folder/verify" ] || fail "systemd-analyze verify has something to say"

# The commands of the unit are commands of the binary.
sed -n 's|^Exec[A-Za-z]*=/usr/bin/farmgate \([a-z-]*\).*|\1|p' systemd/farmgate.service >"$folder/commands"
[ "$(sort -u "$folder/commands" | xargs)" = "run upgrade" ] || fail "commands: $(xargs <"$folder/commands")"
while read -r command; do
  "$farmgate" "$command" --help >/dev/null || fail "farmgate $command is no command"
done <"$folder/commands"

systemd-sysusers --dry-run "$PWD/systemd/farmgate.sysusers" >"$folder/sysusers" 2>&1 || fail "sysusers"
# On a root of its own: it names a user that this machine need not have.
mkdir -p "$folder/root/etc/farmgate"
echo "farmgate:x:$(id -u):$(id -g)::/:/bin/false" >"$folder/root/etc/passwd"
echo "root:x:$(id -g):" >"$folder/root/etc/group"
echo "farmgate:x:$(id -g):" >>"$folder/root/etc/group"
sed "s/ root farmgate / - - /" systemd/farmgate.tmpfiles >"$folder/tmpfiles.conf"
systemd-tmpfiles --root="$folder/root" --create "$folder/tmpfiles.conf" || fail "tmpfiles"
[ "$(stat -c %a "$folder/root/etc/farmgate")" = 750 ] || fail "tmpfiles: mode of /etc/farmgate"

# The packaged configurations are right, without a warning.
for config in packaging/deb packaging/container; do
  "$farmgate" check --deny-warnings --config "$config" >"$folder/check" 2>&1 || {
    cat "$folder/check" >&2
    fail "$config/farmgate.toml"
  }
done

# The changelog of the package begins with the version of Cargo.toml.
version="$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)"
head -1 packaging/deb/changelog | grep -qF "farmgate ($version-1)" ||
  fail "packaging/deb/changelog does not begin with $version-1"
echo "units: ok"
