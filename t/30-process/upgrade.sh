#!/bin/bash
# Another program without a stop: slot by slot, the master last; one that fails is given up.
. "${SRCDIR:-.}/t/30-process/lib.sh"

mkdir "$dir/bin"
# program FILE: what lies at plenumd's path from now on
program() { cp "$1" "$dir/bin/new" && mv "$dir/bin/new" "$dir/bin/plenumd"; }
original=$PLENUMD
PLENUMD=$dir/bin/plenumd
tools=${BUILDDIR:-.}/t/tools
program_of() { stat -L -c %i "/proc/$1/exe"; }
installed() { stat -c %i "$dir/bin/plenumd"; }
# all_run INODE: everybody but the logger, who has no keeper and is started by the master
all_run() {
	local p
	for p in "$master" "$(keeper 0)" "$(keeper 1)" "$(worker 0)" "$(worker 1)"; do
		is "$(program_of "$p")" "$1" || return 1
	done
}
holds() { is "$(descriptors "$master")" "$held"; }
publish() {
	curl -s -X POST -H 'Content-Type: application/json' -d 1 "$(url)api/channels/room/events"
}
numbers() { echo "$master $(keeper 0) $(keeper 1)"; }

program "$original"
start -D keepalive_timeout=60s -D upgrade_grace=300ms -D orphan_timeout=5s -D graceful_timeout=3s
at=$(port)
connect
check "a client is served" answers
first=$(publish)
pids=$(numbers)
held=$(descriptors "$master")
kept=$(descriptors "$(keeper 0)")

# --- to the same version, from another file ---
program "$original"
new=$(installed)
check "upgrade is 0" ctl upgrade
check "everybody runs the new file" wait_until 5 all_run "$new"
check "the master has its number still" is "$(field pid)" "$master"
check "keepers have theirs" is "$(numbers)" "$pids"
check "the pid file names it" is "$(cat "$run/plenumd.pid")" "$master"
check "the title is the master's" is "$(title "$master")" "plenumd: master"
check "keepers have theirs, too" is "$(title "$(keeper 1)")" "plenumd: keeper 1"
check "the client has not noticed" answers
check "events go on in their channel" is "$(publish)" "${first/\"seq\":1/\"seq\":2}"
check "USR2 does the same" kill -USR2 "$master"
twice() { is "$(grep -c "the master follows" "$log")" 2 && serves; }
check "a second time" wait_until 10 twice
check "the client has not noticed" answers
check "no more descriptors are open in the master" wait_until 5 holds
keeps() { is "$(descriptors "$(keeper 0)")" "$kept"; }
check "nor in a slot" wait_until 5 keeps
check "it reloads" ctl reload
kill -KILL "$(keeper 1)"
check "keeper and worker replace each other as before" wait_until 5 has "$log" "another slot=1"
check "the client has not noticed" answers
kill -USR2 "$master"
kill -HUP "$master"
after() { is "$(grep -c "the master follows" "$log")" 3 && serves; }
check "a reload that was asked for meanwhile does no harm" wait_until 10 after
check "a second master is still refused" fails "$PLENUMD" -f -D run_dir="$run" 2> "$dir/err"

# --- programs that fail ---
good=$(installed)
runs_good() { all_run "$good"; }
program /bin/false
check "one that fails its own check is refused" fails ctl upgrade 2> "$dir/err"
check "and told" has "$dir/err" "plenumd -t fails: "
program "$original"
rm "$dir/bin/plenumd"
check "one that is not there is refused" fails ctl upgrade 2> "$dir/err"
check "and told" has "$dir/err" "cannot open .*bin/plenumd"
program "$tools/plenumd-bad"
check "one whose workers fail is given up" fails ctl upgrade 2> "$dir/err"
check "and told" has "$dir/err" "a worker of the new program failed"
check "in the log, too" has "$log" "going back to the one before slot=0"
check "everybody runs the one before" wait_until 5 runs_good
check "slot 1 was not touched" has_no <(grep -A 100 "failed, going back" "$log") "keeper\[1\]"
check "the client has not noticed" answers
program "$original"
check "the next one is taken" ctl upgrade
check "and everybody runs it" wait_until 5 all_run "$(installed)"
check "the client has not noticed" answers

# --- the master is killed, and another file is started ---
kill -KILL "$master"
wait "$master" 2> /dev/null
program "$original"
launch -D keepalive_timeout=60s -D upgrade_grace=300ms -D orphan_timeout=5s -D graceful_timeout=3s
check "a master that is another program adopts" wait_until 10 serves
check "the slots follow it" wait_until 10 all_run "$(installed)"
check "the client has not noticed" answers
hang_up

# --- another layout ---
exec 8<> "/dev/tcp/127.0.0.1/$at"
printf 'GET /api/channels/room/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n' >&8
read -r -t 5 line <&8
program "$tools/plenumd-other"
check "one with another layout is taken" ctl upgrade
check "clients are told to come again" grep -q "^retry:" <&8
exec 8>&- 8<&-
anew() { serves && is "$(program_of "$master")" "$(installed)"; }
check "it starts anew" wait_until 20 anew
check "with the same number" is "$(cat "$run/plenumd.pid")" "$master"
check "and another epoch" differs "$(publish)" "${first/\"seq\":1/\"seq\":3}"
check "whose numbers begin with 1" has <(publish) '"seq":2'
again="$(url)api/channels/room/events"
epoch=$(echo "$first" | sed 's/.*"epoch":"\([0-9a-f]*\)".*/\1/')
check "who comes back is told so" has <(curl -s "$again?since=1&epoch=$epoch") '"recovered":false'
check "it ends with 0" stop
check "nothing is left" is "$(ls "$run")" ""

finish
