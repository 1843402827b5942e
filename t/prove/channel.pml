/*
 * Get-or-create, retire and recycle of shm/channel.c and master/retire.c, against publish and join.
 *
 * A table of RECORDS records and one bucket, so that both names share a chain. Worker 0 publishes:
 * in each of its turns it gets a channel by one of two names and publishes there. Worker 1 gets the
 * first name and subscribes; when it is marked it looks, and moves to the successor if the channel
 * was closed; a connection that can take nothing at the moment makes it put that off. The master
 * retires what nobody has an interest in, ROUNDS times. Each may die before every step and is
 * followed by its heir.
 *
 * A ring is a count and a bit here: the CAS of a publisher and that of the master exclude each
 * other (core.pml has the ring). doc/PROOFS.md maps the steps to the code.
 *
 * What must hold:
 *	find		what a look-up returns was open then
 *	close		a subscriber of the closed channel is marked at once
 *	publish		an event goes to an open channel of its name
 *	insert		no two open channels of a name
 *	fill		nobody else can reach the record
 *	end		the subscriber is in the open channel of its name; no record is lost
 *
 * MUTANT breaks a rule.
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#define M_JOIN_BLIND		1	/* join does not look whether the channel is closed */
#define M_NO_QUIESCENCE		2	/* unlinked and used again at once */
#define M_REPAIR_BLIND		3	/* a claim is given back without a look at the chain */
#define M_NO_CLOSING		4	/* unlinked without having been claimed back */
#define M_CLOSE_UNMARKED	5	/* nobody is told of the closing */
#define M_NO_SEARCH		6	/* after a failed CAS the chain is not searched again */
#define M_CLAIMING_LATE		7	/* the slot says what it claims after it has */
#define M_FIND_CLOSED		8	/* look-ups do not pass over a closed channel */
#define M_MASTER_FORGETS	9	/* a new master lets alone what the last had begun */
#define M_RECYCLE_IN_USE	10	/* recycled while somebody still has an interest */
#define M_TAIL_UNCHECKED	11	/* closed although a publish came meanwhile */
#define M_INTEREST_LATE		12	/* join: interest set behind the look at the ring */

#ifndef CRASHES
#define CRASHES 1			/* of workers */
#endif
#ifndef MASTER_CRASHES
#define MASTER_CRASHES 0
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef TURNS
#define TURNS 2				/* of worker 0 */
#endif
#define RECORDS 2

/* claim */
#define FREE 0
#define RETIRED 3
#define CLOSING 4
#define is_open(c) ((c) == 1 || (c) == 2)

byte bucket;				/* record + 1 */
byte next[RECORDS], claim[RECORDS];
bit name[RECORDS], closed[RECORDS];
byte events[RECORDS];
byte interest[RECORDS];			/* bit w */
bit mark[RECORDS];			/* worker 1's; worker 0 subscribes to nothing */
byte claiming[2];
byte sub;				/* record + 1 of the subscription */
byte wait[2];				/* turns that must begin before the batch is quiet */
bit ended[2], master_ended;
bit told[RECORDS];			/* nobody's: the closing was marked for worker 1 */
byte crashes = CRASHES, master_crashes = MASTER_CRASHES;

#define STEP(x) if :: atomic { x } :: atomic { crashes > 0 -> crashes--; goto dead } fi
#define MDIE atomic { master_crashes > 0 -> master_crashes--; goto dead }
#define MSTEP(x) if :: atomic { x } :: MDIE fi

/* With two records. */
#define is_linked(r) (bucket == (r) + 1 || (bucket != 0 && next[bucket - 1] == (r) + 1))
#define is_home(r, n) (is_open(claim[r]) && name[r] == (n) && !closed[r])

#if MUTANT == M_FIND_CLOSED
#define FOUND(r, n) (is_open(claim[r]) && name[r] == (n))
#else
#define FOUND(r, n) is_home(r, n)
#endif

/* search(): `at` is where; found is record + 1 */
inline search(n)
{
	found = 0;
	steps = 0;
	do
	:: at != 0 && found == 0 ->
		steps++;
		assert(steps <= RECORDS + 1);
		STEP(
		    if
		    :: FOUND(at - 1, n) -> found = at; assert(!closed[at - 1])
		    :: else
		    fi;
		    at = next[at - 1]
		)
	:: else -> break
	od;
	at = 0;
	steps = 0
}

