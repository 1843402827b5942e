#!/bin/bash
# Clients that once were served wrongly: slow ones, early leavers, odd segments. Each scene of
# scenes.mjs runs against a server with the settings that it needs.
. "$(dirname "$0")/../30-process/lib.sh"

command -v node > /dev/null || { echo "no node"; exit 77; }
set -o pipefail
scenes=$(dirname "$0")/scenes.mjs

# scene SENTENCE: the one of that name
scene() {
	check "$1" play "$1"
}
play() {
	local url
	url=$(url)
	SERVER=$master WIRE_ONLY=$1 PLENUM_URL=${url%/} node "$scenes" | sed 's/^/# /'
}
# hundredths of a second of processor time of both workers
cpu() {
	cat "/proc/$(worker 0)/stat" "/proc/$(worker 1)/stat" |
	    awk '{ n += $14 + $15 } END { print n }'
}

# three scenes publish 24M each, and all of it may lie in one arena
start -D header_timeout=2s -D keepalive_timeout=1s -D arena=256M
scene 'a long answer to a slow reader is whole, HTTP/1.1 with Connection: close'
scene 'a long answer to a slow reader is whole, HTTP/1.0'
scene 'a request behind a long answer is not late because the answer takes long'
scene 'a client whose segments end within requests is not late'
before=$(cpu)
scene 'a body whose chunks fill a block is refused at once'
check "and costs little" [ $(($(cpu) - before)) -le 50 ]
scene 'answers to all that was asked before the half-close arrive'
scene 'nothing follows our close frame'
stop

start -D request_timeout=3s
scene 'a long answer that is read all the time may take longer than request_timeout'
stop

start -D ping_interval=1s -D ping_timeout=3s -D history=200
scene 'a reader that lags all the time is heard, and not taken for silent'
stop

start -D graceful_timeout=2s -D message_rate=60000
scene 'what is told while the server stops is torn nowhere'
finish
