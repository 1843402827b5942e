#!/usr/bin/env bash
# Where settings come from, and what they do to processes and files.
. "$(dirname "$0")/lib.sh"

setting() { ctl show conf | sed -n "s/^$1 = //p" | head -n 1; }
owner() { stat -c %u "/proc/$1"; }

cat > "$conf" <<END
history = 100
json_depth = 10		# behind a blank
include = more-*.conf

[channel quote:*]
history = 50
slow = latest

[listen inside]
address = unix:$dir/inside.sock
services = health metrics
END
echo "ping_interval = 7s" > "$dir/more-1.conf"
PLENUM_JSON_DEPTH=11 PLENUM_SUBSCRIPTIONS_MAX=12 start -c "$conf" -D subscriptions_max=13
check "a file is read" is "$(setting history)" 100
check "a file that is included is read" is "$(setting ping_interval)" 7s
check "the environment precedes the file" is "$(setting json_depth)" 11
check "-D precedes the environment" is "$(setting subscriptions_max)" 13
ctl show conf > "$dir/shown"
check "sections are shown" has "$dir/shown" '^\[channel quote:\*\]'
check "a listener of its own is served" test -S "$dir/inside.sock"
sed 1d "$dir/shown" > "$dir/again.conf"
quietly() { "$@" > "$dir/out"; }
check "what is shown is a file that means the same" quietly "$PLENUMD" -t -c "$dir/again.conf"
stop

check "--help-config succeeds" quietly "$PLENUMD" --help-config
check "and knows every setting" has "$dir/out" "graceful_timeout"

start -D max_connections=10
check "max_connections is a setting of each worker" is "$(field connections_max_per_worker)" 10
stop
few() { (ulimit -n 200; "$PLENUMD" -t -D workers=1 -D max_connections=1000 > "$dir/out"); }
check "few descriptors are no error" few
check "but told" has "$dir/out" "more than the descriptors allow"
fewer() { (ulimit -n 100; "$PLENUMD" -t 2> "$dir/err"); }
check "too few descriptors are" fails fewer
check "and told" has "$dir/err" "100 descriptors are allowed"

# --- another user ---
if [ "$(id -u)" -eq 0 ] && id nobody > /dev/null 2>&1; then
	chmod 755 "$dir"
	start -D user=nobody -D log_file="$dir/private.log"
	uid=$(id -u nobody)
	check "the master stays root" is "$(owner "$master")" 0
	check "keepers drop to user" is "$(owner "$(keeper 0)")" "$uid"
	check "workers drop to user" is "$(owner "$(worker 0)")" "$uid"
	check "the logger drops to user" is "$(owner "$(logger)")" "$uid"
	old=$(worker 0)
	kill -KILL "$old"
	dropped() { differs "$(worker 0)" "$old" && is "$(owner "$(worker 0)")" "$uid"; }
	check "an heir is born dropped" wait_until 5 dropped
	check "a reload opens the log again all the same" ctl reload
	connect
	check "requests are answered" answers
	hang_up
	pids=$(everybody)
	kill -KILL "$master"
	wait "$master" 2> /dev/null
	launch -D user=nobody -D log_file="$dir/private.log"
	check "another master may adopt them" wait_until 20 serves
	check "they are the same" is "$(keeper 0) $(worker 0)" "$(echo "$pids" | cut -d ' ' -f 1,3)"
	check "still dropped" dropped
	stop
	check "a user that is not there is no start" fails "$PLENUMD" -f -D user=no-such-user \
	    -D run_dir="$run" 2> "$dir/err"
else
	skip "privileges are dropped" "needs root"
fi

# --- no right to /run/plenum ---
if [ "$(id -u)" -eq 0 ] && command -v setpriv > /dev/null && [ ! -e /run/plenum ]; then
	chmod 755 "$dir"
	mkdir "$dir/xdg" "$dir/bin"
	cp "$PLENUMD" "$PLENUMCTL" "$dir/bin"
	chown 65534:65534 "$dir/xdg"
	: > "$log"
	as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
	XDG_RUNTIME_DIR=$dir/xdg $as_nobody "$dir/bin/plenumd" -f -D listen=127.0.0.1:0 \
	    -D workers=1 -D channels_max=1024 2>> "$log" >&2 &
	master=$!
	check "without a right to /run/plenum another folder is used" \
	    wait_until 10 has "$log" "run_dir=$dir/xdg/plenum"
	check "its mode is 0700" is "$(stat -c %a "$dir/xdg/plenum")" 700
	wait_until 10 has "$log" " ready "
	found() { XDG_RUNTIME_DIR=$dir/xdg $as_nobody "$dir/bin/plenumctl" status > "$dir/out"; }
	check "plenumctl finds it there" found
	check "it ends" stop
	mkdir "$dir/tmp"
	chmod 1777 "$dir/tmp"
	mkdir -m 777 "$dir/tmp/plenum-65534"
	: > "$log"
	theirs() {
		TMPDIR=$dir/tmp XDG_RUNTIME_DIR= $as_nobody "$dir/bin/plenumd" -f \
		    -D listen=127.0.0.1:0 -D workers=1 -D channels_max=1024 2> "$log" >&2 &
		master=$!
		wait_until 10 has "$log" " ready "
		stop
		fails has_no "$log" "run_dir=$dir/tmp/plenum-65534" > /dev/null
	}
	check "a folder that others may write to is not used" fails theirs
else
	skip "another folder is used without a right to /run/plenum" "needs root and setpriv"
fi

# --- an error is one line, whatever it quotes ---
quoted() { "$PLENUMD" "$@" 2> "$dir/err" > /dev/null; }
check "a strange name is refused" fails quoted -t -D "$(printf 'a\nb=1')"
check "in one line" is "$(lines "$dir/err")" 1
check "a strange value at start, too" fails quoted -f -D "history=$(printf '1\n2')"
check "in one line" is "$(lines "$dir/err")" 1

finish
