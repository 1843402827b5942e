/*
 * A reader copies a record while its owner laps it, shm/arena.c. The arena has four words: the
 * record is seq and data at position 2; the one that laps it takes all four, and its data looks
 * like the seq. What the reader takes for valid is the record.
 */
#include "t/prove/orders.hpp"

enum { SIZE = 4, POS = 2 };

struct arena_test : rl::test_suite<arena_test, 2> {
	std::atomic<unsigned> word[SIZE], reserved;

	void
	before()
	{
		for (unsigned i = 0; i < SIZE; i++)
			word[i]($) = 0;
		word[POS]($) = 1;
		word[POS + 1]($) = 11;
		reserved($) = SIZE;
	}

	/* put() */
	void
	append()
	{
		static const unsigned next[SIZE] = { 0, 21, 1, 22 };

#if MUTANT != 2
		reserved.store(2 * SIZE, std::memory_order_release);
#endif
		for (unsigned i = 0; i < SIZE; i++)
			word[i].store(next[i], ORDER(3, release, relaxed));
#if MUTANT == 2
		reserved.store(2 * SIZE, std::memory_order_release);
#endif
	}

	/* arena_copy() */
	void
	copy()
	{
		unsigned data = word[POS + 1].load(ORDER(4, acquire, relaxed));
		bool valid = word[POS].load(std::memory_order_acquire) == 1;

#if MUTANT != 1
		if (reserved.load(std::memory_order_acquire) - POS - 1 >= SIZE)
			valid = false;
#endif
		RL_ASSERT(!valid || data == 11);
	}

	void
	thread(unsigned index)
	{
		if (index == 0)
			append();
		else
			copy();
	}
};

int
main()
{
	return run<arena_test>();
}
