/*
 * A record is written, gets its seq and is published by the CAS of its cell, shm/event.c; then the
 * cleaner moves it forward, shm/arena.c. A reader that comes to it by the cell reads its data.
 */
#include "t/prove/orders.hpp"

struct publish_test : rl::test_suite<publish_test, 2> {
	std::atomic<unsigned> seq[2], data[2], cell;

	void
	before()
	{
		for (unsigned i = 0; i < 2; i++) {
			seq[i]($) = 0;
			data[i]($) = 0;
		}
		cell($) = 0;
	}

	void
	publish()
	{
		unsigned old = 0;

		data[0].store(7, std::memory_order_release);
		/* either would do; without both the reader may see the seq before the data */
		seq[0].store(1, ORDER(1, release, relaxed));
		cell.compare_exchange_strong(old, 1, ORDER(1, seq_cst, relaxed));
	}

	/* The copy carries its seq from the first, so here it hangs on the cell alone. */
	void
	move()
	{
		unsigned old = 1;

		seq[1].store(1, std::memory_order_release);
		data[1].store(7, std::memory_order_release);
		cell.compare_exchange_strong(old, 2, ORDER(2, acq_rel, relaxed));
	}

	void
	thread(unsigned index)
	{
		if (index == 0) {
			publish();
			move();
			return;
		}
		unsigned at = cell.load(ORDER(3, acquire, relaxed));
		if (at != 0 && seq[at - 1].load(std::memory_order_acquire) == 1)
			RL_ASSERT(data[at - 1].load(std::memory_order_acquire) == 7);
	}
};

int
main()
{
	return run<publish_test>();
}
