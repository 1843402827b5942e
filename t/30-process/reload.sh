#!/usr/bin/env bash
# Another configuration without a new start.
. "$(dirname "$0")/lib.sh"

snapshot() { field snapshot; }
reloads() { field reloads; }
reloaded() { [ "$(reloads)" -gt "$1" ]; }
refused() { [ "$(field reloads_refused)" -gt "$1" ]; }
setting() { ctl show conf | sed -n "s/^$1 = //p" | head -n 1; }
in_force() { is "$(column 0 15) $(column 1 15)" "$1 $1"; }
sum_of_descriptors() { local p n=0; for p; do n=$((n + $(descriptors "$p"))); done; echo $n; }

echo "history = 500" > "$conf"
start -c "$conf"
connect
check "a request is answered" answers
old=$(worker 0)
kept=$(keeper 0)
echo "history = 400" > "$conf"
kill -HUP "$master"
check "HUP reloads" wait_until 10 reloaded 0
check "the new value is in force" is "$(setting history)" 400
check "each worker has the new snapshot" in_force 2
check "the worker is another one" differs "$(worker 0)" "$old"
check "the keeper is not" is "$(keeper 0)" "$kept"
check "the reload was planned" is "$(column 0 10) $(column 0 6)" "1 0"
check "the log tells of it" wait_until 5 has "$log" "reload complete"
[ "$(field keeper)" = yes ] && check "a connection lives on" answers
hang_up

# --- bad ones ---
pids=$(everybody)
printf '\nhistory = x\n' > "$conf"
kill -HUP "$master"
check "a bad file is refused" wait_until 5 refused 0
check "file, line and setting are in the log" wait_until 5 has "$log" "$conf:2: history: "
check "nothing is changed" is "$(setting history) $(snapshot) $(everybody)" "400 2 $pids"
ctl_reload() { ctl reload 2> "$dir/err"; }
check "plenumctl reload fails as well" fails ctl_reload
check "and says why" has "$dir/err" "^plenumctl: $conf:2: history: "
echo "workers = 3" > "$conf"
check "a setting that needs a restart is refused" fails ctl_reload
# it is given by -D as well, which has the last word
echo "arena = 1M" > "$conf"
check "a setting that needs a restart is refused" fails ctl_reload
check "and named" has "$dir/err" "restart: arena"
echo "log_file = /nowhere/at/all" > "$conf"
check "a log file that cannot be opened is refused" fails ctl_reload
check "nothing is changed" is "$(setting history) $(snapshot) $(everybody)" "400 2 $pids"

# --- without effect ---
printf 'history = 300\nmessage_rate = 7/s\n[channel quiet-*]\nslow = latest\n' > "$conf"
ctl reload --dry-run > "$dir/changes"
check "a dry run prints what would change" has "$dir/changes" "^history: 400 -> 300$"
check "each setting" has "$dir/changes" "^message_rate: 1000/s -> 7/s$"
check "and each rule" has "$dir/changes" "^sections: .channel quiet-\\*.$"
check "and nothing else" is "$(lines "$dir/changes")" 3
check "nothing is changed" is "$(setting history) $(snapshot) $(everybody)" "400 2 $pids"
echo "arena = 1M" > "$conf"
dry_run() { ctl reload --dry-run 2> "$dir/err"; }
check "a dry run says why a reload would be refused" fails dry_run
check "by the setting's name" has "$dir/err" "restart: arena"
echo "history = 400" > "$conf"
check "or that nothing would change" is "$(ctl reload --dry-run)" "nothing would change"

# --- many ---
echo "history = 300" > "$conf"
check "plenumctl reload succeeds" ctl reload
check "and returns when it is in force" in_force 3
wait_until 5 test -n "$(logger)"
before=$(sum_of_descriptors "$master")
slots=$(sum_of_descriptors "$(keeper 0)" "$(keeper 1)" "$(worker 0)" "$(worker 1)")
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	ctl reload || echo "# reload $i failed"
done
check "twenty reloads are twenty snapshots" in_force 23
settled() { [ "$(sum_of_descriptors "$master")" -le "$before" ]; }
check "the master's descriptors do not grow" wait_until 5 settled
slots_settled() {
	local sum
	sum=$(sum_of_descriptors "$(keeper 0)" "$(keeper 1)" "$(worker 0)" "$(worker 1)")
	[ "$sum" -le "$slots" ]
}
check "the slots' descriptors do not grow" wait_until 5 slots_settled
n=$(reloads)
for i in $(seq 40); do
	kill -HUP "$master"
done
check "forty HUPs at once are a few reloads" wait_until 10 reloaded "$n"
quiet() {
	local a b
	a=$(snapshot); sleep 0.3; b=$(snapshot)
	[ "$a" = "$b" ] && in_force "$b"
}
check "all have the last snapshot" wait_until 20 quiet
check "fewer than forty" test "$(reloads)" -lt $((n + 40))

# --- a worker that does not renew is no obstacle ---
old=$(worker 0)
kill -STOP "$old"
check "a stopped worker does not keep a reload from its end" ctl reload
check "it was followed" differs "$(worker 0)" "$old"
check "plenumd ends" stop

# --- what is kept over a reload ---
echo "log_level = info" > "$conf"
PLENUM_HISTORY=77 start -c "$conf" -D json_depth=9
echo "history = 600" > "$conf"
check "a reload succeeds" ctl reload
check "the environment is kept" is "$(setting history)" 77
check "-D is kept" is "$(setting json_depth)" 9
stop

start -D keeper=no
check "without a keeper, reload works too" ctl reload
check "and status says so" is "$(field keeper) $(field keeper_why)" "no keeper = no"
check "plenumd ends" stop

finish
