/*
 * The handshake of sleep, shm/dirty.c: two publishers mark, one of them may find the marks set and
 * leaves them; the reader takes the marks, reads, announces its sleep and looks once more. At the
 * end nobody who sleeps without having been woken has missed an event.
 */
#include "t/prove/orders.hpp"

struct sleep_test : rl::test_suite<sleep_test, 3> {
	std::atomic<unsigned> cell, word, summary, sleeping, event_fd;
	unsigned seen;
	bool asleep;

	void
	before()
	{
		cell($) = 0;
		word($) = 0;
		summary($) = 0;
		sleeping($) = 0;
		event_fd($) = 0;
		seen = 0;
		asleep = false;
	}

	/* the cells of a ring are one counter here */
	void
	publish()
	{
		unsigned old = cell.load(std::memory_order_seq_cst);

		while (!cell.compare_exchange_strong(old, old + 1, ORDER(1, seq_cst, acq_rel)))
			;
	}

	void
	set_bit(std::atomic<unsigned> &w)
	{
		if ((w.load(ORDER(2, seq_cst, acquire)) & 1) == 0)
			w.fetch_or(1, ORDER(3, seq_cst, acq_rel));
	}

	void
	mark_and_wake()
	{
		set_bit(word);
		set_bit(summary);
		if (sleeping.load(ORDER(4, seq_cst, acquire)) != 0 &&
		    sleeping.exchange(0, std::memory_order_seq_cst) != 0)
			event_fd.store(1, std::memory_order_seq_cst);
	}

	void
	take()
	{
		if (summary.load(std::memory_order_relaxed) == 0 ||
		    summary.exchange(0, ORDER(5, seq_cst, acq_rel)) == 0 ||
		    word.exchange(0, ORDER(5, seq_cst, acq_rel)) == 0)
			return;
		/* channel_tail() */
		seen = cell.load(ORDER(6, seq_cst, acquire));
	}

	bool
	sleep_begin()
	{
		sleeping.store(1, ORDER(7, seq_cst, release));
		return summary.load(ORDER(8, seq_cst, acquire)) == 0;
	}

	void
	thread(unsigned index)
	{
		if (index < 2) {
			publish();
			mark_and_wake();
			return;
		}
		for (int turn = 0; turn < 4 && !asleep; turn++) {
			if (sleep_begin()) {
				asleep = event_fd.load(std::memory_order_seq_cst) == 0;
				if (asleep)
					break;		/* in poll() */
				event_fd.store(0, std::memory_order_seq_cst);
			}
			sleeping.store(0, std::memory_order_relaxed);
			take();
		}
	}

	void
	after()
	{
		RL_ASSERT(!asleep || event_fd.load(std::memory_order_seq_cst) != 0 ||
		    seen == cell.load(std::memory_order_seq_cst));
	}
};

int
main()
{
	return run<sleep_test>();
}
