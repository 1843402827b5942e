#!/bin/sh
# mutants.sh [NUMBER]...
#
# Is each order of stores needed, and does step_worker see it when one is broken? Each mutant below
# is one line of the product moved, or left out. plenumd is linked anew with that one file changed,
# and the scenario that can show it must fail. Exit status 1 if a mutant lives.
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

# build FILE SCRIPT: $tmp/plenumd with that file changed by sed -E
build() {
	sed -E "$2" "$SRCDIR/$1" > "$tmp/mutant.c"
	if cmp -s "$tmp/mutant.c" "$SRCDIR/$1"; then
		echo "mutant $number: $1 has no such line any more"
		return 1
	fi
	# shellcheck disable=SC2086
	$CC $CPPFLAGS -I"$SRCDIR" -I"$BUILDDIR" $CFLAGS -w -c -o "$tmp/mutant.o" "$tmp/mutant.c" &&
	    $CC $CFLAGS -o "$tmp/plenumd" "$tmp/mutant.o" "$BUILDDIR/master/main.o" \
	    "$BUILDDIR/libmaster.a" "$BUILDDIR/libworker.a" "$BUILDDIR/libipc.a" \
	    "$BUILDDIR/libshm.a" $LIBS || return 1
	step=$BUILDDIR/t/20-stress/step_worker
	case $1 in
	shm/*)		# the test publishes, too
		step=$tmp/step_worker
		(cd "$BUILDDIR/t/20-stress" && $CC $CFLAGS -o "$step" step_worker.o step_scenes.o \
		    step_say.o step_take.o step_client.o step_trace.o step_server.o \
		    "$tmp/mutant.o" "$BUILDDIR/libshm.a" $LIBS)
		;;
	esac
}

# mutant NAME SCENARIO FILE SCRIPT
mutant() {
	number=$((number + 1))
	case $chosen in
	"  " | *" $number "*) ;;
	*) return ;;
	esac
	if ! build "$3" "$4"; then
		lived=$((lived + 1))
		return
	fi
	PLENUMD=$tmp/plenumd "$step" "$2" --seconds 200 --first \
	    > "$tmp/out" 2>&1
	case $? in
	0 | 77)
		lived=$((lived + 1))
		echo "mutant $number LIVES: $1 (scenario $2)"
		;;
	*)
		died=$((died + 1))
		echo "mutant $number is seen: $1 (scenario $2)"
		;;
	esac
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
    's/^			output_replies\(w, i\);/			;/'
mutant 'an heir forgets what is in the scratch' 2 worker/recover.c \
    's/^	process_rest\(w\);.*/	;/'

echo "$died mutants seen, $lived not"
[ "$lived" -eq 0 ]
