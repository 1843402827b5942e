/*
 * channel_join() against event_publish() and channel_retire(): the subscriber sets its bit and
 * looks at the ring; who changes the ring looks for the bit behind it. So an event that the
 * subscriber did not count as old is marked for it, and a closing that it did not see, too.
 */
#include "t/prove/orders.hpp"

struct join_test : rl::test_suite<join_test, 2> {
	std::atomic<unsigned> cell, interest, mark;
	unsigned from;

	void
	before()
	{
		cell($) = 0;
		interest($) = 0;
		mark($) = 0;
		from = 0;
	}

	void
	thread(unsigned index)
	{
		unsigned old = 0;

		if (index == 0) {
#if MUTANT == 4
			from = cell.load(std::memory_order_seq_cst);
			interest.fetch_or(1, std::memory_order_seq_cst);
#else
			interest.fetch_or(1, ORDER(1, seq_cst, acq_rel));
			from = cell.load(ORDER(2, seq_cst, acquire));
#endif
		} else {
			cell.compare_exchange_strong(old, 1, ORDER(5, seq_cst, acq_rel));
			if (interest.load(ORDER(3, seq_cst, acquire)) != 0)
				mark.store(1, std::memory_order_seq_cst);
		}
	}

	void
	after()
	{
		RL_ASSERT(from == 1 || mark.load(std::memory_order_seq_cst) == 1);
	}
};

int
main()
{
	return run<join_test>();
}
