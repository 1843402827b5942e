#!/usr/bin/env bash
# plenumctl and the control socket.
. "$(dirname "$0")/lib.sh"

says() { ctl "$@" > "$dir/out" 2> "$dir/err"; }
one_line() { is "$(lines "$1")" 1; }
# json_of WORDS...: what comes is an object
json_of() { ctl --json "$@" > "$dir/out" 2> /dev/null && is "$(head -c 1 "$dir/out")" "{"; }
# raw TEXT: what the socket answers to these bytes
raw() { printf "$1" | timeout 10 "$PYTHON" -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.stdin.buffer.read())
s.shutdown(socket.SHUT_WR)
try:
    while True:
        b = s.recv(65536)
        if not b: break
        sys.stdout.buffer.write(b)
except ConnectionResetError:
    pass
' "$run/control.sock"; }
PYTHON=$(command -v python3 || true)

check "without plenumd, plenumctl fails" fails says status
check "with one clear line" one_line "$dir/err"
check "that says what is wrong" has "$dir/err" "^plenumctl: plenumd is not running at "

start
check "the socket is its owner's alone" is "$(stat -c %a "$run/control.sock")" 600
check "status succeeds" says status
for word in version pid state listeners workers_alive connections channels keeper draining; do
	check "status has $word" has "$dir/out" "^$word "
done
check "status knows the master" is "$(field pid)" "$master"
check "both workers are alive" is "$(field workers_alive)" 2

curl_events() {
	connect
	printf '%s\r\n' 'POST /api/channels/room-1/events HTTP/1.1' 'Host: a' \
	    'Content-Length: 2' '' >&7
	printf '{}' >&7
	read -r -t 5 line <&7
	hang_up
	is "$(echo "$line" | cut -d ' ' -f 2)" 202
}
check "an event is published" curl_events
check "show channels succeeds" says show channels
check "and shows the channel" has "$dir/out" "^room-1 .* 1  "
exec 8<> "/dev/tcp/127.0.0.1/$(port)"
printf '%s\r\n' 'GET /api/channels/room-1/events HTTP/1.1' 'Host: a' \
    'Accept: text/event-stream' '' >&8
streams() { says show conns && grep -q "stream.*room-1" "$dir/out"; }
check "show conns shows a subscriber" wait_until 5 streams
exec 8>&- 8<&-
check "show workers succeeds" says show workers
check "and shows both" is "$(lines "$dir/out")" 3
check "show conf succeeds" says show conf
check "and shows a setting" has "$dir/out" "^history = 1000"
check "show counters succeeds" says show counters
check "and shows the event" has "$dir/out" "^plenum_events_published_total  *1$"
for what in "show workers" "show channels" "show conns" "show conf" "show counters" status; do
	check "$what is JSON for machines" json_of $what
done
check "rows are limited" says show channels 0
ctl --json show channels 1 > "$dir/out"
check "with the whole number beside them" has "$dir/out" '"total": 1'

check "an unknown command fails" fails says fly
check "with one line" one_line "$dir/err"
check "an unknown table fails" fails says show nothing
check "what is not there yet says so" fails says trace 1
check "in these words" has "$dir/err" "not available in this version"
check "an unknown option fails" fails says --fly status

check "drain succeeds" says drain
check "status says so" is "$(field draining)" yes
connect
check "a balancer is told" is "$(get /health/ready)" 503
check "service goes on" is "$(get /health/live)" 200
check "drain off takes it back" says drain off
check "status says so" is "$(field draining)" no
check "a balancer is told" is "$(get /health/ready)" 200
hang_up

if [ -n "$PYTHON" ]; then
	raw 'status\nstatus\n' > "$dir/out"
	check "one request is answered with one line" one_line "$dir/out"
	check "an empty request is an error" test "$(raw '\n')" = '{"error":"nothing was asked"}'
	raw "$(head -c 2000 /dev/zero | tr '\0' x)" > "$dir/out"
	check "a request without an end is refused" has "$dir/out" "too long"
	raw '\001\377\000\n' > "$dir/out"
	check "rubbish is an error" has "$dir/out" "error"
	before=$(descriptors "$master")
	"$PYTHON" - "$run/control.sock" > "$dir/out" <<-END &
	import socket, sys, time
	held = []
	for i in range(60):
	    s = socket.socket(socket.AF_UNIX)
	    try: s.connect(sys.argv[1])
	    except OSError: break
	    held.append(s)
	print("held", flush=True)
	time.sleep(30)
	END
	holder=$!
	wait_until 5 has "$dir/out" held
	few() { [ "$(descriptors "$master")" -lt $((before + 40)) ]; }
	check "many idle clients take few descriptors" few
	kill $holder
	wait $holder 2> /dev/null
	check "and are forgotten" wait_until 5 says status
else
	skip "rubbish on the socket" "needs python3"
fi

pids=$(everybody)
check "stop --now succeeds" says stop --now
check "plenumd ends" wait_until 5 gone "$master"
wait "$master"
check "with 0" is $? 0
check "nobody is left" all_gone $pids
start
check "stop succeeds" says stop
check "plenumd ends" wait_until 10 gone "$master"
master=

finish