/* claim(): any that is free */
inline take_free()
{
	if
	:: claim[0] == FREE -> mine = 1
	:: claim[1] == FREE -> mine = 2
	:: claim[0] != FREE && claim[1] != FREE
	fi;
	if
	:: mine != 0 ->
#if MUTANT != M_CLAIMING_LATE
		STEP(claiming[w] = mine);
#endif
		STEP(
		    if
		    :: claim[mine - 1] == FREE -> claim[mine - 1] = w + 1
		    :: else -> mine = 0
		    fi
		);
#if MUTANT == M_CLAIMING_LATE
		STEP(claiming[w] = mine);
#endif
	:: else
	fi
}

inline give_back()
{
	STEP(claim[mine - 1] = FREE);
	STEP(claiming[w] = 0);
	mine = 0
}

/* channel_get(); found: record + 1, 0: the table is full */
inline get(n)
{
	STEP(top = bucket);
	do
	:: at = top;
#if MUTANT == M_NO_SEARCH
		if
		:: mine == 0 -> search(n)
		:: else -> at = 0
		fi;
#else
		search(n);
#endif
		if
		:: found != 0 ->
			if
			:: mine != 0 -> give_back()
			:: else
			fi;
			break
		:: else ->
			if
			:: mine == 0 ->
				take_free();
				if
				:: mine != 0 ->
					/* fill() */
					STEP(
					    assert(!is_linked(mine - 1) && sub != mine);
					    name[mine - 1] = n;
					    interest[mine - 1] = 0
					)
				:: else -> STEP(claiming[w] = 0); break
				fi
			:: else
			fi;
			STEP(next[mine - 1] = top);
			STEP(
			    if
			    :: bucket == top ->
				assert(!is_linked(0) || mine == 1 || !is_home(0, n));
				assert(!is_linked(1) || mine == 2 || !is_home(1, n));
				bucket = mine;
				found = mine
			    :: else -> top = bucket
			    fi
			);
			if
			:: found != 0 -> STEP(claiming[w] = 0); break
			:: else
			fi
		fi
	od;
	top = 0;
	mine = 0
}

/* channel_repair() */
inline repair()
{
	if
	:: claiming[w] != 0 ->
		STEP(mine = claiming[w]; found = (claim[mine - 1] == w + 1 -> 1 : 0));
#if MUTANT != M_REPAIR_BLIND
		if
		:: found -> STEP(found = (is_linked(mine - 1) -> 0 : 1))
		:: else
		fi;
#endif
		if
		:: found ->
			STEP(
			    if
			    :: claim[mine - 1] == w + 1 -> claim[mine - 1] = FREE
			    :: else
			    fi
			)
		:: else
		fi;
		STEP(claiming[w] = 0);
		found = 0;
		mine = 0
	:: else
	fi
}

/* The top of a loop. */
inline turn()
{
	STEP(if :: wait[w] > 0 -> wait[w]-- :: else fi)
}

proctype publisher(bit w)
{
	byte at, found, mine, top, steps;
	bit n;
	byte turns = TURNS;

life:
	repair();
	do
	:: turns > 0 ->
		turn();
		turns--;
		if
		:: n = 0
		:: n = 1
		fi;
		get(n);
		if
		:: found ->
			/* a closed one would be looked up again: the next turn's part */
			STEP(
			    if
			    :: !closed[found - 1] ->
				assert(is_open(claim[found - 1]) && name[found - 1] == n);
				assert(is_linked(found - 1));
				events[found - 1]++
			    :: else
			    fi
			)
		:: else
		fi;
		found = 0;
		n = 0
	:: else -> break
	od;
	ended[w] = 1;
	goto gone;
dead:
	atomic { at = 0; found = 0; mine = 0; top = 0; steps = 0; n = 0 }
	goto life;
gone:
	skip
}

/* channel_get() and channel_join() until one is open; no: the table is full */
inline join()
{
	do
	:: get(0);
		if
		:: found ->
#if MUTANT != M_INTEREST_LATE
			STEP(interest[found - 1] = interest[found - 1] | 2);
#endif
#if MUTANT == M_JOIN_BLIND
			break
#else
			STEP(no = closed[found - 1]);
#if MUTANT == M_INTEREST_LATE
			STEP(interest[found - 1] = interest[found - 1] | 2);
#endif
			if
			:: no -> no = 0
			:: else -> break
			fi
#endif
		:: else -> break
		fi
	od
}

