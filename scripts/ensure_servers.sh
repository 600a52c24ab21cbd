#!/usr/bin/env bash
# Sees to it that this machine can run what `make $1` needs: a MariaDB or MySQL server always; sysbench for
# test and bench, HAProxy for bench. As root on Debian it installs what is missing, elsewhere it says what to.
set -euo pipefail
PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin"
purpose=${1:-demo}

missing=()
has() { command -v "$1" >/dev/null 2>&1; }
has mariadbd || has mysqld || missing+=(mariadb-server-core mariadb-client)
case "$purpose" in test | bench) has sysbench || missing+=(sysbench) ;; esac
case "$purpose" in bench) has haproxy || missing+=(haproxy) ;; esac
if [ "$purpose" = torture ] && [ "$(id -u)" = 0 ] && has apt-get; then # without it the clocks do not jump
    compgen -G "/usr/lib/*/faketime/libfaketimeMT.so.1" >/dev/null || missing+=(libfaketime)
fi
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && has apt-get; then
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    exit 0
fi

echo "make $purpose needs these and they are not here: ${missing[*]} (names of Debian's packages)." >&2
echo "Debian and Ubuntu: sudo apt-get install ${missing[*]}" >&2
echo "Fedora: sudo dnf install mariadb-server sysbench haproxy; macOS: brew install mariadb sysbench haproxy" >&2
exit 1
