#!/bin/bash
# A restart of the whole daemon under a service manager that keeps descriptors: channels, events and
# keys are those of the run before. What does not fit is given up, and told.
. "${SRCDIR:-.}/t/30-process/lib.sh"

# region, eventfds of slots and helpers; an inbox with its two ends and a listener for each slot
whole=$((1 + 11 + 4 * 3))
manager=${BUILDDIR:-.}/t/tools/manager
told=$dir/told
: > "$log"
: > "$told"
mkfifo "$dir/orders"
# manage SOCKET: a manager of its own, whose orders are descriptor 6
manage() {
	mkdir -p "$run"
	"$manager" "$1" "$PLENUMD" -f -D listen=127.0.0.1:0 -D run_dir="$run" -D workers=2 \
	    -D workers_max=4 -D channels_max=1024 -D history=4000 -D keepalive_timeout=60s \
	    -D graceful_timeout=3s -D upgrade_grace=200ms -D max_connections=1000 \
	    < "$dir/orders" > "$told" 2>> "$log" &
	managing=$!
	exec 6> "$dir/orders"
}
dismiss() {
	exec 6>&-
	wait "$managing" 2> /dev/null
	master=
}
trap 'exec 6>&-; cleanup' EXIT
tell() { echo "$*" >&6; }
count() { grep -c "^$1" "$told"; }
more() { [ "$(count "$1")" -gt "$2" ]; }
# ask WORD: the number of the answer
ask() {
	local n
	n=$(count "$1 ")
	tell "$1"
	wait_until 5 more "$1 " "$n"
	sed -n "s/^$1 //p" "$told" | tail -n 1
}
# begin ARGS...: the manager starts plenumd
begin() {
	local n
	n=$(count ready)
	tell start "$@"
	wait_until 20 more ready "$n" || { echo "# it does not start"; tail -n 20 "$log"; }
	master=$(sed -n 's/^start //p' "$told" | tail -n 1)
	wait_until 5 serves
}
ended() { wait_until 20 more ended "$1"; }
# finish_run SIGNAL PID...: and waits until the manager knows
finish_run() {
	local n signal=$1
	shift
	n=$(count ended)
	kill -"$signal" "$@"
	ended "$n" || echo "# it does not end"
	wait_until 5 all_gone "$@" || echo "# not all are gone"
	master=
}
everything() { echo "$master $(keeper 0) $(keeper 1) $(worker 0) $(worker 1) $(logger)"; }

# --- what clients see ---
api() { echo "http://127.0.0.1:$(port)/api/channels/$1/events"; }
publish() {
	local chan=$1 data=$2
	shift 2
	curl -s -X POST -H 'Content-Type: application/json' -d "$data" "$@" "$(api "$chan")"
}
events() { curl -s "$(api "$1")?limit=8192${2:-}"; }
epoch() { events "$1" | sed 's/.*"epoch":"\([0-9a-f]*\)".*/\1/'; }
seq_of() { sed 's/.*"seq":\([0-9]*\).*/\1/'; }
data_of() { events "$1" | grep -o '"data":[^}]*' | cut -d : -f 2 | tr '\n' ' '; }

# --- an orderly restart ---
manage "$dir/notify"
begin
at=$(port)
check "the manager keeps region, eventfds, inboxes and listeners" is "$(ask held)" $whole
publish room 1 > /dev/null
publish room 2 > /dev/null
publish hall '"x"' > /dev/null
first=$(publish room 3 -H 'Idempotency-Key: one')
room=$(epoch room)
hall=$(epoch hall)
names() { tell names; ask held > /dev/null; sed -n 's/^name //p' "$told" | sort -u; }
check "each under a name of its own" is "$(names | wc -l)" "$(ask held)"
finish_run QUIT "$master"
check "QUIT ends it with 0" is "$(tail -n 1 "$told")" "ended 0"
begin
check "it says that the region goes on" has "$log" "the region of the run before goes on channels=2"
check "a channel has its epoch" is "$(epoch room)" "$room"
check "and so has the other" is "$(epoch hall)" "$hall"
check "events are there" is "$(data_of room)" "1 2 3 "
check "the address is the same" is "$(port)" "$at"
back=$(events room "&epoch=$room&since=1")
check "who comes back recovers" has <(echo "$back") '"recovered":true'
check "and gets what came after" is "$(echo "$back" | grep -o '"data":' | wc -l)" 2
check "a key has its first answer" is "$(publish room 4 -H 'Idempotency-Key: one')" "$first"
check "the next number follows" is "$(publish room 5 | seq_of)" 4
connect
check "clients are served" answers
hang_up
check "the manager keeps as many" is "$(ask held)" $whole

