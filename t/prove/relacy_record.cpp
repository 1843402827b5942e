/*
 * A record of a key is copied while its owner uses it again for a later period and finishes it,
 * shm/idempotency.c. What the copier takes for valid is one record, and one whose seq is there has
 * its epoch.
 */
#include "t/prove/orders.hpp"

enum { OLD = 5, NEW = 7 };

struct record_test : rl::test_suite<record_test, 2> {
	std::atomic<unsigned> period, msg, seq, epoch;

	void
	before()
	{
		period($) = OLD;
		msg($) = 1;
		epoch($) = 8;
		seq($) = 2;
	}

	/* prepare(), then finish() */
	void
	own()
	{
#if MUTANT != 3
		period.store(0, std::memory_order_release);
#endif
		msg.store(2, ORDER(1, release, relaxed));
		epoch.store(0, ORDER(1, release, relaxed));
		seq.store(0, ORDER(1, release, relaxed));
		period.store(NEW, std::memory_order_release);
		epoch.store(9, std::memory_order_release);
		seq.store(3, ORDER(4, release, relaxed));
	}

	/* copy_record() */
	void
	copy()
	{
		unsigned p = period.load(std::memory_order_acquire);
		unsigned m = msg.load(ORDER(2, acquire, relaxed));
		unsigned s = seq.load(ORDER(5, acquire, relaxed));
		unsigned e = epoch.load(ORDER(2, acquire, relaxed));

#if MUTANT != 6
		if (period.load(std::memory_order_acquire) != p)
			return;
#endif
		if (p == OLD)
			RL_ASSERT(m == 1 && s == 2 && e == 8);
		if (p == NEW)
			RL_ASSERT(m == 2 && (s == 0 || (s == 3 && e == 9)));
	}

	void
	thread(unsigned index)
	{
		if (index == 0)
			own();
		else
			copy();
	}
};

int
main()
{
	return run<record_test>();
}
