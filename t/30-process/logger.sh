#!/usr/bin/env bash
# The log: formats, files, and what happens when they fail.
. "$(dirname "$0")/lib.sh"

file=$dir/plenum.log
text='^[0-9-]\{10\}T[0-9:]\{8\}\.[0-9]\{6\}Z [a-z]* [a-z]*\(\[[0-9]*\]\)\{0,1\} [0-9]*: .'
json='^{"time":"[^"]*Z","level":"[a-z]*","process":"[^"]*","pid":[0-9]*,"message":".*"}$'
only() { is "$(grep -c -v -e "$2" "$1")" 0; }
in_order() { cut -d ' ' -f 1 "$1" | sort -c; }
inode() { stat -c %i "$1"; }
writes() { has "$1" "$2"; }

echo "log_file = $file" > "$conf"
start -c "$conf"
check "the log goes to its file" wait_until 5 has "$file" " ready "
check "its mode is 0640" is "$(stat -c %a "$file")" 640
check "stderr is empty" is "$(cat "$log")" ""
for i in 1 2 3 4 5; do ctl reload; done
wait_until 5 has "$file" "reload complete snapshot=6"
check "each line has time, level, process, pid and message" only "$file" "$text"
check "lines are in order" in_order "$file"
check "keepers are named" has "$file" ' keeper\[0\] [0-9]*: '
check "workers are named" has "$file" ' worker\[1\] [0-9]*: '

# --- rotation ---
mv "$file" "$file.1"
old=$(worker 0)
kill -KILL "$old"
check "a moved file is still written" wait_until 5 has "$file.1" "worker died.*pid=$old"
kill -USR1 "$master"
check "USR1 opens it again" wait_until 5 has "$file" "log reopened"
size=$(stat -c %s "$file.1")
old=$(worker 0)
kill -KILL "$old"
check "lines go to the new file" wait_until 5 has "$file" "worker died.*pid=$old"
check "and not to the old one" has_no "$file.1" "pid=$old reason"
serving=$(everybody | cut -d ' ' -f 1-4)
check "workers do not notice" is "$(everybody | cut -d ' ' -f 1-4)" "$serving"
mkdir "$dir/away"
mv "$file" "$dir/away/plenum.log"
mkdir "$file"
kill -USR1 "$master"
check "a file that cannot be opened is told in the old one" \
    wait_until 5 has "$dir/away/plenum.log" "log is not reopened"
rmdir "$file"
kill -USR1 "$master"
check "and opened when it can be" wait_until 5 has "$file" "log reopened"

# --- level and format ---
printf 'log_file = %s\nlog_level = error\n' "$file" > "$conf"
ctl reload
wait_until 5 test -f "$file"
n=$(lines "$file")
ctl reload
old=$(worker 0)
kill -KILL "$old"
wait_until 5 differs "$(worker 0)" "$old"
ctl drain
ctl drain off
cp "$conf" "$dir/kept"
echo "workers = 1000" >> "$conf"
ctl reload 2> /dev/null
mv "$dir/kept" "$conf"
check "log_level = error leaves errors" wait_until 5 has "$file" "reload refused"
check "and nothing else" is "$(lines "$file")" $((n + 1))
printf 'log_file = %s\nlog_format = json\n' "$dir/json.log" > "$conf"
ctl reload
check "another file is used after a reload" wait_until 5 has "$dir/json.log" "reload complete"
ctl reload
wait_until 5 has "$dir/json.log" "reload complete snapshot=10"
check "log_format = json is one object a line" only "$dir/json.log" "$json"

# --- a logger that dies, a disk that is full ---
for i in 1 2 3 4 5; do
	old=$(logger)
	kill -KILL "$old"
	check "a killed logger is followed" wait_until 5 has "$dir/json.log" "logger died pid=$old"
done
old=$(logger)
kill -STOP "$old"
other() { differs "$(logger)" "$old"; }
check "a stopped logger is ended and followed" wait_until 12 other
check "plenumd ends" stop
check "the last line is there" has "$dir/json.log" '"message":"stopped"'

if [ -c /dev/full ]; then
	start -D log_file=/dev/full -D log_level=debug
	check "with a full disk plenumd serves" serves
	for i in 1 2 3 4 5; do ctl reload || echo "# reload failed"; done
	check "and reloads" is "$(field reloads)" 5
	connect
	check "and answers" answers
	hang_up
	before=$SECONDS
	check "and ends with 0" stop
	check "without delay" test $((SECONDS - before)) -le 6
fi

# --- a pipe that nobody reads ---
mkfifo "$dir/pipe"
exec 9<> "$dir/pipe"
head -c 65536 /dev/zero >&9		# it is full
log_real=$log
log=/dev/fd/9
master=
mkdir -p "$run"
"$PLENUMD" -f -D listen=127.0.0.1:0 -D run_dir="$run" -D workers=2 -D channels_max=1024 \
    -D log_level=debug 2>&9 >&9 &
master=$!
log=$log_real
check "with a pipe that nobody reads plenumd serves" wait_until 10 serves
check "and reloads" ctl reload
timeout 5 head -c 65536 <&9 > /dev/null
timeout 5 grep -m 1 "log could not be written" <&9 > "$dir/out"
check "what was held back comes when somebody reads" test -s "$dir/out"
check "and it ends" stop
exec 9>&-

finish