# --- everybody is killed at once ---
# publisher NAME: one after the other, each with a key and data of its own; curl sends again what
# was cut off, and waits in the listener's queue until somebody is there again
publisher() {
	local n
	for n in $(seq 400); do
		[ "$n" -eq 1 ] || echo next
		printf 'url = "%s"\nheader = "Content-Type: application/json"\n' "$2"
		printf 'header = "Idempotency-Key: %s-%d"\n' "$1" "$n"
		printf 'data = "\\"%s-%d\\""\n' "$1" "$n"
		printf 'write-out = " \\"%s-%d\\"\\n"\nsilent\nno-buffer\nmax-time = 20\n' "$1" "$n"
	done > "$dir/requests-$1"
	curl -K "$dir/requests-$1" > "$dir/answers-$1"
}
answers_of() { cat "$dir/answers" "$dir/answers-"* | grep '"seq":'; }
answered() { [ "$(answers_of | wc -l)" -gt "$1" ]; }
# number and data, as answered and as kept
of_answers() { answers_of | sed 's/.*"seq":\([0-9]*\).*} \(".*"\)$/\1 \2/' | sort; }
of_history() {
	events load | grep -o '{"seq":[0-9]*,"ts":[0-9]*,"data":[^}]*' |
	    sed 's/{"seq":\([0-9]*\),.*"data":/\1 /' | sort
}
: > "$dir/answers"
for round in 1 2 3; do
	pids=
	to=$(api load)
	all=$(everything)
	before=$(answers_of 2> /dev/null | wc -l)
	for i in 1 2 3; do
		publisher "$round-$i" "$to" &
		pids="$pids $!"
	done
	wait_until 20 answered $((before + 100))
	# shellcheck disable=SC2086
	finish_run KILL $all
	check "it is while they publish ($round)" fails answered $((before + 1199))
	begin
	# shellcheck disable=SC2086
	wait $pids
	[ "$round" -ne 1 ] || load=$(epoch load)
	of_answers > "$dir/a"
	of_history > "$dir/h"
	last=$(lines "$dir/h")
	check "all that was answered is kept" is "$(comm -23 "$dir/a" "$dir/h")" ""
	check "each once" is "$(cut -d ' ' -f 2 "$dir/h" | sort | uniq -d)" ""
	newest=$(cut -d ' ' -f 1 "$dir/h" | sort -n | tail -n 1)
	check "with numbers that are dense" is "$newest" "$last"
	check "and at most one of each publisher was not answered" \
	    test "$(lines "$dir/a")" -ge $((1200 * round + round - 1 - 3 * round)) -a \
	    "$last" -le $((1200 * round + round - 1))
	check "in the same epoch" is "$(epoch load)" "$load"
	next=$(publish load "\"next-$round\"")
	check "the next number follows" is "$(echo "$next" | seq_of)" $((last + 1))
	echo "$next \"next-$round\"" >> "$dir/answers"
done
check "a channel that nobody wrote to has all of its events" is "$(data_of room)" "1 2 3 5 "
check "a key has its first answer" is "$(publish room 4 -H 'Idempotency-Key: one')" "$first"

# --- other numbers of workers, other addresses ---
finish_run TERM "$master"
begin -D workers=4
check "with more workers it goes on" is "$(epoch room)" "$room"
every_worker() { test -n "$(worker 2)" -a -n "$(worker 3)"; }
check "all of them" wait_until 5 every_worker
# shellcheck disable=SC2046
finish_run KILL $(everything) $(keeper 2) $(keeper 3) $(worker 2) $(worker 3)
begin -D workers=1
check "with fewer it goes on" is "$(epoch room)" "$room"
reached() {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		curl -s -m 2 -o /dev/null "$(url)health/live" || return 1
	done
}
check "what arrives at the listeners of the others is served" reached
finish_run TERM "$master"
n=$(count ended)
tell start -D listen="127.0.0.1:0 unix:/proc/no/such"
check "an address that cannot be had is no start" ended "$n"
begin
check "and costs nothing" is "$(epoch room) $(port)" "$room $at"
finish_run TERM "$master"
begin -D listen="unix:$dir/x.sock"
check "other addresses are opened" is "$(url)" "unix:$dir/x.sock"
others() { curl -s --unix-socket "$dir/x.sock" http://a/api/channels/room/events; }
check "with the same channels" has <(others) "$room"
closed() { ! (exec 5<> "/dev/tcp/127.0.0.1/$at") 2> /dev/null; }
check "the one before is closed" closed
kept=$(ask held)
check "and forgotten" is "$kept" $((1 + 11 + 4 * 2 + 1))
finish_run QUIT "$master"
begin -D listen="unix:$dir/x.sock"
check "a unix: address is opened again" has <(others) "$room"
finish_run TERM "$master"
begin
at=$(port)
check "and the other one" is "$(epoch room)" "$room"
finish_run TERM "$master"
printf '[listen more]\naddress = 127.0.0.1:0\n' > "$conf"
begin -c "$conf" -D listen="127.0.0.1:$at"
check "an address that stays beside another can be had" is "$(port | head -n 1)" "$at"
check "for the same channels" is "$(curl -s "http://127.0.0.1:$at/api/channels/room/events" |
    sed 's/.*"epoch":"\([0-9a-f]*\)".*/\1/')" "$room"
