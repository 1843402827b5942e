/*
 * Publish, read, join, sleep and the heir, as in shm/event.c, shm/dirty.c and shm/channel.c, with
 * deaths.
 *
 * Two workers publish into a channel with a ring of two cells; a third one, the reader, joins it,
 * reads and sleeps. Each may die before every step and is followed by its heir, which finds what
 * is in the slot and nothing else. doc/PROOFS.md maps the steps to the code.
 *
 * A step is one access to a word that others change, or several of which nobody can tell the
 * order. A record is named by a number that is never used again, as positions are not (modulo
 * 2^47), and whose upper part is its writer; how an arena is lapped is in relacy_arena.cpp.
 *
 * What must hold is asserted where it happens:
 *	at the CAS of a cell	it is the next event (dense), and the message was not published yet
 *	at the end		every message was published
 *	at the reader		what it reads carries its seq; nothing that the ring holds is a gap
 *	asleep for ever		there is nothing to read
 *
 * CRASHES deaths of publishers, READER_CRASHES of the reader. MSGS0, MSGS1: messages of each
 * publisher. TAGS: tags repeat after so many events. READER 0: none. HEIR 0: nobody follows a dead
 * publisher. MUTANT breaks a rule.
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#define M_NO_RECHECK		1	/* sleep without a look at the marks behind sleeping = 1 */
#define M_NO_INTENT		2
#define M_NO_TESTIMONY		3
#define M_TAIL_FIRST		4	/* tail advanced before the cell is there */
#define M_JOIN_TAIL_FIRST	5	/* interest set behind the look at tail */
#define M_INTENT_LATE		6	/* behind the CAS of the cell */
#define M_HEIR_NO_MARKS		7
#define M_HEIR_NO_WAKE		8
#define M_TESTIMONY_LATE	9	/* behind the CAS that overwrites */
#define M_HEIR_ASKS_SLEEPERS	10	/* heir wakes only whose sleep word it can take */
#define M_NO_ORIGIN		11	/* any doubt is taken for the message at hand */
#define M_TAIL_ONCE		12	/* no second look at tail */
#define M_SEQ_LATE		13	/* seq into the record behind the CAS */
#define M_READER_TRUSTS		14	/* the reader's heir does not assume that all is marked */
#define M_WORD_FIRST		15	/* the reader takes the word, then the summary */
#define M_SUMMARY_FIRST		16	/* the marker sets the summary, then the word */
#define M_NO_HELP		17	/* tail is its publisher's business */
#define M_WAKE_FIRST		18	/* a look at sleeping before the mark */
#define M_SEEN_ONLY		19	/* the heir looks at its flag, then at the cell */

#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef READER_CRASHES
#define READER_CRASHES 0
#endif
#ifndef MSGS0
#define MSGS0 2
#endif
#ifndef MSGS1
#define MSGS1 2
#endif
#ifndef TAGS
#define TAGS 8
#endif
#ifndef READER
#define READER 1
#endif
#ifndef HEIR
#define HEIR 1
#endif

#define CELLS 2
#define EVENTS (MSGS0 + MSGS1)
#ifndef RECORDS
#define RECORDS 4			/* of a writer: messages and repetitions */
#endif
#define TRIES_MAX 20

/* cell: tag, record + 1; a record is writer * RECORDS + number */
#define cell_make(q, r) (((q) % TAGS) * 32 + (r) + 1)
#define cell_tag(c) ((c) / 32)
#define cell_rec(c) ((c) % 32 - 1)
#define rec_writer(r) ((r) / RECORDS)

#define PENDING 1
#define SEEN 2
#define intent_make(r, flag) (((r) + 1) * 4 + (flag))

byte cell[CELLS];
byte tail;
bit interest;
bit word, summary, sleeping, efd;	/* the reader's */
byte intent[2];
byte head[2];				/* of the arenas */
byte rec_seq[2 * RECORDS];
byte rec_msg[2 * RECORDS];
byte in_done[2];
byte cursor;				/* of the subscription, + 1; 0: none */
byte crashes = CRASHES, reader_crashes = READER_CRASHES;

byte events, published[2];		/* nobody's: what is asserted is said of them */
byte ended;

/* One step, or death before it. */
#define STEP(x) if :: atomic { x } :: DIE fi
#if CRASHES == 1 && MSGS0 == MSGS1		/* they are alike: worker 0 is who dies */
#define DIE atomic { crashes > 0 && w == 0 -> crashes--; goto dead }
#else
#define DIE atomic { crashes > 0 -> crashes--; goto dead }
#endif
#define RSTEP(x) if :: atomic { x } :: RDIE fi
#define RDIE atomic { reader_crashes > 0 -> reader_crashes--; goto dead }

