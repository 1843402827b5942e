/*
 * Idempotency keys, shm/idempotency.c, with deaths and periods that turn.
 *
 * Two workers ask for keys, each a few times, and publish those that they come to own. Each may die
 * before every step; its heir executes the message in hand again, or its connection is lost and the
 * heir only settles. The period turns at any moment. A publish is one step here (core.pml has it):
 * its event, and the origin that event_recover() finds. doc/PROOFS.md maps the steps to the code.
 *
 * The array of a period has WORDS places, which every key searches from the first. A record is
 * named by writer, parity of the period and index.
 *
 * What must hold:
 *	publish		no event of the key was published under this period or the last
 *	answered	it names an event of the key, and its epoch is there
 *	unfinished	the message that owns the key is in somebody's hand, and not in one's own
 *	asked later	whoever asks for a key that is finished is answered, until it is forgotten
 *
 * CRASHES deaths; TURNS of the period; ASKS of each worker; GIVE_UPS publishes that fail; KEYS 2:
 * worker 0 asks for either in turn, worker 1 for the second only. FINE 0: a record is filled, and
 * copied, in one step. MUTANT breaks a rule.
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#define M_BLIND_RETRY		1	/* after a failed CAS the next place is taken unsearched */
#define M_NO_SECOND_LOOK	2	/* owner without a second look at the period */
#define M_OLD_UNSEARCHED	3	/* the array of the last period is not searched */
#define M_OLD_FIRST		4	/* it is searched before that of the period in force */
#define M_OLD_OWNER		5	/* one's own word of the last period makes owner */
#define M_USED_LATE		6	/* the slot's `used` is stored behind the CAS of the word */
#define M_WORD_FIRST		7	/* the word is inserted before the record is filled */
#define M_PERIOD_KEPT		8	/* the period of a record stands while it is filled */
#define M_NO_VALIDATION		9	/* no second look at the period of a record */
#define M_SEQ_FIRST		10	/* seq stored before epoch */
#define M_EPOCH_READ_FIRST	11	/* epoch read before seq */
#define M_NO_ORIGIN		12	/* whose a record is does not matter */
#define M_NO_SETTLE		13
#define M_SETTLE_BLIND		14	/* it gives up what was published */
#define M_NO_DOUBT		15	/* an heir publishes again */
#define M_NEWER_FREE		16	/* words of a newer period are taken for free */
#define M_GIVEN_UP_FREE		17	/* the word of a key that was given up is any key's */
#define M_ONE_POOL		18	/* records are used again in the next period */
#define M_NO_GIVE_UP		19	/* a record that came too late is not given up */

#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef TURNS
#define TURNS 1
#endif
#ifndef ASKS
#define ASKS 1
#endif
#ifndef GIVE_UPS
#define GIVE_UPS 0
#endif
#ifndef KEYS
#define KEYS 1
#endif
#ifndef FINE
#define FINE 1
#endif
#ifndef POOL
#define POOL 4
#endif

#define WORDS 2
#define GIVEN_UP 255
#if MUTANT == M_ONE_POOL
#define parity(p) 0
#else
#define parity(p) ((p) & 1)
#endif
#define pool(w, p) ((w) * 2 + parity(p))
#if KEYS == 2
#define key_of(w, n) ((w) == 0 -> (n) % 2 : 1)
#else
#define key_of(w, n) 0
#endif

/* word: period, record + 1; a record is pool * POOL + index */
#define word_make(p, r) ((p) * 32 + (r) + 1)
#define word_period(v) ((v) / 32)
#define word_rec(v) ((v) % 32 - 1)
#define rec_writer(r) ((r) / (2 * POOL))

byte period = 1;
byte word[2 * WORDS];
byte r_period[4 * POOL], r_msg[4 * POOL], r_seq[4 * POOL];
bit r_key[4 * POOL], r_epoch[4 * POOL];
byte used_period[4], used[4];		/* one word of the slot, by pool */
byte pub_msg[2], pub_seq[2];		/* what event_recover() finds: origin and seq */
byte msg[2];				/* the connection and how far it is processed */
byte asked[2];

byte crashes = CRASHES, turns = TURNS, give_ups = GIVE_UPS;

