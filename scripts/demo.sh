#!/usr/bin/env bash
# Starts a server on data of its own and plays the sample match on its board until interrupted.
set -euo pipefail

scorewire=${1:?usage: demo.sh PATH/TO/scorewire}
port=${PORT:-3000}
speed=${SPEED:-30}
url=http://localhost:$port
data=$(mktemp -d)

"$scorewire" serve --listen "127.0.0.1:$port" --data-dir "$data" >/dev/null &
server=$!
cleanup() {
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    rm -rf "$data"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The secret is there once the server answers; `replay` itself waits for a server that is still starting.
while [ ! -f "$data/jwt-secret" ]; do
    kill -0 "$server" 2>/dev/null || { echo "The server did not start." >&2; exit 1; }
    read -rt 0.1 <> <(:) || true
done
echo "Open $url/ in a browser. Interrupt with Ctrl-C."
round=1
while kill -0 "$server" 2>/dev/null; do
    "$scorewire" replay samples/match.json --target "$url" --data-dir "$data" --speed "$speed" --run-id "demo-$round"
    round=$((round + 1))
done