inline testify()
{
	if
	:: old != 0 && intent[rec_writer(cell_rec(old))] == intent_make(cell_rec(old), PENDING) ->
		intent[rec_writer(cell_rec(old))] = intent_make(cell_rec(old), SEEN)
	:: else
	fi
}

inline cas_tail(from, to)
{
	if
	:: tail == from -> tail = to
	:: else
	fi
}

/* dirty_mark() and what it adds to w->wake */
inline mark()
{
	STEP(wake = interest);
	if
	:: wake ->
#if MUTANT == M_WAKE_FIRST
		wake_up();
#endif
#if MUTANT == M_SUMMARY_FIRST
		STEP(summary = 1);
		STEP(word = 1)
#else
		STEP(word = 1);
		STEP(summary = 1)
#endif
	:: else
	fi
}

/* wake_flush(): sleepers_take() and the write */
inline wake_up()
{
	if
	:: wake ->
		STEP(got = sleeping; sleeping = 0; wake = 0);
		if
		:: got -> STEP(efd = 1; got = 0)
		:: else
		fi
	:: else
	fi
}

inline cas_cell()
{
	if
	:: cell[q % CELLS] == old ->
		cell[q % CELLS] = cell_make(q, r);
		assert(q == events + 1);
		events++;
		assert(published[w] + 1 == rec_msg[r]);
		published[w]++;
		done = 1
	:: else
	fi
}

inline append()
{
	assert(head[w] < RECORDS);
	r = w * RECORDS + head[w];
	head[w]++;
	rec_msg[r] = in_done[w] + 1
}

#define INTENT_FIRST (MUTANT != M_NO_INTENT && MUTANT != M_INTENT_LATE)

/* event_publish(); try_install() is the loop */
inline publish()
{
	STEP(append(); if :: INTENT_FIRST -> intent[w] = intent_make(r, PENDING) :: else fi);
	do
	:: !done ->
#if !HEIR
		tries++;
		assert(tries < TRIES_MAX);	/* others' steps cost a try, a dead one must not */
#endif
		STEP(q = tail + 1);
		STEP(old = cell[q % CELLS]);
#if MUTANT != M_TAIL_ONCE
		STEP(again = (tail != q - 1));
#endif
		if
		:: again -> again = 0
		:: else ->
			if
			:: old != 0 && cell_tag(old) == q % TAGS ->
#if MUTANT != M_NO_HELP
				STEP(cas_tail(q - 1, q));
#endif
				skip
			:: old != 0 && cell_tag(old) != q % TAGS &&
			    cell_tag(old) != (q + TAGS - CELLS) % TAGS
			:: else ->
#if MUTANT != M_SEQ_LATE
				rec_seq[r] = q;
#endif
#if MUTANT != M_NO_TESTIMONY && MUTANT != M_TESTIMONY_LATE
				STEP(testify());
#endif
#if MUTANT == M_TAIL_FIRST
				STEP(cas_tail(q - 1, q));
#endif
				STEP(cas_cell());
#if MUTANT == M_TESTIMONY_LATE
				STEP(if :: done -> testify() :: else fi);
#endif
			fi
		fi;
		old = 0
	:: else -> break
	od;
	done = 0;
	tries = 0;
#if MUTANT == M_SEQ_LATE
	STEP(rec_seq[r] = q);
#endif
#if MUTANT == M_INTENT_LATE
	STEP(intent[w] = intent_make(r, PENDING));
#endif
	STEP(cas_tail(q - 1, q));
	q = 0;
	mark();
#if MUTANT != M_NO_INTENT
	STEP(intent[w] = intent_make(r, SEEN));
#endif
	r = 0
}

/* event_recover() */
inline recover()
{
	r = intent[w] / 4 - 1;
#if MUTANT == M_SEEN_ONLY
	STEP(again = (intent[w] % 4 == SEEN));
#endif
	STEP(
	    q = rec_seq[r];
	    doubt = (q != 0 && cell[q % CELLS] == cell_make(q, r))
	);
	if
	:: doubt ->
		STEP(cas_tail(q - 1, q));
#if MUTANT != M_HEIR_NO_MARKS
		mark()
#endif
	:: else ->
#if MUTANT == M_SEEN_ONLY
		doubt = again;
		again = 0
#else
		STEP(doubt = (intent[w] % 4 == SEEN))
#endif
	fi;
	q = 0
}

/* message_publish() and the commit of its message */
inline execute()
{
	if
#if MUTANT == M_NO_ORIGIN
	:: doubt -> skip
#else
	:: doubt && rec_msg[r] == in_done[w] + 1 -> skip
#endif
	:: else ->
		doubt = 0;
		r = 0;
		publish()
	fi;
	doubt = 0;
	r = 0;
	STEP(in_done[w] = in_done[w] + 1)
}