finish_run TERM "$master"
begin
check "as it can alone" is "$(epoch room)" "$room"

# --- a master that is killed alone ---
connect
check "a client is served" answers
rows() { ctl show workers | awk '$1 ~ /^[0-9]/ { print $2, $3 }'; }
slots=$(rows)
held=$(descriptors "$master")
finish_run KILL "$master"
begin
check "living slots are adopted" is "$(rows)" "$slots"
check "no client is closed" answers
holds() { is "$(descriptors "$master")" "$1"; }
check "what was handed over is closed" wait_until 5 holds "$held"
check "the manager keeps as many" is "$(ask held)" $whole
hang_up
# shellcheck disable=SC2046
set -- $(everything)
shift
kill -STOP "$@"
kill -KILL "$master"
wait_until 5 gone "$master"
run=$dir/elsewhere
mkdir "$run"
begin -D run_dir="$run"
check "those whose doors are not found are ended" all_gone "$@"
check "and the region goes on" is "$(epoch room)" "$room"

# --- an upgrade ---
given() { tr '\0' '\n' < "/proc/$master/environ" | grep -q '^LISTEN_'; }
pid=$master
n=$(count ready)
check "an upgrade is told to the manager" kill -USR2 "$master"
check "as done" wait_until 20 more ready "$n"
check "by the same process" is "$(field pid)" "$pid"
check "which has no LISTEN_FDS in its environment" fails given
check "the region goes on" is "$(epoch room)" "$room"
check "the manager keeps as many" is "$(ask held)" $whole

# --- again and again ---
region() {
	ls -l "/proc/$master/fd" | sed -n 's/.* \([0-9]*\) -> .memfd:plenum.*/\1/p' | head -n 1
}
pages() { stat -L -c %b "/proc/$master/fd/$(region)"; }
again() { finish_run "$1" "$master"; begin -D run_dir="$run"; }
again QUIT
again TERM
held=$(descriptors "$master")
slot=$(descriptors "$(worker 0)")
pages=$(pages)
for i in 1 2 3 4 5 6 7 8 9 10; do
	again TERM
done
check "after ten restarts the master has no more descriptors" is "$(descriptors "$master")" "$held"
check "nor has a worker" is "$(descriptors "$(worker 0)")" "$slot"
check "nor does the manager keep more" is "$(ask held)" $whole
check "there is no more memory" test "$(pages)" -le $((pages + 1024))
check "and the same channels" is "$(epoch room)" "$room"

# --- nobody's interest ---
curl -sN -H 'Accept: text/event-stream' "$(api quiet)" > /dev/null &
curl=$!
quiet() { ctl show channels | grep -q quiet; }
check "a channel has a subscriber" wait_until 5 quiet
# shellcheck disable=SC2046
finish_run KILL $(everything)
wait $curl
begin -D run_dir="$run" -D channel_idle=1s
check "which is there afterwards" quiet
no_quiet() { ! quiet; }
check "and goes when it is idle" wait_until 10 no_quiet

# --- what does not fit ---
# new_epoch ARGS...: a start that gives up what was kept
new_epoch() {
	local was
	publish room 1 > /dev/null
	was=$(epoch room)
	finish_run TERM "$master"
	$1
	shift
	: > "$log"
	begin -D run_dir="$run" "$@"
	publish room 2 > /dev/null
	differs "$(epoch room)" "$was" && has <(events room "&epoch=$was&since=1") \
	    '"recovered":false' && is "$(grep -c 'is given up' "$log")" 1 &&
	    is "$(ask held)" $whole
}
given_up() { has "$log" "the region of the run before is given up, a new epoch begins: $1"; }
check "another history is a new epoch" new_epoch true -D history=100
check "for a reason" given_up "the settings ask for other capacities"
check "and so is the one before" new_epoch true
check "another channels_max is a new epoch" new_epoch true -D channels_max=2048
check "a region that is none is a new epoch" new_epoch "tell swap"
check "for a reason" given_up "its memory has a layout that this program does not know"
check "a set with a hole is a new epoch" new_epoch "tell tear"
check "for a reason" given_up "its descriptors are not complete"
finish_run TERM "$master"
dismiss

# --- a manager that keeps nothing ---
manage "$dir/refuses"
tell limit 0
begin -D run_dir="$run"
check "where nothing is kept it serves" serves
publish room 1 > /dev/null
was=$(epoch room)
finish_run QUIT "$master"
: > "$log"
begin -D run_dir="$run"
publish room 1 > /dev/null
check "and begins a new epoch" differs "$(epoch room)" "$was"
check "without a word" has_no "$log" "given up"
finish_run TERM "$master"
check "its end is 0" is "$(tail -n 1 "$told")" "ended 0"
dismiss
finish
