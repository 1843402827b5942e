#!/bin/bash
# Workers, keepers and the logger killed, workers stopped, reloads, storms of connects, under a
# crowd of clients that check every byte: nobody may notice. The list of what is done is made of a
# seed, which is told. CHAOS_SECONDS makes it longer, CHAOS_SEED repeats one; make chaos is the long
# run.
. "$(dirname "$0")/lib.sh"

CROWD=${CROWD:-./t/tools/crowd}
export CROWD PLENUMD
CHAOS=${BUILDDIR:-.}/t/tools/chaos
seconds=${CHAOS_SECONDS:-8}
seed=${CHAOS_SEED:-$$}
echo "# seed $seed"

# chaos ARGS...: what it said is shown if somebody noticed
chaos() {
	"$CHAOS" --seconds "$seconds" --seed "$seed" "$@" > "$dir/chaos" 2>&1 && return
	sed 's/^/# /' "$dir/chaos"
	return 1
}
# done_of WORDS: how many of them the summary tells
done_of() { sed -n "s/^done .* \([0-9]*\) $1.*/\1/p" "$dir/chaos"; }
plan() { "$CHAOS" --plan --seconds 20 --with upgrade,master,workers "$@"; }

check "the same seed gives the same list" is "$(plan --seed 4)" "$(plan --seed 4)"
check "another seed another one" differs "$(plan --seed 5)" "$(plan --seed 4)"
check "which leaves out what is not wanted" \
    is "$(plan --seed 4 --without upgrade | tail -n +2)" \
    "$(plan --seed 4 | tail -n +2 | grep -v upgrade)"

check "clients of killed, stopped and renewed workers notice nothing" chaos --warm 1 \
    --with upgrade,master,workers \
    --clients 200 --room 40 --deliveries 12000 --http 200 --kill-ms 300 --storm 200 \
    -- --slow 3 --churn 4
check "workers were killed" [ "$(done_of 'workers killed')" -ge 5 ]
check "keepers were killed" [ "$(done_of 'keepers killed')" -ge 2 ]
check "a slot was lost on purpose, and its clients resumed" \
    [ "$(sed -n 's/.*of which \([0-9]*\) subscr.*/\1/p' "$dir/chaos")" -ge 1 ]
sed -n '/^seed/,$s/^/# /p' "$dir/chaos"

seconds=4
check "and again, many channels to a client" chaos --warm 1 --clients 60 --room 2 --http 100 \
    --deliveries 800 --kill-ms 200 --storm 50 --without both,stop -- \
    --per-client 12 --size 20-9000 --ws-publishers 4 --http-publishers 2

start -D workers=4 -D message_rate=65535
check "at full speed nothing is lost without a gap" "$CROWD" --port "$(port)" --seconds 3 \
	--subscribers 100 --channels 2 --ws-publishers 4 --http-publishers 4 --slow 6
check "it ends in order" stop
finish
