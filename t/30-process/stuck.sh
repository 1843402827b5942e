#!/bin/bash
# Workers that hang, that take long to die, that fail again and again; a master that was stopped
# itself. Whoever is connected, or waits to be, is served by the heir.
. "$(dirname "$0")/lib.sh"

CROWD=${CROWD:-./t/tools/crowd}
AFFLICT=${BUILDDIR:-.}/t/tools/afflict

other_worker() { differs "$(worker "$1")" "$2"; }
alive() { is "$(column "$1" 4)" yes; }
count() { grep -c -e "$1" "$log"; }
stuck() { column "$1" 9; }
faults() { column "$1" 7; }
healthy() { is "$(get /health)" 200; }

# A crowd that listens and publishes; at_ease says whether it noticed anything.
crowd_begin() {
	"$CROWD" --port "$(port)" --subscribers 100 --channels 10 --ws-publishers 10 --rate 200 \
	    --sse 4 --strict-gap --stall 8 --commands --seconds 100 \
	    < <(while [ ! -e "$dir/end" ]; do sleep 0.05; done; echo end; sleep 30) \
	    > "$dir/crowd" 2>&1 &
	crowd=$!
	wait_until 20 grep -q '^ready' "$dir/crowd"
}
at_ease() {
	: > "$dir/end"
	wait "$crowd" || { sed 's/^/# /' "$dir/crowd"; return 1; }
	rm "$dir/end"
}
# storm N: they all come at once; the slowest is told
storm() {
	"$CROWD" --port "$(port)" --storm "$1" --connect 10 > "$dir/storm" 2>&1 && return
	sed 's/^/# /' "$dir/storm"
	return 1
}
slowest() { sed -n 's/.*slowest_ms=\([0-9]*\).*/\1/p' "$dir/storm"; }

start -D log_level=info -D keepalive_timeout=60s
if [ "$(field keeper)" != yes ]; then
	skip "stuck workers" "no keeper on this host"
	finish
fi

# --- stopped, with clients and with others waiting at its door ---
check "a crowd is served" crowd_begin
old=$(worker 0)
kill -STOP "$old"
check "those who come while a worker is stopped are all served" storm 200
check "some of them had to wait for its heir" [ "$(slowest)" -ge 400 ]
check "it is followed" wait_until 5 other_worker 0 "$old"
check "as stuck" is "$(stuck 0)" 1

# --- an endless loop ---
old=$(worker 1)
check "a worker gets into an endless loop" "$AFFLICT" loop "$old"
check "those who come meanwhile are all served" storm 200
check "it is followed" wait_until 5 other_worker 1 "$old"
check "having had SIGABRT" wait_until 5 has "$log" "worker died.*pid=$old reason=stuck signal=6"

# --- dead, and not gone ---
old=$(worker 0)
before=$(count 'heir serves')
timeout 15 "$AFFLICT" linger "$old" 600 > "$dir/afflict" &
afflict=$!
wait_until 5 grep -q attached "$dir/afflict"
kill -SEGV "$old"
check "a worker that takes 0.6 s to die is followed" wait_until 5 other_worker 0 "$old"
wait "$afflict"
check "by one heir" wait_until 5 eval 'is "$(count "heir serves")" $((before + 1))'
pause=$(column 0 11)
check "when it was gone" has "$log" "worker died.*pid=$old reason=fault signal=11"
check "nobody took it for stuck" is "$(stuck 0) $(count 'cut short')" "1 0"

old=$(worker 0)
timeout 15 "$AFFLICT" linger "$old" 2500 > "$dir/afflict" &
afflict=$!
wait_until 5 grep -q attached "$dir/afflict"
kill -SEGV "$old"
check "for one that takes longer" wait_until 5 has "$log" "core is cut short"
check "no heir starts before it is gone" is "$(worker 0)" "$old"
check "then one does" wait_until 5 other_worker 0 "$old"
wait "$afflict"
check "the log says why it was killed" has "$log" "its core is cut short slot=0 pid=$old signal=11"
check "it died of its fault" has "$log" "worker died.*pid=$old reason=fault"
check "and is counted as that" is "$(stuck 0) $(faults 0)" "1 2"
check "by one heir again" wait_until 5 eval 'is "$(count "heir serves")" $((before + 2))'

