# Helper functions of the process tests: sourced by each of them. They start the plenumd and the
# plenumctl of $PLENUMD and $PLENUMCTL in a folder of their own, wait by looking, never by sleeping
# for a fixed time, and end what they started by its number.
#
# A test says `check "a sentence" command...` for each fact, and `finish` at its end.
# shellcheck shell=bash

set -u

PLENUMD=$(realpath "${PLENUMD:-./plenumd}")
PLENUMCTL=$(realpath "${PLENUMCTL:-./plenumctl}")
unset NOTIFY_SOCKET

tests=0
failures=0
master=
dir=$(mktemp -d "${TMPDIR:-/tmp}/plenum-test.XXXXXX")
log=$dir/log
conf=$dir/plenum.conf
run=$dir/run

cleanup() {
	if [ -n "$master" ] && kill -0 "$master" 2>/dev/null; then
		kill -TERM "$master"
		wait_until 5 gone "$master" || kill -KILL "$master"
	fi
	rm -rf "$dir"
}
trap cleanup EXIT

# --- results ---

check() {
	local sentence=$1
	shift
	tests=$((tests + 1))
	if "$@"; then
		echo "ok $tests - $sentence"
	else
		echo "not ok $tests - $sentence"
		failures=$((failures + 1))
		[ -f "$log" ] && tail -n 15 "$log" | sed 's/^/# /'
	fi
}

skip() {
	tests=$((tests + 1))
	echo "ok $tests - $1 # SKIP $2"
}

finish() {
	echo "1..$tests"
	[ "$failures" -eq 0 ]
	exit
}

# --- waiting and comparing ---

# wait_until SECONDS COMMAND...: tries every 20 ms; fails when the time is over
wait_until() {
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.02
	done
}

is() { [ "$1" = "$2" ] || { echo "# is \"$1\", not \"$2\""; return 1; }; }
differs() { [ -n "$1" ] && [ "$1" != "$2" ]; }
fails() { ! "$@"; }
has() { grep -q -e "$2" "$1" || { echo "# nothing like \"$2\" in $1"; return 1; }; }
has_no() { ! grep -q -e "$2" "$1" || { grep -e "$2" "$1" | sed 's/^/# /'; return 1; }; }
lines() { wc -l < "$1" | tr -d ' '; }
# one that died and was not waited for is gone as well
gone() {
	[ ! -d "/proc/$1" ] || grep -q '^State:.*zombie' "/proc/$1/status" 2>/dev/null
}
all_gone() { local p; for p; do gone "$p" || return 1; done; }
descriptors() { ls "/proc/$1/fd" | wc -l; }
# the title that ps shows
title() { tr '\0' ' ' < "/proc/$1/cmdline" | sed 's/ *$//'; }

# --- plenumd ---

ctl() { "$PLENUMCTL" -s "$run/control.sock" "$@"; }

# launch ARGS...: begins plenumd in the foreground on a free port, two workers
launch() {
	mkdir -p "$run"
	"$PLENUMD" -f -D listen=127.0.0.1:0 -D run_dir="$run" -D workers=2 -D channels_max=1024 \
	    "$@" 2>> "$log" >&2 &
	master=$!
}

serves() { ctl status | grep -q '^state  *serving'; }

# start ARGS...: the same, and waits until it serves
start() {
	: > "$log"
	launch "$@"
	wait_until 20 serves || { echo "# plenumd does not start"; sed 's/^/# /' "$log"; }
}

# stop [SIGNAL]: ends it; the exit status is plenumd's
stop() {
	local status
	kill -"${1:-TERM}" "$master"
	wait "$master"
	status=$?
	master=
	return $status
}

# field NAME: of plenumctl status
field() { ctl status | sed -n "s/^$1  *//p" | head -n 1; }
# column SLOT NUMBER: of show workers
column() { ctl show workers | awk -v s="$1" -v c="$2" '$1 == s { print $c }'; }
# Their numbers, or nothing: never 0, which kill would take for the test's own group.
keeper() { column "$1" 2 | grep -v '^0$'; }
worker() { column "$1" 3 | grep -v '^0$'; }
logger() { ctl --json show workers | sed -n 's/.*"logger": \([1-9][0-9]*\).*/\1/p'; }
everybody() { echo "$(keeper 0) $(keeper 1) $(worker 0) $(worker 1) $(logger)"; }
url() { field listeners; }
port() { url | sed 's|.*:\([0-9]*\)/$|\1|'; }

# connect: descriptor 7 becomes a connection to plenumd
connect() { exec 7<> "/dev/tcp/127.0.0.1/$(port)"; }
hang_up() { exec 7>&- 7<&-; }
# get PATH: asks on that connection, prints the status of the answer; the body is read too
get() {
	local line status length=0
	printf 'GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n' "$1" >&7
	read -r -t 5 line <&7 || return 1
	status=$(echo "$line" | cut -d ' ' -f 2)
	while read -r -t 5 line <&7; do
		line=${line%$'\r'}
		[ -n "$line" ] || break
		case $(echo "$line" | tr 'A-Z' 'a-z') in
		content-length:*) length=${line#*: } ;;
		esac
	done
	[ "$length" -eq 0 ] || read -r -t 5 -N "$length" line <&7
	echo "$status"
}
answers() { is "$(get /health/live)" 200; }
