#!/usr/bin/env bash
# How plenumd starts, and what keeps it from starting.
. "$(dirname "$0")/lib.sh"

one_line() { is "$(lines "$1")" 1; }
tells() { "$@" > "$dir/out" 2> "$dir/err"; }
refuses() { tells "$@"; is $? 1; }

# --- options ---
check "-V succeeds" tells "$PLENUMD" -V
check "-V names version and layout" grep -q "^layout [0-9a-f]\{16\}" "$dir/out"
check "an unknown option is refused" refuses "$PLENUMD" --bogus
check "an unknown option is one line" one_line "$dir/err"

echo "workers = 3" > "$conf"
check "-t accepts a good file" tells "$PLENUMD" -t -c "$conf"
check "-t ends with FILE: ok" is "$(tail -n 1 "$dir/out")" "$conf: ok"
check "-t prints the arithmetic" has "$dir/out" "arena per writer"
check "-t prints the descriptors" has "$dir/out" "descriptors per process"
if [ ! -e /etc/plenum/plenum.conf ]; then
	check "-t without a file succeeds" tells "$PLENUMD" -t
	check "-t without a file ends with defaults: ok" is "$(tail -n 1 "$dir/out")" "defaults: ok"
fi

printf 'log_level = info\n\nworkers = many\n' > "$conf"
check "-t refuses a bad file" refuses "$PLENUMD" -t -c "$conf"
check "-t names file, line and setting" has "$dir/err" "^$conf:3: workers: .*allowed"
check "a bad file is no start" refuses "$PLENUMD" -f -c "$conf"
check "a bad file is one line on stderr" one_line "$dir/err"
check "the line names file, line and setting" has "$dir/err" "^plenumd: $conf:3: workers: "
check "a file that is missing is no start" refuses "$PLENUMD" -f -c "$dir/nothing.conf"
check "a run_dir that cannot be made is no start" refuses "$PLENUMD" -f -D run_dir=/proc/no/such
check "it is one line" one_line "$dir/err"

# --- service ---
start
check "plenumd serves" serves
check "the pid file names the master" is "$(cat "$run/plenumd.pid")" "$master"
check "the log says where it listens" has "$log" "listening on http://127.0.0.1:[0-9]*/"
check "the log says that it is ready" has "$log" " ready workers=2"
check "the master has its title" is "$(title "$master")" "plenumd: master"
check "a keeper has its title" is "$(title "$(keeper 1)")" "plenumd: keeper 1"
check "a worker has its title" is "$(title "$(worker 1)")" "plenumd: worker 1"
check "the logger has its title" is "$(title "$(logger)")" "plenumd: logger"
connect
check "a request is answered" answers
hang_up

# --- a second one ---
second() { "$PLENUMD" -f -D listen=127.0.0.1:0 -D run_dir="$run" -D workers=1 2> "$dir/err"; }
check "a second instance in the same run_dir is refused" fails second
check "it is told so in one line" one_line "$dir/err"
check "the line names the first one" has "$dir/err" "runs already as pid $master"
check "the first one goes on" serves
check "the pid file is still the first one's" is "$(cat "$run/plenumd.pid")" "$master"
mkdir "$dir/other"
other() {
	"$PLENUMD" -f -D listen="127.0.0.1:$(port)" -D run_dir="$dir/other" -D workers=1 \
	    2> "$dir/err"
}
check "an address that is taken is refused" fails other
check "it is told so in one line" has "$dir/err" "^plenumd: cannot listen on 127.0.0.1:[0-9]*: "
check "a start that failed leaves no files" is "$(ls "$dir/other")" ""
check "TERM ends it with 0" stop

# --- listeners ---
start -D listen="127.0.0.1:0 [::1]:0 unix:$dir/x.sock" 2> /dev/null
if [ -e /proc/net/if_inet6 ]; then
	check "several addresses are served" is "$(ctl status | grep -c '^listeners')" 3
fi
check "a unix: socket is there" test -S "$dir/x.sock"
check "its mode is 0660" is "$(stat -c %a "$dir/x.sock")" 660
pids=$(everybody)
kill -KILL "$master" $pids
wait "$master" 2> /dev/null
wait_until 5 all_gone $pids
start -D listen="unix:$dir/x.sock"
check "a stale unix: socket is replaced" serves
stop
check "a unix: socket's file is removed at the end" test ! -e "$dir/x.sock"
touch "$dir/x.sock"
unix() { "$PLENUMD" -f -D listen="unix:$dir/x.sock" -D run_dir="$run" 2> "$dir/err"; }
check "a file in a unix: socket's place is not touched" fails unix
check "it is told so" has "$dir/err" "cannot listen on unix:"
check "it is still there" test -f "$dir/x.sock"

# --- daemon ---
daemon() {
	"$PLENUMD" -D listen=127.0.0.1:0 -D run_dir="$run" -D workers=2 -D channels_max=1024 \
	    -D log_file="$log" "$@" > "$dir/out" 2> "$dir/err" < /dev/null
}
rm -f "$log"
check "as a daemon it starts" daemon
check "it serves when the start returns" serves
check "it said nothing" is "$(cat "$dir/out" "$dir/err")" ""
master=$(cat "$run/plenumd.pid")
check "the pid file names the daemon" is "$(title "$master")" "plenumd: master"
check "its terminal is /dev/null" is "$(readlink "/proc/$master/fd/2")" /dev/null
check "its folder is /" is "$(readlink "/proc/$master/cwd")" /
check "its log is in the file" has "$log" " ready workers=2"
check "a second daemon is refused" fails daemon
check "in one line" one_line "$dir/err"
pids=$(everybody)
kill -TERM "$master"
check "TERM ends the daemon" wait_until 5 gone "$master"
check "nobody is left" wait_until 5 all_gone $pids
check "no pid file is left" test ! -e "$run/plenumd.pid"
master=
# --- service manager ---
if command -v python3 > /dev/null; then
	python3 -u -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True: print(s.recv(4096).decode().replace("\n", " "))
' "$dir/notify" > "$dir/told" &
	listener=$!
	wait_until 5 test -S "$dir/notify"
	NOTIFY_SOCKET=$dir/notify start
	check "the service manager is told that it serves" \
	    wait_until 5 has "$dir/told" "^READY=1 MAINPID=$master$"
	ctl reload
	check "and that it reloads" wait_until 5 has "$dir/told" "^RELOADING=1 MONOTONIC_USEC="
	stop
	check "and that it stops" wait_until 5 has "$dir/told" "^STOPPING=1"
	kill $listener
	wait $listener 2> /dev/null
else
	skip "the service manager is told" "needs python3"
fi
check "a daemon that cannot start exits with 1" refuses daemon -D log_file=/nowhere/at/all
check "and says why in one line" has "$dir/err" "^plenumd: cannot open log_file"

finish
