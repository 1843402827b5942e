/*
 * Idle connections: user memory of each (PSS of all processes, the region counted once), and as
 * many of them as the limits of descriptors allow over eight workers, reached by one broadcast.
 */
#include "t/bench/bench.h"

#include <sys/resource.h>
#include <unistd.h>

#include "t/bench/floor.h"
#include "t/bench/holder.h"
#include "t/bench/load.h"

enum { MEMORY_CONNECTIONS = 10000, WORKERS = 8, SPARE = 400, EVENTS = 3 };

static double
bytes_of(const struct server *s, unsigned connections)
{
	struct load l;
	uint64_t before = server_memory(s), after;

	load_open(&l, s, connections, 1);
	usleep(300000);
	after = server_memory(s);
	load_close(&l);
	return ((double)after - (double)before) / connections;
}

static void
run_memory(void)
{
	static struct samples mine, bare, ratio;
	struct server plenum, floor;

	server_start_plenum(&plenum, 1, bench_plenum_options);
	samples_add(&mine, bytes_of(&plenum, MEMORY_CONNECTIONS));
	server_stop(&plenum);
	server_start_bare(&floor, "floor", floor_send);
	samples_add(&bare, bytes_of(&floor, MEMORY_CONNECTIONS));
	server_stop(&floor);
	samples_add(&ratio, samples_at(&mine, 0.5) / samples_at(&bare, 0.5));
	bench_row("user memory of an idle subscriber", "B", &mine, &bare, NULL, "plenum ≤ 600");
}

static void
run_many(void)
{
	static struct load publisher;
	struct holder holder[WORKERS];
	struct rlimit l;
	struct server plenum;
	unsigned i, each;
	uint64_t memory, begin;

	getrlimit(RLIMIT_NOFILE, &l);
	/* the kernel spreads them by chance: a worker may get some more than its share */
	each = (unsigned)l.rlim_cur - SPARE - (unsigned)l.rlim_cur / 20;
	server_start_plenum(&plenum, WORKERS, bench_plenum_options);
	load_open(&publisher, &plenum, 0, 1);
	memory = server_memory(&plenum);
	for (i = 0; i < WORKERS; i++)
		holder_start(&holder[i], &plenum, each, 0, i * each + 1);
	memory = server_memory(&plenum) - memory;
	for (i = 0; i < WORKERS; i++)
		holder_expect(&holder[i], EVENTS);
	begin = clock_wall();
	load_publish(&publisher, EVENTS);
	for (i = 0; i < WORKERS; i++)
		holder_finish(&holder[i]);
	bench_note("| %u idle subscribers over %d workers, all reached by %d broadcasts in %.1f s "
	    "(one processor), B of user memory each | %.0f | – | – | all |", WORKERS * each,
	    WORKERS, EVENTS, (double)(clock_wall() - begin) / 1e9,
	    (double)memory / (WORKERS * each));
	for (i = 0; i < WORKERS; i++)
		holder_stop(&holder[i]);
	load_close(&publisher);
	server_stop(&plenum);
}

void
bench_idle(void)
{
	if (bench_wants("idle-memory"))
		run_memory();
	if (bench_wants("idle-many"))
		run_many();
}