/* nobody's */
byte events;
bit ev_key[16];
byte ev_period[2];			/* of the key's last publish: its record's */
byte fin_period[2];			/* of the key's last record that was finished */
byte hand[2];				/* msg + 1 that is being executed */

#define STEP(x) if :: atomic { x } :: DIE fi
#define DIE atomic { crashes > 0 -> crashes--; goto dead }

/* copy_record() of what the word v names */
inline copy(per)
{
	c_rec = word_rec(v);
#if FINE
	STEP(ok = (r_period[c_rec] == per));
	if
	:: ok ->
		STEP(c_key = r_key[c_rec]; c_msg = r_msg[c_rec]);
#if MUTANT == M_EPOCH_READ_FIRST
		STEP(c_epoch = r_epoch[c_rec]);
#endif
		STEP(c_seq = r_seq[c_rec]; c_hand = (hand[rec_writer(c_rec)] == c_msg + 1));
#if MUTANT != M_EPOCH_READ_FIRST
		STEP(c_epoch = r_epoch[c_rec]);
#endif
#if MUTANT != M_NO_VALIDATION
		STEP(ok = (r_period[c_rec] == per))
#endif
	:: else
	fi
#else
	STEP(
	    ok = (r_period[c_rec] == per);
	    c_key = r_key[c_rec];
	    c_msg = r_msg[c_rec];
	    c_seq = r_seq[c_rec];
	    c_epoch = r_epoch[c_rec];
	    c_hand = (hand[rec_writer(c_rec)] == c_msg + 1)
	)
#endif
}

#define NOTHING 0
#define RECORD 1
#define PLACE 2

#if MUTANT == M_NEWER_FREE
#define is_free(v, per) ((v) == 0 || word_period(v) != (per))
#else
#define is_free(v, per) ((v) == 0 || word_period(v) < (per))
#endif
#if MUTANT == M_GIVEN_UP_FREE
#define is_place (ok && c_seq == GIVEN_UP)
#else
#define is_place (ok && c_key == k && c_seq == GIVEN_UP)
#endif

/* search(): `at` is the place, v what it holds */
inline search(per)
{
	found = NOTHING;
	at = 0;
	do
	:: at < WORDS && found == NOTHING ->
		STEP(v = word[((per) & 1) * WORDS + at]);
		if
		:: is_free(v, per) -> found = PLACE
		:: !is_free(v, per) && word_period(v) == (per) ->
			copy(per);
			if
			:: is_place -> found = PLACE
			:: ok && c_key == k && c_seq != GIVEN_UP -> found = RECORD
			:: else -> at++
			fi;
			ok = 0
		:: else -> at++
		fi
	:: else -> break
	od
}

#if MUTANT == M_NO_ORIGIN
#define is_own 0
#else
#define is_own (rec_writer(c_rec) == w && c_msg == msg[w])
#endif

/* judge() */
#define OWNER 1
#define ANSWERED 2
#define UNFINISHED 3
#define FULL 4
inline judge()
{
	if
	:: c_seq != 0 ->
		assert(c_seq != GIVEN_UP && c_epoch && ev_key[c_seq] == k);
		result = ANSWERED
	:: c_seq == 0 && is_own -> own = c_rec; result = OWNER
	:: else ->
		assert(c_hand);
		assert(!(rec_writer(c_rec) == w && c_msg == msg[w]));
		result = UNFINISHED
	fi
}

inline set_used(n)
{
	STEP(used_period[pool(w, p)] = p; used[pool(w, p)] = n)
}

inline fill()
{
#if !FINE
	STEP(
	    r_key[own] = k;
	    r_msg[own] = msg[w];
	    r_epoch[own] = 0;
	    r_seq[own] = 0;
	    r_period[own] = p
	)
#else
#if MUTANT != M_PERIOD_KEPT
	STEP(r_period[own] = 0);
#endif
	STEP(r_key[own] = k);
	STEP(r_msg[own] = msg[w]);
	STEP(r_epoch[own] = 0);
	STEP(r_seq[own] = 0);
	STEP(r_period[own] = p)
#endif
}

