#!/bin/bash
# The number of workers changes while clients are there: connections move, listeners are lent,
# nobody notices. Workers and keepers are killed meanwhile. WORKERS_SEED chooses, and is told.
. "$(dirname "$0")/lib.sh"

CROWD=${CROWD:-./t/tools/crowd}
seed=${WORKERS_SEED:-$$}
RANDOM=$seed
ulimit -c 0
echo "# seed $seed"

begin() { launch -c "$conf" -D message_rate=65535 -D workers_max=6 "$@"; }
set_workers() { echo "workers = $1" > "$conf"; ctl reload; }
count() { ctl show workers | awk '$1 ~ /^[0-9]/' | wc -l; }
has_workers() { is "$(count)" "$1"; }
# launch() says workers=2, which would go before the file
launch() {
	mkdir -p "$run"
	"$PLENUMD" -f -D listen=127.0.0.1:0 -D run_dir="$run" -D channels_max=1024 "$@" \
	    2>> "$log" >&2 &
	master=$!
}
whole() { ! gone "$(keeper "$1")" && ! gone "$(worker "$1")"; }
kill_one() {
	local s=$((RANDOM % $1)) p
	wait_until 5 whole "$s" || return
	if [ $((RANDOM % 3)) -eq 0 ]; then p=$(keeper "$s"); else p=$(worker "$s"); fi
	kill -KILL "$p" 2> /dev/null
}

echo "workers = 2" > "$conf"
begin
wait_until 20 serves
check "two workers are there" has_workers 2
check "more than workers_max is refused" fails set_workers 7 2> "$dir/err"
check "and told" has "$dir/err" "workers: 6 without a restart, not 7 (workers_max)"
check "nothing is changed" has_workers 2

"$CROWD" --port "$(port)" --seconds 12 --seed "$seed" --subscribers 400 --channels 40 \
    --ws-publishers 4 --http-publishers 2 --sse 20 --rate 500 --http-get 4 --get-rate 50 \
    --churn 4 > "$dir/crowd" 2>&1 &
crowd=$!
check "a crowd is there" wait_until 20 grep -q '^ready' "$dir/crowd"
for n in 5 3 6 1 4; do
	check "reload to $n workers is 0" set_workers "$n"
	[ "$n" -eq 1 ] || { kill_one "$n"; sleep 0.1; kill_one "$n"; }
	check "there are $n" wait_until 10 has_workers "$n"
	kill_one "$n"
done
crowd_ends() { wait "$crowd" || { sed 's/^/# /' "$dir/crowd"; return 1; }; }
check "the crowd has noticed nothing" crowd_ends
check "closed slots have told it" is "$(grep -c "slot is closed" "$log")" 7
check "no slot was lost" has_no "$log" "connections are gone"

# every listener has somebody who takes what arrives there
served() {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		curl -s -m "${1:-2}" -o /dev/null "$(url)health/live" || return 1
	done
}
check "set to one, all listeners are served" set_workers 1
check "by one worker" wait_until 10 has_workers 1
check "new clients are served" served
kill -KILL "$(worker 0)"
check "by its heir, too" served
kill -KILL "$master"
wait "$master" 2> /dev/null
echo "workers = 3" > "$conf"
begin
check "a new master takes the new number" wait_until 20 has_workers 3
check "new clients are served" served

# a slot in back-off does not keep the clients that come: its listeners are lent
fault() {
	local p
	wait_until 10 whole 1 && p=$(worker 1) && kill -SEGV "$p" && wait_until 5 gone "$p"
}
for i in 1 2 3 4 5 6 7 8 9 10 11; do
	fault
done
backs_off() { ctl show workers | awk '$1 == 1 { exit !($0 ~ / no /) }'; }
check "a worker that faults again and again waits" wait_until 2 backs_off
check "meanwhile another takes its clients" served 1
check "it waits still" backs_off
check "and comes back" wait_until 10 whole 1
check "with its clients" served
check "it ends in order" stop

# a slot that is lost while it closes leaves no interest: the channel goes when it is idle
echo "workers = 4" > "$conf"
begin -D channel_idle=1s
wait_until 20 has_workers 4
curls=
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	curl -sN -H 'Accept: text/event-stream' "$(url)api/channels/left/events" > /dev/null &
	curls="$curls $!"
done
subscribed() { is "$(ctl --json show workers | grep -c '"connections": 0')" 0; }
wait_until 5 subscribed
lost=
for i in 1 2 3; do
	lost="$lost $(worker $i) $(keeper $i)"
done
# shellcheck disable=SC2086
kill -STOP $lost
check "slots are told to close" set_workers 1
# shellcheck disable=SC2086
kill -KILL $lost
check "and are lost" wait_until 5 has_workers 1
left() { ctl show channels | grep -q left; }
check "their channel is there" left
# shellcheck disable=SC2086
kill $curls
no_left() { ! left; }
check "and goes when it is idle" wait_until 10 no_left
check "it ends in order" stop
finish
