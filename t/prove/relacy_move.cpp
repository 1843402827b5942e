/*
 * A writer publishes, its cleaner moves the record forward, shm/arena.c, and it dies; another
 * publisher laps it at any moment, shm/event.c. The event of the other stays, and the heir knows
 * that its own took place although no cell names the record of the intent.
 */
#include "t/prove/orders.hpp"

enum { HERE = 1, MOVED = 2, OTHERS = 3, PENDING = 0, SEEN = 1 };

struct move_test : rl::test_suite<move_test, 2> {
	std::atomic<unsigned> cell, intent;
	bool lapped;

	void
	before()
	{
		cell($) = 0;
		intent($) = 0;
		lapped = false;
	}

	static unsigned
	intent_of(unsigned record, unsigned flag)
	{
		return record * 2 + flag;
	}

	void
	publish()
	{
		unsigned old = 0;

		intent.store(intent_of(HERE, PENDING), std::memory_order_seq_cst);
		cell.compare_exchange_strong(old, HERE, std::memory_order_seq_cst);
#if MUTANT != 2
		intent.store(intent_of(HERE, SEEN), std::memory_order_release);
#endif
	}

	void
	move()
	{
		unsigned old = HERE;

		if (cell.load(std::memory_order_relaxed) != HERE)
			return;
#if MUTANT == 1
		cell.store(MOVED, std::memory_order_release);
#else
		cell.compare_exchange_strong(old, MOVED, std::memory_order_acq_rel);
#endif
	}

	void
	recover()
	{
		if (cell.load(std::memory_order_seq_cst) != HERE)
			RL_ASSERT(intent.load(std::memory_order_seq_cst) == intent_of(HERE, SEEN));
	}

	/* The record it overwrites was read before, and may have been moved since. */
	void
	lap()
	{
		unsigned old = cell.load(std::memory_order_seq_cst);

		for (int i = 0; i < 3 && old != 0 && !lapped; i++) {
			unsigned want = intent_of(old, PENDING);

			if (intent.load(std::memory_order_relaxed) == want)
				intent.compare_exchange_strong(want, intent_of(old, SEEN),
				    std::memory_order_seq_cst);
			lapped = cell.compare_exchange_strong(old, OTHERS,
			    std::memory_order_seq_cst);
		}
	}

	void
	thread(unsigned index)
	{
		if (index == 0) {
			publish();
			move();
			recover();
		} else
			lap();
	}

	void
	after()
	{
		RL_ASSERT(!lapped || cell.load(std::memory_order_seq_cst) == OTHERS);
	}
};

int
main()
{
	return run<move_test>();
}