/* install(): done if the prepared record was inserted */
inline install()
{
	do
	:: search(p);
		if
		:: found == PLACE ->
			STEP(
			    if
			    :: word[(p & 1) * WORDS + at] == v ->
				word[(p & 1) * WORDS + at] = word_make(p, own);
				done = 1
			    :: else
			    fi
			);
			if
			:: done -> break
			:: else ->
#if MUTANT == M_BLIND_RETRY
				if
				:: at + 1 < WORDS ->
					STEP(
					    if
					    :: is_free(word[(p & 1) * WORDS + at + 1], p) ->
						word[(p & 1) * WORDS + at + 1] = word_make(p, own);
						done = 1
					    :: else
					    fi
					);
					if
					:: done -> break
					:: else
					fi
				:: else
				fi;
#endif
				skip
			fi
		:: else -> break
		fi
	od
}

/* insert(): prepare(), install() and the second look; result 0: all begins anew */
inline insert()
{
	STEP(own = (used_period[pool(w, p)] == p -> used[pool(w, p)] : 0));
	if
	:: own >= POOL -> STEP(result = (period == p -> FULL : 0))
	:: else ->
		own = pool(w, p) * POOL + own;
#if MUTANT != M_WORD_FIRST
		fill();
#endif
#if MUTANT != M_USED_LATE
		set_used(own % POOL + 1);
#endif
		install();
		if
		:: !done ->
			set_used(own % POOL);
			own = 0;
			if
			:: found == NOTHING -> STEP(result = (period == p -> FULL : 0))
			:: else -> judge()
			fi
		:: else ->
			done = 0;
#if MUTANT == M_USED_LATE
			set_used(own % POOL + 1);
#endif
#if MUTANT == M_WORD_FIRST
			fill();
#endif
#if MUTANT == M_NO_SECOND_LOOK
			result = OWNER
#else
			STEP(result = (period == p -> OWNER : 0));
			if
			:: result == 0 ->
#if MUTANT != M_NO_GIVE_UP
				STEP(r_seq[own] = GIVEN_UP);
#endif
				skip
			:: else
			fi
#endif
		fi
	fi
}

#if MUTANT == M_OLD_OWNER
#define decides (found == RECORD)
#else
#define decides (found == RECORD && (c_seq != 0 || !is_own))
#endif

inline search_old()
{
#if MUTANT != M_OLD_UNSEARCHED
	search(p - 1);
	if
	:: decides -> judge()
	:: else
	fi;
#endif
	skip
}

/* idempotency_get(); known: the period in which the key was finished when it was asked for */
inline get()
{
	fresh = 1;
	do
	:: result == 0 ->
		STEP(
		    p = period;
		    if
		    :: fresh -> known = (p <= fin_period[k] + 1 -> fin_period[k] : 0); fresh = 0
		    :: else
		    fi
		);
#if MUTANT == M_OLD_FIRST
		search_old();
		if
		:: result == 0 ->
			search(p);
			if
			:: found == RECORD -> judge()
			:: else -> insert()
			fi
		:: else
		fi
#else
		search(p);
		if
		:: found == RECORD -> judge()
		:: else ->
			search_old();
			if
			:: result == 0 -> insert()
			:: else
			fi
		fi
#endif
	:: else ->
		atomic {
			assert(known == 0 || result == ANSWERED || period > known + 1);
			found = 0;
			at = 0;
			v = 0;
			c_rec = 0;
			c_key = 0;
			c_msg = 0;
			c_seq = 0;
			c_epoch = 0;
			c_hand = 0;
			known = 0;
			p = 0
		}
		break
	od
}

/* Whether a search comes to it. */
#define place_names(r, i) \
	(word[(r_period[r] & 1) * WORDS + (i)] == word_make(r_period[r], r))
#define is_named(r) (place_names(r, 0) || place_names(r, 1))

/* finish() of a record */
inline finish(r, s)
{
#if MUTANT != M_SEQ_FIRST
	STEP(r_epoch[r] = 1);
#endif
	STEP(
	    r_seq[r] = s;
	    if
	    :: is_named(r) && r_period[r] > fin_period[r_key[r]] ->
		fin_period[r_key[r]] = r_period[r]
	    :: else
	    fi
	);
#if MUTANT == M_SEQ_FIRST
	STEP(r_epoch[r] = 1);
#endif
	skip
}