/* The heir of whoever was about to wake somebody: it has taken the sleep word and cannot say so. */
inline wake_all()
{
#if MUTANT == M_HEIR_ASKS_SLEEPERS
	wake = 1;
	wake_up();
#elif MUTANT != M_HEIR_NO_WAKE
	STEP(efd = 1);
#endif
	heir = 0
}

#define MSGS (w == 0 -> MSGS0 : MSGS1)

proctype worker(bit w)
{
	byte q, old, r, tries;
	bit wake, got, done, again, doubt, heir;

life:
	if
	:: heir && intent[w] != 0 -> recover()
	:: else
	fi;
	do
	:: in_done[w] < MSGS ->
		execute();
#if MUTANT != M_WAKE_FIRST
		wake_up();
#endif
		wake = 0;
		if
		:: heir -> wake_all()
		:: else
		fi
	:: else -> break
	od;
	if
	:: heir -> wake_all()
	:: else
	fi;
	atomic {
		assert(published[w] == MSGS);
		ended++;
		goto gone
	}
dead:
	atomic {
		q = 0;
		old = 0;
		r = 0;
		tries = 0;
		wake = 0;
		got = 0;
		done = 0;
		again = 0;
		doubt = 0
	}
#if HEIR
	heir = 1;
	goto life;
#else
	ended++;
#endif
gone:
	skip
}

/* channel_tail() */
inline look_at_tail()
{
	RSTEP(t = tail);
	do
	:: RSTEP(again = (cell[(t + 1) % CELLS] != 0 &&
	      cell_tag(cell[(t + 1) % CELLS]) == (t + 1) % TAGS));
		if
		:: again ->
			again = 0;
			RSTEP(if :: tail == t -> tail = t + 1; t++ :: else -> t = tail fi)
		:: else -> break
		fi
	od
}

/* event_peek() of the cursor's next; the record of a cell never changes here */
inline read_all()
{
	do
	:: RSTEP(
	    old = cell[cursor % CELLS];		/* cursor is + 1: the next one's seq */
	    again = (old != 0 && cell_tag(old) == cursor % TAGS);
	    if
	    :: again ->
		assert(rec_seq[cell_rec(old)] == cursor);
		cursor++;
		old = 0
	    :: else
	    fi
	);
		if
		:: again -> again = 0
		:: else ->
			look_at_tail();
			if
			:: t < cursor -> t = 0; old = 0; break
			:: else ->
				/* the cell once more, and the gap is told */
				RSTEP(
				    if
				    :: cell[cursor % CELLS] == old ->
					assert(cursor + CELLS <= events);
					cursor++
				    :: else
				    fi;
				    t = 0;
				    old = 0
				)
			fi
		fi
	od
}

proctype reader()
{
	byte old, t;
	bit again, due;

life:
	do
	:: cursor == 0 ->
		/* channel_join(); the cursor commits it */
#if MUTANT != M_JOIN_TAIL_FIRST
		RSTEP(interest = 1);
#endif
		look_at_tail();
#if MUTANT == M_JOIN_TAIL_FIRST
		RSTEP(interest = 1);
#endif
		RSTEP(cursor = t + 1; t = 0)
	:: else ->
		/* output_run(): dirty_take() */
		if
		:: summary ->
#if MUTANT == M_WORD_FIRST
			RSTEP(again = word; word = 0);
			RSTEP(summary = 0);
#else
			RSTEP(summary = 0);
			RSTEP(again = word; word = 0);
#endif
			if
			:: again -> due = 1; again = 0
			:: else
			fi
		:: else
		fi;
		if
		:: due -> due = 0; read_all()
		:: else
		fi;
		/* the top of the loop: sleep_begin() */
		RSTEP(sleeping = 1);
#if MUTANT != M_NO_RECHECK
		RSTEP(again = summary);
#endif
		if
		:: again -> again = 0
		:: else ->
			if
			:: atomic { efd -> efd = 0 }
			:: atomic {
				ended == 2 && !efd ->
				assert(cursor == events + 1);
				goto gone
			}
			:: RDIE
			fi
		fi;
		RSTEP(sleeping = 0)
	od;
dead:
	atomic {
		old = 0;
		t = 0;
		again = 0;
#if MUTANT != M_READER_TRUSTS
		due = 1
#else
		due = 0
#endif
	}
	goto life;
gone:
	skip
}

init
{
	atomic {
		run worker(0);
		run worker(1);
#if READER
		run reader()
#endif
	}
}
