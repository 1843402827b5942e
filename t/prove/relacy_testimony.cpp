/*
 * Testimony, shm/event.c: a publisher says what it intends and installs its cell; another one laps
 * it. The heir, which comes after the first one's death (here: later in its thread), finds its cell
 * or its flag turned to SEEN, whatever the other does meanwhile.
 */
#include "t/prove/orders.hpp"

enum { PENDING = 1, SEEN = 2, MINE = 1, OTHERS = 2 };

struct testimony_test : rl::test_suite<testimony_test, 2> {
	std::atomic<unsigned> cell, intent;

	void
	before()
	{
		cell($) = 0;
		intent($) = 0;
	}

	void
	publish_and_die()
	{
		unsigned old = 0;

		intent.store(PENDING, ORDER(1, seq_cst, relaxed));
		cell.compare_exchange_strong(old, MINE, ORDER(1, seq_cst, relaxed));
	}

	void
	heir()
	{
		if (cell.load(ORDER(2, seq_cst, relaxed)) == MINE)
			return;
		RL_ASSERT(intent.load(ORDER(2, seq_cst, relaxed)) == SEEN);
	}

	void
	lap()
	{
		unsigned want = PENDING, old = cell.load(ORDER(3, seq_cst, relaxed));

		if (old != MINE)
			return;
#if MUTANT == 4
		cell.compare_exchange_strong(old, OTHERS, std::memory_order_seq_cst);
#endif
		if (intent.load(std::memory_order_relaxed) == PENDING)
			intent.compare_exchange_strong(want, SEEN, std::memory_order_seq_cst);
#if MUTANT != 4
		cell.compare_exchange_strong(old, OTHERS, std::memory_order_seq_cst);
#endif
	}

	void
	thread(unsigned index)
	{
		if (index == 0) {
			publish_and_die();
			heir();
		} else
			lap();
	}
};

int
main()
{
	return run<testimony_test>();
}