#if MUTANT == M_NO_DOUBT
#define was_published 0
#else
#define was_published (heir && pub_seq[w] != 0 && pub_msg[w] == msg[w])
#endif

/* publish_once() and the commit of the message */
inline execute()
{
	k = key_of(w, asked[w]);
	STEP(hand[w] = msg[w] + 1);
	get();
	if
	:: result == OWNER ->
		if
		:: was_published -> finish(own, pub_seq[w]); answered = 1
		:: !was_published ->
			STEP(
			    assert(ev_period[k] == 0 || ev_period[k] >= r_period[own] + 2 ||
				r_period[own] >= ev_period[k] + 2);
			    ev_period[k] = r_period[own];
			    events++;
			    ev_key[events] = k;
			    pub_seq[w] = events;
			    pub_msg[w] = msg[w]
			);
			finish(own, pub_seq[w]);
			answered = 1
		:: !was_published && give_ups > 0 ->
			STEP(r_seq[own] = GIVEN_UP; give_ups--)
		fi
	:: result == ANSWERED -> answered = 1
	:: else ->		/* 409 or 503: the client asks once more */
		skip
	fi;
	result = 0;
	own = 0;
	k = 0;
	STEP(
	    if
	    :: answered -> asked[w]++; msg[w]++
	    :: else
	    fi;
	    if
	    :: !heir -> hand[w] = 0
	    :: else
	    fi
	);
	answered = 0
}

/* What is left of pool r by a message that nobody executes again */
inline settle_one(par)
{
	STEP(own = used[w * 2 + par]);
	if
	:: own != 0 ->
		own = (w * 2 + par) * POOL + own - 1;
		STEP(c_seq = r_seq[own]);
		if
#if MUTANT == M_SETTLE_BLIND
		:: c_seq == 0 -> STEP(r_seq[own] = GIVEN_UP)
#else
		:: c_seq == 0 && doubt_seq != 0 && doubt_msg == r_msg[own] ->
			finish(own, doubt_seq)
		:: c_seq == 0 && !(doubt_seq != 0 && doubt_msg == r_msg[own]) ->
			STEP(r_seq[own] = GIVEN_UP)
#endif
		:: else
		fi
	:: else
	fi;
	own = 0;
	c_seq = 0
}

proctype worker(bit w)
{
	byte p, at, v, found, own, result;
	byte c_rec, c_msg, c_seq, doubt_seq, doubt_msg, known;
	bit k, ok, done, c_key, c_epoch, c_hand, fresh, answered, heir;

life:
	do
	:: !heir && asked[w] < ASKS -> execute()
	:: heir ->
		/* event_recover() */
		doubt_seq = pub_seq[w];
		doubt_msg = pub_msg[w];
		if
		:: hand[w] == msg[w] + 1 && asked[w] < ASKS -> execute()
		:: hand[w] == msg[w] + 1 -> STEP(msg[w]++)	/* its connection is lost */
		:: hand[w] != msg[w] + 1
		fi;
#if MUTANT != M_NO_SETTLE
		settle_one(0);
		settle_one(1);
#endif
		STEP(hand[w] = 0);
		doubt_seq = 0;
		doubt_msg = 0;
		heir = 0
	:: !heir && asked[w] >= ASKS -> break
	od;
	goto gone;
dead:
	atomic {
		p = 0;
		at = 0;
		v = 0;
		found = 0;
		own = 0;
		result = 0;
		c_rec = 0;
		c_msg = 0;
		c_seq = 0;
		doubt_seq = 0;
		doubt_msg = 0;
		k = 0;
		ok = 0;
		done = 0;
		c_key = 0;
		c_epoch = 0;
		c_hand = 0;
		known = 0;
		fresh = 0;
		answered = 0;
		heir = 1;
		goto life
	}
gone:
	skip
}

proctype master()
{
	do
	:: atomic { turns > 0 -> turns--; period++ }
	:: else -> break
	od
}

init
{
	atomic {
		run worker(0);
		run worker(1);
		run master()
	}
}
