#!/usr/bin/env bash
# Starts imitated sources and a server on data of its own, which publishes them as feeds, and plays the sample match on
# its board until interrupted. Nothing reaches beyond this machine.
set -euo pipefail

scorewire=${1:?usage: demo.sh PATH/TO/scorewire}
port=${PORT:-3000}
upstreams_port=${UPSTREAMS_PORT:-3999}
speed=${SPEED:-30}
url=http://localhost:$port
source=http://localhost:$upstreams_port
data=$(mktemp -d)

"$scorewire" upstreams --listen "127.0.0.1:$upstreams_port" >/dev/null &
upstreams=$!
cat >"$data/scorewire.toml" <<TOML
[[feeds]]
name = "match"
url = "$source/api/users/2"
fetch_every = "10s"
transmit_every = "2s"
transform = '.data | {username: (.email/"@")[0], domain: (.email/"@")[1], name: ("\(.first_name) \(.last_name)" | ascii_downcase)}'

[[feeds]]
name = "btc-usd"
url = "$source/index/cc/v1/latest/tick?market=cadli&instruments=BTC-USD"
fetch_every = "1s"
transform = '{price: .Data["BTC-USD"].VALUE, at: .Data["BTC-USD"].VALUE_LAST_UPDATE_TS}'
error = '.Err.message // empty'
dedupe = '.Data["BTC-USD"].CCSEQ'
TOML
"$scorewire" serve --config "$data/scorewire.toml" --listen "127.0.0.1:$port" --data-dir "$data/data" >/dev/null &
server=$!
cleanup() {
    kill "$server" "$upstreams" 2>/dev/null || true
    wait "$server" "$upstreams" 2>/dev/null || true
    rm -rf "$data"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The secret is there once the server answers; `replay` itself waits for a server that is still starting.
while [ ! -f "$data/data/jwt-secret" ]; do
    kill -0 "$server" 2>/dev/null || { echo "The server did not start." >&2; exit 1; }
    kill -0 "$upstreams" 2>/dev/null || { echo "The imitated sources did not start: is port $upstreams_port free? UPSTREAMS_PORT chooses another." >&2; exit 1; }
    read -rt 0.1 <> <(:) || true
done
cat <<TEXT
Open $url/ for the board and $url/feeds for the feeds. Interrupt with Ctrl-C.

  curl -N $url/feeds/match/stream
  curl -N "$url/stream?since=\$((\$(date +%s) - 60))"       # the default feed, from a minute ago on
  curl -X POST $source/faults/coindesk -d '{"fault":"500"}'    # break a source; "none" heals it

TEXT
round=1
while kill -0 "$server" 2>/dev/null; do
    "$scorewire" replay samples/match.json --target "$url" --data-dir "$data/data" --speed "$speed" --run-id "demo-$round"
    round=$((round + 1))
done
