#!/usr/bin/env bash
# Makes or updates the virtual environment in $1 with this project and its extra $2 ("" for none): editable, or, with
# "compiled" as $3, as a wheel whose hot path mypyc has compiled (scripts/compile_hook.py).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 extra=${2:-} mode=${3:-editable}

usable() { # a Python of at least 3.11 that can make virtual environments
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

pick_python() { # the distribution's first: it is built with profile-guided optimization, 1.7 times as fast as a plain build
    local candidate
    for candidate in ${PYTHON:-/usr/bin/python3 python3.11 python3 python3.12 python3.13}; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# Debian's python3 comes without venv and pip.
if [ ! -x "$venv/bin/python" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! usable /usr/bin/python3; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
fi

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    python=$(pick_python) || {
        echo "TxGuard needs Python 3.11 or newer with venv. Debian and Ubuntu: apt-get install python3-venv;" \
            "or set PYTHON to an interpreter." >&2
        exit 1
    }
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
extras=${extra:+[$extra]}

if [ "$mode" = editable ]; then
    pip install -e ".$extras"
    exit 0
fi

compiles() {
    command -v cc >/dev/null && echo '#include <Python.h>' | cc -E -I"$(
        "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" - >/dev/null 2>&1
}
if ! compiles && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing gcc libc6-dev python3-dev"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev >/dev/null
fi
compiles || echo "no C compiler, or no Python.h: TxGuard stays interpreted, so slower (Debian: gcc, python3-dev)" >&2

wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
echo "compiling the hot path (a minute or two)"
pip wheel --no-deps --wheel-dir "$wheels" .
wheel=$(echo "$wheels"/txguard-*.whl)
pip install --force-reinstall --no-deps "$wheel"
pip install "txguard$extras @ file://$wheel"
# Tests come from the checkout, behind what is installed: `tests` is found there, the three packages are not.
pwd >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_checkout.pth"
