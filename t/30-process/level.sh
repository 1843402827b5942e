#!/bin/bash
# Connections move to the workers that have the fewest, while workers are killed and clients check
# every byte: nobody may notice. A slot that is lost, with all of its connections, comes back empty
# and gets its share. LEVEL_CLIENTS makes it larger; LEVEL_SEED chooses who is killed, and is told.
. "$(dirname "$0")/lib.sh"

CROWD=${CROWD:-./t/tools/crowd}
clients=${LEVEL_CLIENTS:-2000}
seed=${LEVEL_SEED:-$$}
RANDOM=$seed
echo "# seed $seed"

counter() { ctl show counters | awk -v c="$1" '$1 == c { print $2 }'; }
loads() { ctl show workers | awk 'NR > 1 { printf "%s ", $12 }'; }
# the most loaded worker has at most a tenth more than the least loaded
level() {
	ctl show workers | awk 'NR > 1 { if (NR == 2 || $12 > max) max = $12
		if (NR == 2 || $12 < min) min = $12 } END { exit !(min > 0 && max <= 1.1 * min) }'
}
whole() { ! gone "$(keeper "$1")" && ! gone "$(worker "$1")"; }
is_level() { wait_until 10 level || { echo "# $(loads)"; return 1; }; }

# crowd SECONDS ARGS...: in the background; returns when all are connected
crowd() {
	local seconds=$1
	shift
	: > "$dir/crowd"
	"$CROWD" --port "$(port)" --seconds "$seconds" --seed "$seed" --subscribers "$clients" \
		--channels 100 "$@" > "$dir/crowd" 2>&1 &
	crowd=$!
	wait_until 60 grep -q '^ready' "$dir/crowd"
}
crowd_ends() {
	wait "$crowd" && return
	sed 's/^/# /' "$dir/crowd"
	return 1
}
kill_workers() {
	local end=$((SECONDS + $1)) i
	while [ "$SECONDS" -lt "$end" ]; do
		i=$((RANDOM % 4))
		wait_until 5 whole "$i" && kill -KILL "$(worker "$i")" 2>/dev/null
		sleep 0.0$((RANDOM % 9 + 1))
	done
}
# A worker that stands still does not replace its keeper: so nothing of the slot is left.
lose() {
	local w k
	w=$(worker "$1") k=$(keeper "$1")
	kill -STOP "$w" && kill -KILL "$k" && wait_until 5 gone "$k" && kill -KILL "$w"
}
# The slots without a connection that subscribes to nothing: those are the publishers.
without_publishers() {
	ctl show conns 100000 | awk '
		$4 == "websocket" && $6 == 0 { split($1, a, "."); has[a[1]] = 1 }
		END { for (s = 0; s < 4; s++) if (!(s in has)) print s }' | head -n 1
}

# the number of workers is the file's; launch() of lib.sh would say it before
launch() {
	mkdir -p "$run"
	"$PLENUMD" -f -c "$conf" -D listen=127.0.0.1:0 -D run_dir="$run" -D channels_max=1024 "$@" \
	    2>> "$log" >&2 &
	master=$!
}

# the fourth has nobody at first: what the kernel's hash gives may be level by chance
echo "workers = 3" > "$conf"
start -D max_connections=8000 -D message_rate=65535
check "clients are there" crowd 6 --ws-publishers 4 --http-publishers 2 --rate 400 --sse 20 \
	--http-get 4 --slow 3 --churn 4
echo "workers = 4" > "$conf"
check "another worker is there" ctl reload
kill_workers 2
check "the workers are level, some were killed" is_level
check "connections were moved" [ "$(counter plenum_moved_in_total)" -gt 0 ]
check "their clients noticed nothing" crowd_ends

check "clients are there that can resume" crowd 7 --resume --ws-publishers 1 --rate 100
slot=$(without_publishers)
before=$(counter plenum_moved_in_total)
check "a slot is lost" lose "$slot"
check "it is told" wait_until 5 has "$log" "the slot's connections are gone slot=$slot"
kill_workers 2
check "the workers are level again" is_level
echo "# $(loads)"
check "by moves" [ "$(counter plenum_moved_in_total)" -gt $((before + clients / 20)) ]
check "clients went on where they were" crowd_ends
recovered=$(sed -n 's/.* recovered=\([0-9]*\) .*/\1/p' "$dir/crowd")
check "those of the slot came again" [ "$recovered" -gt 0 ]
check "as many went as came" wait_until 2 eval \
	'[ "$(counter plenum_moved_in_total)" -eq "$(counter plenum_moved_out_total)" ]'
check "it ends in order" stop
finish
