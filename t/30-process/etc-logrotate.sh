#!/usr/bin/env bash
# The logrotate file, with the real logrotate: the old log is complete, the new one is written.
. "$(dirname "$0")/lib.sh"

rules=$(dirname "$0")/../../etc/plenumd.logrotate
PATH=$PATH:/usr/sbin:/sbin
if ! command -v logrotate > /dev/null; then
	echo "1..0 # SKIP no logrotate"
	exit 77
fi

mkdir -p "$dir/log"
chmod 755 "$dir" "$dir/log"
file=$dir/log/plenumd.log
sed "s|/var/log/plenum/|$dir/log/|; s|/run/plenum/|$run/|" "$rules" > "$dir/rules"
rotate() { logrotate -s "$dir/state" "$@" "$dir/rules" > "$dir/out" 2>&1; }

"$PLENUMD" -D listen=127.0.0.1:0 -D run_dir="$run" -D workers=1 -D channels_max=1024 \
    -D log_file="$file"
master=$(cat "$run/plenumd.pid")
check "the rules are understood" rotate -d
check "the log is in the file" wait_until 5 has "$file" " ready workers=1"
check "a forced rotation succeeds" rotate -f
check "the old log is kept" has "$file.1" " ready workers=1"
check "there is a new one" wait_until 5 test -e "$file"
kill -HUP "$master"
check "what happens then is logged there" wait_until 5 has "$file" "reload"
# a line of before may still have been on its way
check "and not in the old one" has_no "$file.1" "reload"
check "a second rotation succeeds" rotate -f
check "the older one is compressed" test -e "$file.2.gz"
kill -TERM "$master"
check "the end is in the newest file" wait_until 5 has "$file" " stopped"
wait_until 5 gone "$master"
master=
check "a rotation without plenumd succeeds" rotate -f
finish
