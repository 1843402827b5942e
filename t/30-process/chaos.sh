#!/bin/bash
# Workers and keepers killed at random and reloads, under a crowd of clients that check every byte:
# nobody may notice. CHAOS_SECONDS makes it longer; CHAOS_SEED chooses who is killed, and is told.
. "$(dirname "$0")/lib.sh"

CROWD=${CROWD:-./t/tools/crowd}
seconds=${CHAOS_SECONDS:-8}
seed=${CHAOS_SEED:-$$}
RANDOM=$seed
echo "# seed $seed"

# Numbers of open descriptors of all keepers (their tables are the workers' too).
tables() {
	local n=0 s p
	for s in 0 1 2 3; do
		p=$(keeper "$s") && n=$((n + $(descriptors "$p")))
	done
	echo "$n"
}

# The sum of a column of deaths: 6 killed, 7 fault, 8 exit, 9 stuck, 10 renewed.
deaths() { ctl show workers | awk -v c="$1" 'NR > 1 { n += $c } END { print n + 0 }'; }

pss() {
	local s p n=0
	for s in 0 1 2 3; do
		p=$(worker "$s") && n=$((n + $(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup")))
	done
	echo "$n"
}

whole() { ! gone "$(keeper "$1")" && ! gone "$(worker "$1")"; }

# kill_in SLOT WHAT: its keeper or worker, when both are there: one of them keeps what is open
kill_in() {
	local p
	wait_until 5 whole "$1" || return
	p=$("$2" "$1") && kill -KILL "$p" 2>/dev/null
}

# disturb PID: kills somebody every 300 ms and reloads every second while the crowd runs. A reload
# ends each worker: a keeper that is killed in the same millisecond would take its slot along.
disturb() {
	local i=0
	while ! gone "$1"; do
		i=$((i + 1))
		case $((i % 4)) in
		0) kill_in $((RANDOM % 4)) keeper && keepers=$((keepers + 1)) ;;
		1) kill_in $((RANDOM % 4)) worker; kill -HUP "$master" ;;
		*) kill_in $((RANDOM % 4)) worker ;;
		esac
		sleep 0.3
	done
}

# A crowd that is not served for long by two busy cores is no failure: only what it counts is.
crowd_with_deaths() {
	local crowd status
	"$CROWD" --port "$(port)" --seconds "$seconds" --seed "$seed" "$@" \
		> "$dir/crowd" 2>&1 &
	crowd=$!
	wait_until 20 grep -q '^ready' "$dir/crowd" || echo "# the crowd is not ready"
	disturb "$crowd"
	wait "$crowd"
	status=$?
	[ "$status" -eq 0 ] || sed 's/^/# /' "$dir/crowd"
	return "$status"
}

keepers=0
start -D workers=4 -D message_rate=65535
before=$(tables)
check "clients of killed and renewed workers notice nothing" crowd_with_deaths \
	--subscribers 200 --channels 2 --ws-publishers 4 --http-publishers 4 --rate 600 \
	--sse 4 --http-get 4 --slow 3 --churn 4
check "workers were killed" [ "$(deaths 6)" -ge 5 ]
check "keepers were killed" [ "$keepers" -ge 2 ]
check "and replaced by their workers" [ "$(grep -c 'its worker started another' "$log")" -ge 2 ]
check "no slot was lost" has_no "$log" "connections are gone"
check "workers were renewed" [ "$(deaths 10)" -ge 4 ]
check "none of them failed by itself" is "$(deaths 7) $(deaths 8) $(deaths 9)" "0 0 0"

memory=$(pss)
check "and again, many channels to a client" crowd_with_deaths \
	--subscribers 60 --channels 30 --per-client 12 --ws-publishers 4 --http-publishers 2 \
	--rate 400 --size 20-9000
check "no descriptor is left over" wait_until 5 eval '[ "$(tables)" -eq "$before" ]'
check "memory does not grow with deaths" [ "$(pss)" -le $((memory * 2 + 4096)) ]
check "at full speed nothing is lost without a gap" "$CROWD" --port "$(port)" --seconds 3 \
	--subscribers 100 --channels 2 --ws-publishers 4 --http-publishers 4 --slow 6
check "it ends in order" stop
finish
