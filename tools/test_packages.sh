#!/usr/bin/env bash
# The Debian packages only tests need: a browser as WebRTC agent, sipp as customers and trunk, baresip as softphone,
# npm for the softphones that run in the browser, espeak-ng as the voices of those who answer.
# Installs what is missing where that is possible, else says in one line what to install.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

missing=()
[ -x /usr/bin/chromium ] || missing+=(chromium)
command -v sipp >/dev/null || missing+=(sip-tester)
command -v baresip >/dev/null || missing+=(baresip-core)
command -v npm >/dev/null || missing+=(npm)
command -v espeak-ng >/dev/null || missing+=(espeak-ng)
[ ${#missing[@]} = 0 ] && exit 0

root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)
if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
    echo "ramal: installing the Debian packages ${missing[*]}"
    "${root[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null || true
    "${root[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" >/dev/null &&
        exit 0
fi
echo "ramal: the tests need Debian packages that could not be installed: apt-get install ${missing[*]}" >&2
exit 1
