#!/bin/sh
# mutants.sh [NUMBER]...
#
# Is each order of stores needed, and does step_worker see it when one is broken? Each mutant below
# is one line of the product moved, or left out. plenumd is linked anew with the changed file, and
# the scenario that can show it must fail. Exit status 1 if a mutant lives.
#
# Called by `make mutants`, which says how the product is built: SRCDIR, BUILDDIR, CC, CPPFLAGS,
# CFLAGS, LIBS. Takes some minutes; not part of make check.
set -u

: "${SRCDIR:=.}" "${BUILDDIR:=.}" "${CC:=cc}" "${CPPFLAGS:=}" "${CFLAGS:=-O2}" "${LIBS:=}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/plenum-mutants.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
chosen=" $* "
lived=0 died=0 number=0

# compile FILE SCRIPT: that file changed by sed -E, into $tmp
compile() {
	object=$tmp/$(basename "$1" .c).o
	sed -E "$2" "$SRCDIR/$1" > "$tmp/mutant.c"
	if cmp -s "$tmp/mutant.c" "$SRCDIR/$1"; then
		echo "mutant $number: $1 has no such line any more"
		return 1
	fi
	objects="$objects $object"
	# shellcheck disable=SC2086
	$CC $CPPFLAGS -I"$SRCDIR" -I"$BUILDDIR" $CFLAGS -w -c -o "$object" "$tmp/mutant.c"
}

