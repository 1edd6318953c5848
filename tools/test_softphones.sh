#!/usr/bin/env bash
# The SIP telephones that tests run in a browser (JsSIP, SIP.js), as one file for a page; prints where it is.
# Fetched by npm on the first run, as tests/e2e/softphones/package-lock.json says, into the virtual environment.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
source=$here/tests/e2e/softphones
made=$here/.venv/softphones
mkdir -p "$made"
exec 9>"$made/.lock"
flock 9
stamp=$(cat "$source"/package-lock.json "$source"/phones.js | sha256sum)
if [ "$(cat "$made/.made" 2>/dev/null)" != "$stamp" ]; then
    command -v npm >/dev/null || { echo "ramal: these tests need npm: apt-get install npm" >&2; exit 1; }
    cp "$source"/package.json "$source"/package-lock.json "$source"/phones.js "$made/"
    (cd "$made" && npm ci --no-audit --no-fund --loglevel=error &&
        node_modules/.bin/esbuild phones.js --bundle --format=iife --outfile=bundle.js --log-level=error) >&2
    echo "$stamp" >"$made/.made"
fi
echo "$made/bundle.js"
