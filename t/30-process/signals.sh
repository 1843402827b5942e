#!/usr/bin/env bash
# Signals to the master, and the death of everybody else.
. "$(dirname "$0")/lib.sh"

other_worker() { differs "$(worker "$1")" "$2"; }
other_keeper() { differs "$(keeper "$1")" "$2" && [ -n "$(worker "$1")" ]; }
other_logger() { differs "$(logger)" "$1"; }
alive() { is "$(column "$1" 4)" yes; }
untouched() { is "$(everybody)" "$1"; }

# --- deaths ---
start
connect
check "a request is answered" answers
pids=$(everybody)
old0=$(worker 0)
old1=$(worker 1)
kill -KILL "$old0" "$old1"
check "a killed worker is followed" wait_until 5 other_worker 0 "$old0"
check "and the other one" wait_until 5 other_worker 1 "$old1"
if [ "$(field keeper)" = yes ]; then
	check "the connection lives on" answers
else
	skip "the connection lives on" "no keeper on this host"
fi
hang_up
check "the keeper is the same" is "$(keeper 0)" "$(echo "$pids" | cut -d ' ' -f 1)"
check "the death is counted" is "$(column 0 6)" 1

connect
check "a request is answered" answers
old=$(keeper 0)
old0=$(worker 0)
old1=$(keeper 1)
kill -KILL "$old" "$old1"
check "a killed keeper is followed" wait_until 5 other_keeper 0 "$old"
check "and the other one" wait_until 5 other_keeper 1 "$old1"
check "the worker is the same" is "$(worker 0)" "$old0"
check "the log tells of it" wait_until 5 has "$log" "keeper died, its worker started another slot=0"
check "the connection lives on" answers
old1=$(worker 1)
kill -KILL "$old0" "$old1"
check "a worker whose keeper was its child is followed" wait_until 5 other_worker 0 "$old0"
check "and the other one" wait_until 5 other_worker 1 "$old1"
check "the connection lives on" answers
hang_up

old=$(logger)
kill -KILL "$old"
check "a killed logger is followed" wait_until 5 other_logger "$old"
check "and writes" wait_until 5 has "$log" "logger died pid=$old"

# both at once
old=$(keeper 1)
old1=$(worker 1)
kill -KILL "$old" "$old1" 2> /dev/null
check "keeper and worker killed together are followed" wait_until 5 other_keeper 1 "$old"
check "and serve" wait_until 5 alive 1

# stopped ones
old=$(worker 1)
kill -STOP "$old"
check "a stopped worker is ended and followed" wait_until 8 other_worker 1 "$old"
check "as stuck" wait_until 5 has "$log" "worker died.*pid=$old reason=stuck"
old=$(worker 0)
kill -STOP "$(keeper 0)"
kill -KILL "$old"
check "a stopped keeper is made to go on" wait_until 8 other_worker 0 "$old"

# --- what keepers, workers and the logger ignore ---
wait_until 5 alive 0
wait_until 5 alive 1
pids=$(everybody)
for s in HUP INT TERM QUIT; do
	kill -$s $pids
done
check "HUP, INT, TERM and QUIT mean nothing to the others" untouched "$pids"

# --- the end ---
check "TERM ends plenumd with 0" stop TERM
check "no process is left" all_gone $pids
check "no pid file is left" test ! -e "$run/plenumd.pid"
check "no control socket is left" test ! -e "$run/control.sock"
check "the log has its last line" has "$log" "master [0-9]*: stopped"

start
check "INT ends plenumd with 0" stop INT
start
check "QUIT without clients ends plenumd with 0" stop QUIT
check "after draining" has "$log" "draining"

# a client that does not leave
start -D graceful_timeout=60s
exec 8<> "/dev/tcp/127.0.0.1/$(port)"
printf 'GET /api/channels/tv/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n' >&8
read -r -t 5 line <&8
kill -STOP "$(worker 0)" "$(worker 1)"
kill -QUIT "$master"
check "QUIT begins to drain" wait_until 5 has "$log" "draining"
before=$SECONDS
check "TERM ends the draining" stop TERM
check "at once" test $((SECONDS - before)) -le 6
exec 8>&- 8<&-

start
pids=$(everybody)
kill -STOP $pids
before=$SECONDS
check "TERM ends what is stopped" stop TERM
check "in a few seconds" test $((SECONDS - before)) -le 8
check "nobody is left" all_gone $pids

finish
