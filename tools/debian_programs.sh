#!/usr/bin/env bash
# Unpack Debian's programs that the tests run beside the gateway, and their libraries, into a directory, without root:
#   tools/debian_programs.sh out/debian haproxy pgbouncer
# Programs that can't be had are named in one line; the tests that need them are then skipped, and say so.
set -euo pipefail
directory=$1
shift
mkdir -p "$directory"
cd "$directory"
for program in "$@"; do
  if command -v "$program" >/dev/null || [ -e "usr/sbin/$program" ] || [ -e "usr/bin/$program" ]; then
    continue
  fi
  # Simulated, to name what is missing; services of packages that are only unpacked are never started.
  packages=$(timeout 30 apt-get --simulate --quiet --no-install-recommends install "$program" 2>/dev/null \
    | awk '/^Inst /{print $2}') || packages=
  if [ -n "$packages" ] && timeout 60 apt-get download --quiet $packages >/dev/null 2>&1; then
    for package in ./*.deb; do dpkg-deb --extract "$package" .; done
    rm -f ./*.deb
  else
    echo "$program: not installed, and not to be had from Debian here: its tests are skipped"
  fi
done
