#include "t/bench/holder.h"

#include <err.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/bench/load.h"

static void
hold(const struct server *s, unsigned n, unsigned room, unsigned nth, int in, int out)
{
	struct load l;
	uint64_t events;

	load_listen(&l, s, n, room, nth);
	if (write(out, "r", 1) != 1 || read(in, &events, sizeof events) != sizeof events)
		_exit(1);
	l.due = n * events;
	load_wait(&l);
	_exit(write(out, "d", 1) != 1);
}

static void
expect_byte(struct holder *h)
{
	char c;

	if (read(h->up, &c, 1) != 1)
		errx(1, "a holder of connections failed");
}

void
holder_start(struct holder *h, const struct server *s, unsigned n, unsigned room, unsigned nth)
{
	int up[2], down[2];

	if (pipe(up) != 0 || pipe(down) != 0)
		err(1, "pipe");
	h->pid = fork();
	if (h->pid < 0)
		err(1, "fork");
	if (h->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(up[0]);
		close(down[1]);
		hold(s, n, room, nth, down[0], up[1]);
	}
	close(up[1]);
	close(down[0]);
	h->up = up[0];
	h->down = down[1];
	expect_byte(h);
}

void
holder_expect(struct holder *h, uint64_t events)
{
	if (write(h->down, &events, sizeof events) != sizeof events)
		err(1, "holder");
}

void
holder_finish(struct holder *h)
{
	expect_byte(h);
}

void
holder_stop(struct holder *h)
{
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
	close(h->up);
	close(h->down);
}
