#!/bin/bash
# Many connections at once: all are served, fairly, and cheaply.
. "$(dirname "$0")/lib.sh"

CROWD=${CROWD:-./t/tools/crowd}

crowd() {
	"$CROWD" --port "$(port)" "$@" > "$dir/crowd" 2>&1 && return
	sed 's/^/# /' "$dir/crowd"
	return 1
}
sequential() { local i; for i in $(seq 50); do connect; answers || return 1; hang_up; done; }

pss() {
	local s p n=0
	for s in 0 1; do
		p=$(worker "$s") && n=$((n + $(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup")))
	done
	echo "$n"
}

# hold N: N idle WebSocket connections, until let_go
hold() {
	"$CROWD" --port "$(port)" --idle "$1" --channels 0 --seconds 60 > "$dir/idle" 2>&1 &
	holder=$!
	wait_until 30 grep -q "^ready $1" "$dir/idle"
}
let_go() { kill "$holder"; wait "$holder" 2>/dev/null; }

start -D max_connections=6000
check "50 connections, one after the other" sequential
for n in 10 100 150 5000; do
	check "$n connections at once are all served" crowd --storm "$n"
done
check "50 clients make one new channel at the same moment: one epoch, seq 1 to 50" \
	crowd --create 50 --rounds 5

check "4000 idle WebSocket connections are held" hold 4000
a=$(column 0 12) b=$(column 1 12)
check "they are spread over the workers" \
    [ $((a * 10)) -le $((b * 12)) -a $((b * 10)) -le $((a * 12)) ]
let_go
stop

start -D max_connections=6000
before=$(pss)
check "4000 more on a new server" hold 4000
after=$(pss)
check "cost at most 1 KiB of memory each" [ $(((after - before) * 1024 / 4000)) -le 1024 ]
echo "# $(((after - before) * 1024 / 4000)) bytes each"
let_go
stop

start -D max_connections=20 -D workers=1
check "20 are held, as many as may be" hold 20
connect
check "one too many is told 503" \
    is "$(head -n 1 <&7 | tr -d '\r')" "HTTP/1.1 503 Service Unavailable"
hang_up
let_go
connect
check "and served when there is room" wait_until 5 answers
hang_up
check "it ends in order" stop
finish
