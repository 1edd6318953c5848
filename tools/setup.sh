#!/usr/bin/env bash
# Makes .venv from requirements.lock: `tools/setup.sh run` what the product needs, `tools/setup.sh test` what
# the tests and checks need as well. A stamp is written last, so that an interrupted run begins again.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:?run or test}
python=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 DEBIAN_FRONTEND=noninteractive

fail() {
    echo "ramal: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

works() {
    .venv/bin/python -m pip --version >/dev/null 2>&1
}

# Debian splits venv from Python: ask apt for it, else take virtualenv from the package registry.
make_venv() {
    "$python" -m venv --clear .venv >/dev/null 2>&1 && works && return
    if may_install; then
        echo "ramal: installing the Debian package python3-venv"
        as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null || true
        as_root apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends python3-venv >/dev/null || true
        "$python" -m venv --clear .venv >/dev/null 2>&1 && works && return
    fi
    if "$python" -m pip install --quiet --user virtualenv >/dev/null 2>&1 ||
        "$python" -m pip install --quiet --user --break-system-packages virtualenv >/dev/null 2>&1; then
        "$python" -m virtualenv --quiet --clear .venv && works && return
    fi
    fail "cannot make a virtual environment: install the Debian package python3-venv (apt-get install python3-venv)"
}

command -v "$python" >/dev/null || fail "Python 3.11 or newer is needed: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, $python is $("$python" --version); name another: make PYTHON=python3.11"

works || { echo "ramal: making the virtual environment .venv"; make_venv; }
case $what in
    run) extras="" ;;
    test) extras="[test]" ;;
    *) fail "what to set up is run or test, not $what" ;;
esac
echo "ramal: installing the pinned dependencies"
log=.venv/install.log
.venv/bin/python -m pip install --constraint requirements.lock --editable ".$extras" >"$log" 2>&1 || {
    grep -E '^ERROR' "$log" >&2 || tail -n 5 "$log" >&2
    fail "the dependencies could not be installed; the whole of pip's report is in $log"
}

touch .venv/.installed
[ "$what" = run ] || touch .venv/.installed-tests