# build [FILE SCRIPT]...: $tmp/plenumd with those files changed
build() {
	objects='' step=$BUILDDIR/t/20-stress/step_worker
	while [ $# -gt 0 ]; do
		compile "$1" "$2" || return 1
		case $1 in
		shm/*) step=$tmp/step_worker ;;		# the test publishes, too
		esac
		shift 2
	done
	# shellcheck disable=SC2086
	$CC $CFLAGS -o "$tmp/plenumd" $objects "$BUILDDIR/master/main.o" \
	    "$BUILDDIR/libmaster.a" "$BUILDDIR/libworker.a" "$BUILDDIR/libipc.a" \
	    "$BUILDDIR/libshm.a" $LIBS || return 1
	[ "$step" = "$tmp/step_worker" ] || return 0
	(cd "$BUILDDIR/t/20-stress" && $CC $CFLAGS -o "$step" step_worker.o step_turn.o \
	    step_scenes.o step_scenes_http.o step_scenes_fate.o \
	    step_scenes_move.o step_say.o step_take.o \
	    step_client.o step_trace.o step_state.o step_server.o $objects \
	    "$BUILDDIR/libipc.a" "$BUILDDIR/libshm.a" $LIBS)
}

# mutant NAME ARGUMENTS [FILE SCRIPT]...: step_worker with these arguments must fail
mutant() {
	number=$((number + 1))
	case $chosen in
	"  " | *" $number "*) ;;
	*) return ;;
	esac
	name=$1 arguments=$2
	shift 2
	if ! build "$@"; then
		lived=$((lived + 1))
		return
	fi
	began=$(date +%s)
	# shellcheck disable=SC2086
	PLENUMD=$tmp/plenumd "$step" $arguments --seconds 200 --first > "$tmp/out" 2>&1
	case $? in
	0 | 77)
		lived=$((lived + 1))
		verdict=LIVES
		;;
	*)
		died=$((died + 1))
		verdict='is seen'
		;;
	esac
	echo "mutant $number $verdict: $name (scenario $arguments, $(($(date +%s) - began)) s)"
	grep -v ' violations$' "$tmp/out" | cut -c 1-160 | head -n 1 | sed 's/^step_worker: /	/'
}

# Moves the line that matches $1 behind the next that matches $2.
move() {
	printf '/%s/{h;d}; /%s/{G}' "$1" "$2"
}

mutant 'the plan of a span is stored after the send' 2 worker/output.c \
    "$(move 'plan_make\(PLAN_SPAN, ref' 'r = send\(c->fd, span_bytes')"
mutant 'the plan of a list is stored after the send' 3 worker/output.c \
    "$(move 'plan_make\(PLAN_LIST, frames_ref' 'r = sendmsg\(')"
mutant 'the plan is cleared before ctl and cursors are stored' 2 worker/output.c \
    '/^	word_set\(&c->plan, next\);/d; s/^(	if \(p\.n > 0 && p\.part\[0\])/	word_set(\&c->plan, next);\n\1/'
mutant 'the rest of a cut frame is named before its bytes are there' 1 worker/output.c \
    '/memcpy\(k->data, cut->rest/d; s/^(	word_set\(&c->plan, next\);)/\1\n	if (cut.len > 0) memcpy(block_at(w, plan_ref(next))->data, cut.rest, cut.len);/'
mutant 'hdr is stored after recv()' 2 worker/input.c \
    "$(move 'slot->hdr, hdr_make\(ci, off, k' 'r = recv\(c->fd')"
mutant 'part is named before its bytes are there' 1 worker/input.c \
    '/memcpy\(k->data, p, n\);/d; s/^(		word_set\(&c->part, b\);)/\1\n		memcpy(k->data, p, n);/'
mutant 'in_done is stored before the reply is queued' 2 worker/message.c \
    's/^(	word_set\(&s->commit, commit\);)/	word_set(\&m->c->in_done, m->in_end);\n\1/'
mutant 'effects are stored before the commit' 2 worker/message.c \
    's/^(	word_set\(&s->commit, commit\);)/	for (i = 0; i < m->neffects; i++)\n		message_apply(m->w, m->ci, \&m->effect[i]);\n\1/'
mutant 'an heir does not store the effects again' 3 worker/message.c \
    's/if \(word_get\(&s->from\) != 0 &&/if (0 \&\&/'
mutant 'the intent is stored after the CAS' 2 shm/event.c \
    "$(move 'atomic_store\(&w->slot->intent, .*INTENT_PENDING' 'done = try_install\(')"
mutant 'no testimony' 5 shm/event.c \
    's/^		event_testify\(w->r, old\);/		;/'
mutant 'an heir does not compare the origin' 4 worker/message.c \
    's/d->head\.in_off != m->in_off \|\|/0 ||/'
mutant 'accepting is not stored' 3 worker/conn.c \
    '/word_set\(&w->slot->accepting, \(uint64_t\)listener/d'
mutant 'an heir does not register what was being accepted' 3 worker/recover.c \
    's/^	    ci \+ 1 == \(uint32_t\)word_get\(&w->slot->accepting\)\)/	    0)/'
mutant 'a first fragment is not told from an empty block' 6 worker/ws.c \
    's/return b != 0 && word_get\(&block_at\(w, b\)->commit\) != 0;/return b != 0;/'
mutant 'an heir begins the frame arena anew' 7 worker/recover.c \
    's/^(	event_recover\(&w->pub, &w->doubt\);)/	frames_reset(w);\n\1/'
mutant 'an heir reads before it has sent what was queued' 7 worker/recover.c \
    's/^(	+)output_replies\(w, (i|ci)\);/\1;/'
mutant 'an heir forgets what is in the scratch' 2 worker/recover.c \
    's/^	process_rest\(w\);.*/	;/'

# --- the law of a connection, continued

mutant 'the header is given up before the rest is in its block' 1 worker/input.c \
    's/^(		memcpy\(k->data, p, n\);)/		word_set(\&w->slot->hdr, 0);\n\1/'
mutant 'the stream position lies in a word of its own, stored before the plan is cleared' 2 \
    worker/output.c \
    's/^(	word_set\(&c->plan, plan_make\(PLAN_(SPAN|LIST))/	word_set(\&c->goodbye, base);\n\1/; s/^(	output_settle\(w, ci, \(uint32_t\)r\);)/	word_set(\&conn_at(w, ci)->goodbye, base + (uint64_t)r);\n\1/' \
    worker/recover.c \
    's/ plan_base\(plan\)/ (plan_kind(plan) == PLAN_CUT ? plan_base(plan) : (uint32_t)word_get(\&c->goodbye))/g'
mutant 'ctl names a span before its head is written' 2 worker/message.c \
    '/^	word_set\(&c->ctl, frames_ref\(w, s\)\);/d; s/^(	word_set\(&s->commit, commit_make\(word_get\(&c->in_done\), 0\)\);)/	word_set(\&c->ctl, frames_ref(w, s));\n\1/'
mutant 'the block with a cut rest is named before the cursors are stored' 1 worker/output.c \
    's/^(	if \(p\.n > 0 && p\.part\[0\])/	if (next != 0)\n		word_set(\&c->plan, next);\n\1/'
mutant 'a length is stored behind the name of its block' 1 worker/input.c \
    '/^		word_set\(&k->len, n\);$/d; s/^(		word_set\(&c->part, b\);)/\1\n		word_set(\&k->len, n);/'
mutant 'an heir uses a block that a cut rest lies in' 1 worker/recover.c \
    's/if \(plan_kind\(plan\) == PLAN_CUT\)/if (0)/'
mutant 'a fragment is committed before its bytes are there' 6 worker/ws.c \
    '/^	ws_unmask\(k->data \+ have/d; s/^(	if \(f->fin\))/	if (!f->fin)\n		word_set(\&k->commit, commit_make(off + used, have + (uint32_t)f->len));\n	ws_unmask(k->data + have, p + f->head, (size_t)f->len, f->mask);\n\1/'
mutant 'in_done is stored before the fragment is committed' 6 worker/ws.c \
    's/^(	word_set\(&k->commit, commit_make\(off)/	word_set(\&c->in_done, off + used);\n\1/'
mutant 'an assembly block is named before it says that it is empty' 6 worker/ws.c \
    '/^	word_set\(&k->commit, 0\);/d; s/^(	message_commit\(&m\);\n	return k;)/\1/; /^	message_effect\(&m, EFFECT_ASSEMBLY, 0, b\);/{n;s/$/\n	word_set(\&k->commit, 0);/}'
mutant 'a history counts as told when it is framed' 13 worker/stream.c \
    's/^(	return frames_ref\(w, p\.span\);)/	word_set(\&c->stream_next, p.span->to);\n\1/'
mutant 'an heir counts a message for message_rate again' 18 worker/rate.c \
    's/if \(m->w->in_doubt &&/if (0 \&\&/'

# --- births and deaths

mutant 'ODD is cleared before epoll_ctl()' 1 worker/conn.c \
    '/^	if \(epoll_change\(w, c->fd/{N;h;d}; /conn_set_bits\(c, 0, CONN_ODD/{G}'
mutant 'close() before CLOSING is stored' 3 worker/conn.c \
    "$(move 'conn_set_bits\(c, CONN_CLOSING' 'close\(c->fd\)')"
mutant 'an heir does not close what no record names' 23 worker/recover.c \
    's/^	process_close_others\(fd, n\);/	;/'

mutant 'an heir does not say FIN again' 19 worker/recover.c \
    '/^		shutdown\(c->fd, SHUT_WR\);/s/shutdown.*/;/'

# --- worker and keeper

mutant 'an heir closes the pidfds of the pair' 27 ipc/table.c \
    's/s->(worker|keeper)_pidfd/-1/'
mutant 'a keeper that was started by its worker starts another worker at once' 27 ipc/keeper.c \
    's/if \(k\.slot->worker_pidfd < 0 && clone_worker/if (clone_worker/'

# --- publish and the channel table

mutant 'the seq is stored in the record behind the CAS' 2 shm/event.c \
    "$(move 'arena_set_seq\(w, pos, q\);' 'atomic_compare_exchange_strong\(&c->tail, &t, q\);$')"
mutant 'an heir does not mark again' 17 shm/event.c \
    '/atomic_compare_exchange_strong\(&c->tail, &t, d->head\.seq\);/{n;d}'
mutant 'claiming is not stored' 8 shm/channel.c \
    '/word_set\(&w->slot->claiming, \(uint64_t\)at \+ 1\)/d'
mutant 'an heir does not give a claimed record back' 8 worker/recover.c \
    's/^	channel_repair\(&w->pub\);/	;/'
mutant 'a channel is in its chain before it has its name' 8 shm/channel.c \
    '/^			fill\(w, mine, hash, name, n, v\);/d; s/^(	word_set\(&w->slot->claiming, 0\);)/\1/; /^			break;/{s/$/\n		/}; s/^(	stat_add\(&w->slot->stats, STAT_CHANNELS_MADE, 1\);)/	fill(w, mine, hash, name, n, v);\n\1/'

# --- idempotency keys

mutant 'an heir does not know the key as its own' 10 shm/idempotency.c \
    's/return c->cookie == q->cookie && c->in_off == q->in_off;/return 0;/'
mutant 'a key of somebody else is taken for one'\''s own' 11 shm/idempotency.c \
    's/return c->cookie == q->cookie && c->in_off == q->in_off;/return 1;/'
mutant 'the seq is stored before the epoch' 10 shm/idempotency.c \
    "$(move 'word_set\(&k->epoch, epoch\);' 'word_set\(&k->seq, seq\);')"
mutant 'the slot says that a record is used behind the CAS' 10 shm/idempotency.c \
    '/^	set_used\(w, period, \*index \+ 1\);/d; s/^(	q->record = region_idempotency_record\(w->r, w->index, period, index\);)/	set_used(w, period, index + 1);\n\1/'
mutant 'the period before is not searched' 25 shm/idempotency.c \
    's/if \(search\(w->r, period - 1, fp, &p\) == FOUND_RECORD/if (0/'
mutant 'the period is not read again behind the CAS' '26 --stop' shm/idempotency.c \
    '/\*result = IDEMPOTENCY_OWNER;/{n;s/if \(period_now\(w->r\) == period\)/if (1)/}'
mutant 'a key is answered before its event is published' 10 worker/api.c \
    's/^		if \(!publish\(h, p\)\) \{/		idempotency_finish(q, 1, 1);\n\0/'
mutant 'nobody settles the key of a message that is gone' 24 worker/recover.c \
    's/^	idempotency_settle\(&w->pub, &doubt\);/	;/'
mutant 'the key of a message that is gone is given up though it was published' 24 \
    shm/idempotency.c 's/if \(d->on && d->head\.cookie/if (0 \&\& d->head.cookie/'

# --- moves between slots

mutant 'a connection is taken though it is not offered any more' '30 --stop' worker/arrive.c \
    's/!move_step\(a->move, a->offered, MOVE_TAKEN\)/(word_set(a->move, move_make(a->m->gen, w->pub.index, MOVE_TAKEN)), 0)/'
mutant 'an offer has the generation of the last' '30 --stop' worker/move.c \
    's/move_gen\(word_get\(move\)\) \+ 1, to/move_gen(word_get(move)), to/'
mutant 'the source lets go of what is only offered' 28 worker/move.c \
    '/^	case MOVE_OFFERED:/d; s/^	case MOVE_DONE:/	case MOVE_OFFERED:\n\0/'
mutant 'the source lets go when it is taken' 29 worker/move.c \
    '/^	case MOVE_TAKEN:/d; s/^	case MOVE_DONE:/	case MOVE_TAKEN:\n\0/'
mutant 'the record is open before it is taken' 29 worker/arrive.c \
    '/^	open_record\(w, a->ci\);/d; s/^(	join_channels\(w, a->ci\);)/\1\n	open_record(w, a->ci);/'
mutant 'the source goes on listening' 28 worker/move.c \
    '/^	epoll_ctl\(w->slot->client_epoll, EPOLL_CTL_DEL/d'
mutant 'the interest is declared when it is taken' 29 worker/arrive.c \
    '/^	join_channels\(w, a->ci\);/d; s/^	open_record\(w, a->ci\);/	join_channels(w, a->ci);\n\0/'
mutant 'the heir of a target does not look what was taken' 29 worker/recover.c \
    's/^	arrive_decide\(w\);/	;/'
mutant 'the heir of a target takes back an interest that others have' 29 worker/arrive.c \
    's/^		drop\(w, ci\);/		leave_channels(w, ci);\n\0/'
mutant 'the heir of a target does not say that it has it' 29 worker/recover.c \
    's/^	arrive_finish\(w\);/	word_set(\&w->slot->arriving, 0);/'
mutant 'the heir of a source does not send again' 28 worker/move.c \
    's/if \(!p->sent \|\| .*/if (0)/'
mutant 'nothing is sent again to another worker of the target' 29 worker/move.c \
    's/ \|\| \(again >> move_to\(move\) & 1\) != 0\)/)/'
mutant 'the block of a cut frame keeps its number' 29 worker/arrive.c \
    's/plan_make\(PLAN_CUT, \(uint32_t\)ref, plan_base\(plan\)\)/plan/'
mutant 'the cookie of a descriptor is not compared' 29 worker/arrive.c \
    's/\(a->fd < 0 \|\| witness_cookie\(a->fd\) == m->cookie\)/1/'
mutant 'a connection is not moving when its offer is sent' 28 worker/move.c \
    '/^	conn_set_bits\(conn_at\(w, ci\), CONN_MOVING/d; s/^(	send_offer\(w, ci\);\n	return true;)/\1/; /^	w->priv\[ci\]\.offered_at = w->now;$/{n;s/$/\n	conn_set_bits(conn_at(w, ci), CONN_MOVING | CONN_MOVED, CONN_LIFE_MASK);/}'

mutant 'a socket whose copy lies in an inbox is closed like any other' '30 --stop' worker/conn.c \
    's/if \(conn_has\(c, CONN_MOVED\)\)/if (0)/'

echo "$died mutants seen, $lived not"
[ "$lived" -eq 0 ]