proctype subscriber(bit w)
{
	byte at, found, mine, top, steps, old;
	bit no;

life:
	repair();
	do
	:: sub == 0 ->
		turn();
		join();
		if
		:: found -> STEP(sub = found; found = 0)
		:: else
		fi
	:: mark[0] || mark[1] ->
		turn();
		if
		:: mark[0] -> old = 1
		:: !mark[0] && mark[1] -> old = 2
		fi;
		STEP(mark[old - 1] = 0);
		if
		:: sub != old ->
			/* an interest that nobody here has any more */
			STEP(interest[old - 1] = interest[old - 1] & 1)
		:: else ->
			STEP(no = closed[old - 1]);
			if
			:: no ->
				no = 0;
				if
				:: wait[w] > 0 -> STEP(mark[old - 1] = 1)	/* blocked */
				:: join();
					if
					:: found ->
						STEP(sub = found; found = 0);
						STEP(interest[old - 1] = interest[old - 1] & 1)
					:: else -> STEP(mark[old - 1] = 1)
					fi
				fi
			:: else
			fi
		fi;
		old = 0
	:: wait[w] > 0 -> turn()
	:: atomic {
		master_ended && ended[0] && sub != 0 && !mark[0] && !mark[1] ->
		assert(is_home(sub - 1, 0) && is_linked(sub - 1) && interest[sub - 1] == 2);
		assert(claim[0] == FREE || is_linked(0));
		assert(claim[1] == FREE || is_linked(1));
		assert(claim[0] < RETIRED && claim[1] < RETIRED);
		goto gone
	}
	od;
dead:
	atomic { at = 0; found = 0; mine = 0; top = 0; steps = 0; old = 0; no = 0 }
	/* recover_records() */
	if
	:: sub != 0 -> mark[sub - 1] = 1
	:: else
	fi;
	goto life;
gone:
	skip
}

/* channel_retire(): goes on to `fail` if somebody was faster */
inline retire()
{
	if
	:: is_open(was) && !closed[r] ->
		MSTEP(ok = (interest[r] == 0));
		if
		:: ok -> ok = 0
		:: else -> goto fail
		fi;
		MSTEP(
		    if
#if MUTANT == M_TAIL_UNCHECKED
		    :: 1 -> closed[r] = 1; assert(events[r] == tail)
#else
		    :: events[r] == tail -> closed[r] = 1
#endif
		    :: else -> goto fail
		    fi
		)
	:: else
	fi;
#if MUTANT != M_CLOSE_UNMARKED
	MSTEP(if :: interest[r] -> mark[r] = 1; told[r] = 1 :: else fi);
#endif
#if MUTANT != M_NO_CLOSING
	if
	:: was != CLOSING ->
		MSTEP(if :: claim[r] == was -> claim[r] = CLOSING :: else -> goto fail fi)
	:: else
	fi;
#endif
	MSTEP(ok = (bucket == r + 1); if :: ok -> bucket = next[r] :: else fi);
	if
	:: ok -> ok = 0
	:: else ->
		MSTEP(
		    if
		    :: bucket != 0 && next[bucket - 1] == r + 1 -> next[bucket - 1] = next[r]
		    :: else
		    fi
		)
	fi;
	MSTEP(claim[r] = RETIRED)
}

inline recycle()
{
	MSTEP(wait[0] = (ended[0] -> 0 : 2); wait[1] = 2);
	do
#if MUTANT == M_NO_QUIESCENCE
	:: break
#elif MUTANT == M_RECYCLE_IN_USE
	:: (wait[0] == 0 || ended[0]) && wait[1] == 0 -> break
#else
	:: (wait[0] == 0 || ended[0]) && wait[1] == 0 && interest[r] == 0 -> break
	:: interest[r] && !mark[r] ->
		/* left over by who died, or by a join that came too late; no subscriber needs it */
		MSTEP(assert(sub != r + 1 || told[r]); mark[r] = 1)
#endif
	od;
	MSTEP(wait[0] = 0; wait[1] = 0; closed[r] = 0; told[r] = 0; events[r] = 0);
	MSTEP(claim[r] = FREE)
}

proctype master()
{
	byte was, tail, r;
	bit ok;
	byte rounds = ROUNDS;

life:
	/* what the last one had begun */
#if MUTANT != M_MASTER_FORGETS
	r = 0;
	do
	:: r < RECORDS ->
		MSTEP(was = claim[r]);
		if
		:: was == CLOSING || (is_open(was) && closed[r]) -> retire(); recycle()
		:: was == RETIRED -> recycle()
		:: else
		fi;
		r++
	:: else -> break
	od;
#endif
	do
	:: rounds > 0 ->
		if
		:: r = 0
		:: r = 1
		fi;
		rounds--;
		MSTEP(was = claim[r]; tail = events[r]; ok = (is_open(was) && is_linked(r)));
		if
		:: ok -> ok = 0; retire(); recycle()
		:: else
		fi;
fail:
		was = 0;
		tail = 0;
		ok = 0
	:: else -> break
	od;
	master_ended = 1;
	goto gone;
dead:
	atomic { was = 0; tail = 0; r = 0; ok = 0 }
	goto life;
gone:
	skip
}

init
{
	atomic {
		run publisher(0);
		run subscriber(1);
		run master()
	}
}
