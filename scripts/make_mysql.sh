#!/usr/bin/env bash
# Unpacks Debian unstable's MySQL server into TXGUARD_MYSQL_ROOT (default /opt/txguard-mysql), as root on
# Debian. The folder is complete or absent: it is filled under another name and renamed, so a run that was
# cut short is done again.
set -euo pipefail
root=${TXGUARD_MYSQL_ROOT:-/opt/txguard-mysql}
partial=$root.partial
mirror=${TXGUARD_DEBIAN_MIRROR:-} # empty: debootstrap's own choice

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make mysql unpacks Debian packages as root. Elsewhere install a MySQL server (8.0.23 or newer) so that" \
        "mysqld is on the PATH." >&2
    exit 1
fi

works() { [ -x "$1/usr/sbin/mysqld" ] && chroot "$1" /usr/sbin/mysqld --no-defaults --version >/dev/null 2>&1; }

if works "$root"; then
    exit 0
fi
# Only an unfinished debootstrap is ours to delete; anything else in that place is somebody's.
if [ -d "$root" ] && [ ! -d "$root/debootstrap" ] && [ -n "$(ls -A "$root")" ]; then
    echo "make mysql: $root is not empty and has no working mysqld: remove it, or set TXGUARD_MYSQL_ROOT" >&2
    exit 1
fi

if ! command -v debootstrap >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi

unmount_below() { # nothing of the machine may be mounted in what is about to be deleted or moved
    local mounted
    while read -r mounted; do
        umount "$mounted"
    done < <(awk -v p="$1/" 'index($2, p) == 1 {print $2}' /proc/mounts | sort -r)
}
for stale in "$partial" "$root"; do
    unmount_below "$stale"
    rm -rf "$stale"
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "unpacking MySQL into $root (about 650 MB)"
if ! debootstrap --variant=minbase --include=mysql-server-core,mysql-client-core sid "$partial" ${mirror:+"$mirror"} >"$log" 2>&1; then
    tail -n 20 "$log" "$partial/debootstrap/debootstrap.log" 2>/dev/null >&2 || true
    echo "make mysql: debootstrap failed" >&2
    exit 1
fi
unmount_below "$partial"
rm -rf "$partial"/var/cache/apt/archives/*.deb
works "$partial" || { echo "make mysql: mysqld in $partial does not run" >&2; exit 1; }
mv "$partial" "$root"
