#!/bin/bash
# The master may be killed: keepers, workers and logger go on, a new master adopts them; without one
# for orphan_timeout they drain and end.
. "${SRCDIR:-.}/t/30-process/lib.sh"

# the client is asked again after a while
keepalive="-D keepalive_timeout=60s"
kill_master() { kill -KILL "$master"; wait "$master" 2> /dev/null; }
# again ARGS...: a new master in the same folder; the log goes on
again() {
	launch $keepalive "$@"
	wait_until 20 serves || { echo "# no new master"; tail -n 20 "$log" | sed 's/^/# /'; }
}
publish() {
	curl -s -X POST -H 'Content-Type: application/json' -d 1 \
	    "http://127.0.0.1:$1/api/channels/room/events"
}
holds() { is "$(descriptors "$master")" "$1"; }
both() { test -n "$(worker 0)" -a -n "$(worker 1)"; }
rows() { ctl show workers | awk '$1 ~ /^[0-9]/ { print $1, $2, $3 }'; }

# --- adopted ---
start $keepalive
at=$(port)
check "each slot has a door" test -S "$run/slot-0.sock" -a -S "$run/slot-1.sock"
check "which is for its owner alone" is "$(stat -c %a "$run/slot-0.sock")" 600
connect
check "a client is served" answers
first=$(publish "$at")
rows=$(rows)
writes=$(logger)
held=$(descriptors "$master")
kill_master
check "without a master the client is served" answers
check "events go on in their channel" is "$(publish "$at")" "${first/\"seq\":1/\"seq\":2}"
check "a killed worker is followed" kill -KILL "$(echo "$rows" | awk 'NR == 1 { print $3 }')"
check "and its client is served" answers
check "the log goes on and tells it" wait_until 5 has "$log" "the master is gone"
again
check "a new master adopts the slots" is "$(rows | awk '{ print $2 }')" \
    "$(echo "$rows" | awk '{ print $2 }')"
check "the worker that was not killed is the same" is "$(worker 1)" \
    "$(echo "$rows" | awk 'NR == 2 { print $3 }')"
check "the pid file names the new one" is "$(cat "$run/plenumd.pid")" "$master"
check "the address is the same" is "$(port)" "$at"
check "the client is served" answers
check "events go on" is "$(publish "$at")" "${first/\"seq\":1/\"seq\":3}"
check "nothing was renewed" is "$(column 1 5)" 1
check "there is one logger, another one" wait_until 5 gone "$writes"
check "which writes" wait_until 5 has "$log" "a new master is there"
check "there are no more descriptors than before" wait_until 5 holds "$held"

# --- what a new master does with them ---
old=$(worker 0)
kill -KILL "$old"
another() { differs "$(worker 0)" "$old"; }
check "the new master sees a worker's death" wait_until 5 another
kill -KILL "$(keeper 0)"
check "and a keeper's" wait_until 5 has "$log" "keeper died, its worker started another slot=0"
kill -STOP "$(worker 1)"
check "it ends a worker that is stuck" wait_until 5 has "$log" "worker is stuck and is ended slot=1"
check "and its client is served" answers
hang_up
old=$(worker 0)
kill -KILL "$(keeper 0)" "$old"
check "it starts a slot of which nothing is left" wait_until 5 \
    has "$log" "connections are gone slot=0"
check "which serves" wait_until 5 another
check "it reloads" ctl reload
check "QUIT ends it and everybody" stop QUIT
check "no door is left" is "$(ls "$run")" ""

# --- a slot dies meanwhile ---
start $keepalive
at=$(port)
lost="$(keeper 1) $(worker 1)"
kill_master
kill -KILL $lost
wait_until 5 all_gone $lost
again
check "a slot that died without a master is started by the next" wait_until 5 both
check "at the same address" is "$(port)" "$at"
sockets() { ss -Hltn "sport = :$at" | wc -l; }
check "with its own listener" is "$(sockets)" 2
connect
check "clients are served" answers
hang_up

# --- another configuration, and a second master ---
other() { "$PLENUMD" -f -D listen=127.0.0.1:0 -D run_dir="$run" 2> "$dir/err"; }
check "there is one master at a time" fails other
check "and the second is told who is the first" has "$dir/err" "runs already as pid $master"
kill_master
echo "history = many" > "$conf"
bad() { "$PLENUMD" -f -c "$conf" -D run_dir="$run" 2> "$dir/err"; }
check "a new master with a wrong file does not start" fails bad
connect_to() { exec 7<> "/dev/tcp/127.0.0.1/$1"; }
connect_to "$at"
check "and leaves everybody alone" answers
hang_up
again -D history=7 -D listen=127.0.0.1:1
check "one with settings that need a restart adopts" wait_until 5 serves
check "says so" wait_until 5 has "$log" "these settings need a restart: .*listen"
check "and changes nothing" has_no <(ctl show conf) '^history = 7'
kill_master
again -D history=7
check "settings that can change are in force" wait_until 10 has <(ctl show conf) '^history = 7'
check "its end is 0" stop

# --- an end that was cut short ---
start $keepalive
connect
answers
exec 8<> "/dev/tcp/127.0.0.1/$(port)"
printf 'GET /api/channels/tv/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n' >&8
read -r -t 5 line <&8
kill -QUIT "$master"
check "a master begins to drain" wait_until 5 has "$log" "draining"
kill_master
again
check "the next one goes on to serve" serves
ready() { curl -s -o /dev/null -w '%{http_code}' "$(url)health/ready"; }
check "and is ready" wait_until 5 is "$(ready)" 200
exec 8>&- 8<&-
hang_up
stop

# --- orphans ---
start $keepalive -D orphan_timeout=1s -D graceful_timeout=2s
at=$(port)
exec 8<> "/dev/tcp/127.0.0.1/$at"
printf 'GET /api/channels/tv/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n' >&8
read -r -t 5 line <&8
pids=$(everybody)
kill_master
check "without a master for orphan_timeout everybody ends" wait_until 15 all_gone $pids
check "clients are told" grep -q "^retry:" <&8
exec 8>&- 8<&-
check "the log has the reason" has "$log" "no master"
start $keepalive
check "plenumd can be started again in the same folder" serves
check "with new slots" differs "$(everybody)" "$pids"
check "and ends" stop
master=

finish
