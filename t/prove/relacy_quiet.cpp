/*
 * Quiescence, master/retire.c: the master takes a record off the table and uses it again when the
 * worker has begun its second turn since. What a worker finds by a look-up it keeps for that turn.
 * Store and look on both sides cross, so all four are sequentially consistent here.
 */
#include "t/prove/orders.hpp"

enum { LAST_TURN = 5, LOOKS = 4, TURNS = MUTANT == 5 ? 0 : 2 };

struct quiet_test : rl::test_suite<quiet_test, 2> {
	std::atomic<unsigned> bucket, quiet, name;

	void
	before()
	{
		bucket($) = 1;
		quiet($) = 0;
		name($) = 1;
	}

	void
	turn(unsigned count)
	{
		quiet.store(count, ORDER(1, seq_cst, release));
		if (bucket.load(ORDER(2, seq_cst, acquire)) != 0)
			RL_ASSERT(name.load(std::memory_order_acquire) == 1);
	}

	void
	retire()
	{
		unsigned old = 1, was;

		bucket.compare_exchange_strong(old, 0, ORDER(3, seq_cst, acq_rel));
		was = quiet.load(ORDER(4, seq_cst, acquire));
		for (int i = 0; i < LOOKS; i++)
			if (quiet.load(std::memory_order_acquire) - was >= TURNS) {
				name.store(2, std::memory_order_release);
				return;
			}
	}

	void
	thread(unsigned index)
	{
		if (index == 1)
			retire();
		else
			for (unsigned count = 1; count <= LAST_TURN; count++)
				turn(count);
	}
};

int
main()
{
	return run<quiet_test>();
}
