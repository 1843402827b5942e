#!/usr/bin/env bash
# The init script, as root calls it: every action, its exit status, and that it may be repeated.
. "$(dirname "$0")/lib.sh"

init=$(dirname "$0")/../../etc/plenumd.init
for tool in start-stop-daemon /lib/lsb/init-functions; do
	if ! command -v "$tool" > /dev/null && [ ! -f "$tool" ]; then
		echo "1..0 # SKIP no $tool"
		exit 77
	fi
done

printf 'listen = 127.0.0.1:0\nrun_dir = %s\nworkers = 1\nchannels_max = 1024\nlog_file = %s\n' \
    "$run" "$log" > "$conf"
mkdir -p "$run"
# the LSB functions cannot bear a blank in a path
ln -s "$PLENUMD" "$dir/plenumd"
export DAEMON=$dir/plenumd DAEMON_OPTS="-c $conf" RUN_DIR=$run DEFAULTS=$dir/none
call() { sh "$init" "$@" > "$dir/out" 2>&1 < /dev/null; }
gives() { local status=0 wanted=$1; shift; call "$@" || status=$?; is $status "$wanted"; }
pid() { cat "$run/plenumd.pid" 2> /dev/null; }

check "an action that it does not know is 2" gives 2 dance
check "status is 3 when it does not run" gives 3 status
check "stop is 0 when it does not run" gives 0 stop
check "reload is 7 when it does not run" gives 7 reload
check "start is 0" gives 0 start
master=$(pid)
check "it serves when start returns" serves
check "status is 0" gives 0 status
check "start is 0 when it runs" gives 0 start
check "and that started no other one" is "$(pid)" "$master"

generation() { column 0 5; }
before=$(generation)
echo "history = 7" >> "$conf"
check "reload is 0" gives 0 reload
renewed() { [ "$(generation)" -gt "$before" ]; }
check "a reload gives each slot an heir" wait_until 5 renewed
check "the new configuration is in force" has <(ctl show conf) '^history = 7'
check "the master is the same" is "$(pid)" "$master"
check "force-reload is 0" gives 0 force-reload

echo "history = many" >> "$conf"
check "reload is 1 when the configuration is wrong" gives 1 reload
check "and says what is wrong" has "$dir/out" "history: "
check "restart is 1 when the configuration is wrong" gives 1 restart
check "and the old one goes on" is "$(pid)" "$master"
sed -i '$d' "$conf"

old=$master
check "restart is 0" gives 0 restart
master=$(pid)
check "another one runs then" differs "$master" "$old"
check "it serves" serves

kill -KILL "$master"
wait_until 5 gone "$master"
# where nobody reaps it, its number is still taken: as if that had been done
sh -c 'echo $$' > "$dir/ended"
[ ! -d "/proc/$master" ] || cat "$dir/ended" > "$run/plenumd.pid"
check "status is 1 when it died" gives 1 status
check "start is 0 after that" wait_until 10 gives 0 start
master=$(pid)
check "it serves again" serves
pids="$(keeper 0) $(worker 0)"
kill -USR1 "$master"
check "upgrade is 0" gives 0 upgrade
follows() { has "$log" "all slots run the new program" && serves; }
check "and done" wait_until 20 follows
check "by the same master and keepers" is "$(pid) $(keeper 0)" "$master ${pids% *}"
pids="$(keeper 0) $(worker 0) $(keeper 1) $(worker 1)"
kill -KILL "$master"
wait_until 5 gone "$master"
[ ! -d "/proc/$master" ] || cat "$dir/ended" > "$run/plenumd.pid"
check "stop is 0 when only the master has died" gives 0 stop
check "and ends all the others" wait_until 5 all_gone $pids
check "start is 0" gives 0 start
master=$(pid)
check "stop is 0" gives 0 stop
check "nothing is left" wait_until 5 gone "$master"
check "status is 3 then" gives 3 status
master=
export DAEMON=$dir/missing
check "a program that was removed is no error" gives 0 start
check "and its status is 3" gives 3 status
finish