# --- a master that was not there ---
wait_until 5 alive 0
pids=$(everybody)
kill -STOP "$master"
sleep 3
kill -CONT "$master"
sleep 1.5
check "a master that was stopped ends nobody" is "$(everybody)" "$pids"
kill -STOP "$master" "$(worker 0)" "$(worker 1)"
sleep 2
kill -CONT "$master"
sleep 0.4
kill -CONT $pids
sleep 1.2
check "nor if all were, and the others go on a little later" is "$(everybody)" "$pids"
old=$(worker 1)
kill -STOP "$master" "$old"
sleep 1.2
kill -CONT "$master"
check "and sees who was stopped with it" wait_until 5 other_worker 1 "$old"
check "as stuck" is "$(stuck 1)" 2
check "the crowd noticed nothing of all this" at_ease

# connect_to SLOT: as connect, to a slot that nobody else is connected to
connect_to() {
	for _ in $(seq 50); do
		connect
		get /health/live > "$dir/out"
		[ "$(column "$1" 12)" -ge 1 ] && return
		hang_up
	done
	return 1
}

# --- a message that ends workers ---
wait_until 5 alive 0
wait_until 5 alive 1
check "a client is served by slot 0" wait_until 5 connect_to 0
before=$(faults 0)
timeout 15 "$AFFLICT" poison "$(keeper 0)" "$(worker 0)" > "$dir/afflict" 2>&1 &
afflict=$!
wait_until 5 grep -q attached "$dir/afflict"
printf 'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n' >&7
check "its message ends a worker and the heir" wait "$afflict"
check "its connection is closed, without an answer" \
    is "$(timeout 5 cat <&7; echo $?)" 0
hang_up
wait_until 5 alive 0
check "two faults are counted" is "$(faults 0)" $((before + 2))
check "the log tells of it" \
    has "$log" "worker\[0\].*a message ended two workers, its sender is closed"
check "show workers does" is "$(column 0 16) $(column 1 16)" "1 0"
check "and the counters" has <(ctl show counters) "plenum_poisoned_total *1$"

# --- again and again ---
connect_to 1
check "with all workers there, all is well" healthy
check "a crowd is served" crowd_begin
# it waits for longer each time; the last time is long enough to be looked at
for _ in $(seq 12); do
	grep -q 'the next start waits ms=1600' "$log" && break
	wait_until 5 alive 0
	old=$(worker 0)
	kill -SEGV "$old"
	wait_until 5 has "$log" "worker died.*pid=$old reason=fault"
done
backs_off() { [ "$(column 0 14)" -gt 0 ]; }
check "a worker that fails again and again is kept waiting" wait_until 3 backs_off
check "it is not said to be alive" is "$(column 0 4)" no
check "the JSON says how long" [ "$(ctl --json show workers |
    sed -n 's/.*"backoff_ms": \([0-9]*\).*/\1/p' | head -n 1)" -gt 0 ]
printf 'GET /health HTTP/1.1\r\nHost: a\r\n\r\n' >&7
timeout 0.5 cat <&7 > "$dir/out"
check "the others say that they are degraded" has "$dir/out" "503 .*"
check "and by whom" has "$dir/out" '"workers":"failed".*"workers_backing_off":1,"slots":\[0\]'
hang_up
check "the log has it" has "$log" "keeper\[0\].*worker keeps failing, the next start waits ms=1600"
check "it comes back" wait_until 8 alive 0
check "the crowd noticed nothing" at_ease
connect
check "and all is well again" wait_until 5 healthy
hang_up
check "it ends in order" stop
echo "# pause of the heir behind the lingering one: $pause us"
finish
