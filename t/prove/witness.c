/*
 * The kernel as witness, in quantity: witness [SEED]
 *
 * An heir asks the kernel how far the streams of a connection got (ipc/witness.h) and believes it
 * to the byte. Here a process does to loopback sockets what clients and networks do, counts by
 * itself what its calls returned, and compares after each call, on accepted sockets. Cases run one
 * after the other, each on fresh connections; writers that are killed inside their call come last:
 * what they handed over is then what their peer reads.
 *
 * TAP; exit status 77 if the kernel has no such counters, 1 if one was wrong.
 */
#define _GNU_SOURCE
#include "ipc/witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUND = 700, KILLS = 300, LOSSY = 40, CHUNK = 40000 };

/* A connection: `fd` was accepted, its peer connected. Counted by what the calls returned. */
struct pair {
	int fd, peer;
	uint64_t written, consumed;
};

struct how {
	int sndbuf, rcvbuf;		/* 0: the system's */
	int window;			/* of the peer, TCP_WINDOW_CLAMP */
	unsigned loss;			/* per cent, of what comes in on either side */
	bool urgent;			/* SO_OOBINLINE on both sides */
};

static unsigned char bytes[CHUNK];
static uint64_t state;
static uint64_t compared, wrong;	/* in this case */
static uint64_t all, resent;
static unsigned tests, failed;

static uint64_t
rnd(uint64_t n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (state >> 33) % n;
}

/* ---- sockets ---- */

static void
stop(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
set(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof value) != 0)
		stop("setsockopt");
}

/* Drops that many of a hundred segments that come in; the kernel sends them again. */
static void
lose(int fd, unsigned percent)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)(UINT32_MAX / 100 * percent), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { sizeof code / sizeof code[0], code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) != 0)
		stop("SO_ATTACH_FILTER");
}

static void
set_up(int fd, const struct how *how)
{
	if (how->sndbuf > 0)
		set(fd, SOL_SOCKET, SO_SNDBUF, how->sndbuf);
	if (how->rcvbuf > 0)
		set(fd, SOL_SOCKET, SO_RCVBUF, how->rcvbuf);
	if (how->urgent)
		set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
}

static struct pair
pair_open(const struct how *how)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof a;
	struct pair p = { 0 };

	p.peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l < 0 || p.peer < 0)
		stop("socket");
	set_up(l, how);
	set_up(p.peer, how);
	if (bind(l, (struct sockaddr *)&a, sizeof a) != 0 || listen(l, 1) != 0 ||
	    getsockname(l, (struct sockaddr *)&a, &n) != 0)
		stop("listen");
	if (connect(p.peer, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS)
		stop("connect");
	p.fd = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (p.fd < 0)
		stop("accept");
	close(l);
	if (how->urgent)
		set(p.fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (how->window > 0)
		set(p.peer, IPPROTO_TCP, TCP_WINDOW_CLAMP, how->window);
	if (how->loss > 0) {
		lose(p.fd, how->loss);
		lose(p.peer, how->loss);
	}
	return p;
}

static void
pair_close(struct pair *p)
{
	struct tcp_info t;
	socklen_t n = sizeof t;

	if (getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &t, &n) == 0)
		resent += t.tcpi_total_retrans;
	close(p->fd);
	close(p->peer);
}

/* ---- the comparisons ---- */

static void
compare(const char *what, uint64_t witness, uint64_t truth)
{
	compared++;
	if (witness != truth && wrong++ < 5)
		printf("# %s: %llu by the kernel, %llu by the calls\n", what,
		    (unsigned long long)witness, (unsigned long long)truth);
}

static void
look(const struct pair *p)
{
	compare("written", witness_written(p->fd), p->written);
	compare("consumed", witness_consumed(p->fd), p->consumed);
}

static void
write_some(struct pair *p, size_t n, int flags)
{
	ssize_t r = send(p->fd, bytes, n, flags | MSG_NOSIGNAL | MSG_DONTWAIT);

	if (r > 0)
		p->written += (uint64_t)r;
	look(p);
}

static void
read_some(struct pair *p, size_t n)
{
	static unsigned char sink[CHUNK];
	ssize_t r = recv(p->fd, sink, n, MSG_DONTWAIT);

	if (r > 0)
		p->consumed += (uint64_t)r;
	look(p);
}

/* The peer's side is not compared: it connected, and is not what an heir inherits. */
static void
peer_writes(struct pair *p, size_t n, int flags)
{
	(void)!send(p->peer, bytes, n, flags | MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
peer_reads(struct pair *p, size_t n)
{
	static unsigned char sink[CHUNK];

	(void)!recv(p->peer, sink, n, MSG_DONTWAIT);
}

static void
wait_for(int fd, short events, int ms)
{
	struct pollfd f = { .fd = fd, .events = events };

	poll(&f, 1, ms);
}

/* Anything in any order, by either side. */
static void
mix(struct pair *p, unsigned calls, size_t most, int flags)
{
	while (calls-- > 0)
		switch (rnd(8)) {
		case 0:
		case 1:
		case 2:
			write_some(p, 1 + rnd(most), rnd(2) ? flags : 0);
			break;
		case 3:
			read_some(p, 1 + rnd(most));
			break;
		case 4:
			peer_writes(p, 1 + rnd(most), rnd(4) ? 0 : flags);
			break;
		case 5:
			wait_for(p->fd, POLLIN, 1);
			look(p);
			break;
		default:
			peer_reads(p, 1 + rnd(most));
		}
}

/* ---- cases ---- */

static void
say(const char *sentence)
{
	tests++;
	all += compared;
	if (wrong > 0)
		failed++;
	printf("%s %u - %s (%llu comparisons", wrong > 0 ? "not ok" : "ok", tests, sentence,
	    (unsigned long long)compared);
	if (wrong > 0)
		printf(", %llu wrong", (unsigned long long)wrong);
	if (resent > 0)
		printf(", %llu segments sent again", (unsigned long long)resent);
	puts(")");
	fflush(stdout);
	compared = wrong = resent = 0;
}

static void
run(const char *sentence, struct how how, unsigned pairs, size_t most, int flags)
{
	struct pair p;

	while (pairs-- > 0) {
		p = pair_open(&how);
		look(&p);
		mix(&p, ROUND, most, flags);
		pair_close(&p);
	}
	say(sentence);
}

/* A buffer that is full until the peer reads a little. */
static void
full_buffers(void)
{
	struct how how = { .sndbuf = 4096, .rcvbuf = 4096 };
	unsigned i, k;
	struct pair p;

	for (i = 0; i < 20; i++) {
		p = pair_open(&how);
		for (k = 0; k < 300; k++) {
			write_some(&p, 1 + rnd(CHUNK), 0);
			if (k % 8 == 7) {
				peer_reads(&p, 1 + rnd(2000));
				wait_for(p.fd, POLLOUT, 1);
				look(&p);
			}
		}
		pair_close(&p);
	}
	say("buffers that are full");
}

/* What is sent again takes its time, so many at once. */
static void
loss(unsigned percent, const char *sentence)
{
	struct pair p[LOSSY];
	unsigned i, k;

	for (i = 0; i < LOSSY; i++)
		p[i] = pair_open(&(struct how){ .loss = percent });
	for (k = 0; k < 150; k++) {
		for (i = 0; i < LOSSY; i++)
			mix(&p[i], 4, 8000, 0);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	for (i = 0; i < LOSSY; i++)
		pair_close(&p[i]);
	say(sentence);
}

static void
half_close(void)
{
	struct how how = { .sndbuf = 8192 };
	unsigned i, k;
	struct pair p;

	for (i = 0; i < 150; i++) {
		p = pair_open(&how);
		mix(&p, (unsigned)rnd(60), 3000, 0);
		shutdown(p.peer, SHUT_WR);
		for (k = 0; k < 40; k++) {
			write_some(&p, 1 + rnd(3000), 0);
			read_some(&p, 1 + rnd(500));
			if (k % 4 == 0)
				peer_reads(&p, 1 + rnd(3000));
		}
		pair_close(&p);
	}
	say("after the peer's FIN, read before and behind it");
}

/* Either count stands from then on, whether or not there was something left to read. */
static void
reset(void)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	unsigned i, k;
	struct pair p;

	for (i = 0; i < 200; i++) {
		p = pair_open(&(struct how){ .sndbuf = 8192 });
		mix(&p, (unsigned)rnd(60), 3000, 0);
		setsockopt(p.peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(p.peer);
		for (k = 0; k < 20; k++) {
			look(&p);
			if (rnd(2))
				read_some(&p, 1 + rnd(1000));
			else
				write_some(&p, 1 + rnd(1000), 0);
		}
		p.peer = -1;
		pair_close(&p);
	}
	say("after the peer's RST");
}

/* ---- a writer that is killed in its call ---- */

struct killed {
	_Atomic uint64_t before;	/* bytes of the calls that returned */
	_Atomic uint32_t calls;
};

static void
write_for_ever(struct pair *p, struct killed *k)
{
	uint64_t sum = 0;
	ssize_t r;

	for (;;) {
		r = send(p->fd, bytes, 1 + rnd(CHUNK), MSG_NOSIGNAL);
		if (r > 0)
			sum += (uint64_t)r;
		k->before = sum;
		k->calls++;
		if (r < 0)
			wait_for(p->fd, POLLOUT, 1);
	}
}

/* What the peer gets of it in all: the truth that no call told. */
static uint64_t
drain(struct pair *p)
{
	static unsigned char sink[CHUNK];
	uint64_t sum = 0;
	ssize_t r;

	for (;;) {
		r = recv(p->peer, sink, sizeof sink, MSG_DONTWAIT);
		if (r == 0)
			return sum;
		if (r > 0)
			sum += (uint64_t)r;
		else if (errno == EAGAIN)
			wait_for(p->peer, POLLIN, 1000);
		else
			stop("recv");
	}
}

static unsigned
kill_writer(struct killed *k, unsigned i)
{
	struct pair p = pair_open(&(struct how){ .sndbuf = i % 3 == 0 ? 4096 : 0 });
	struct timespec rest = { .tv_nsec = (long)rnd(1500) * 1000 };
	static unsigned char sink[CHUNK];
	uint64_t got = 0, by_kernel;
	bool blocking = i % 2 == 0;	/* waits in the call */
	unsigned uncounted;
	pid_t pid;
	ssize_t r;
	int n;

	if (blocking)
		fcntl(p.fd, F_SETFL, 0);
	k->before = 0;
	k->calls = 0;
	pid = fork();
	if (pid < 0)
		stop("fork");
	if (pid == 0) {
		state += i;
		write_for_ever(&p, k);
	}
	for (n = 0; n < 20 && k->calls == 0; n++)
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	for (n = (int)rnd(30); n > 0; n--)
		if ((r = recv(p.peer, sink, 1 + rnd(sizeof sink), MSG_DONTWAIT)) > 0)
			got += (uint64_t)r;
	nanosleep(&rest, NULL);
	kill(pid, SIGKILL);
	if (waitpid(pid, NULL, 0) != pid)
		stop("waitpid");
	by_kernel = witness_written(p.fd);
	shutdown(p.fd, SHUT_WR);
	got += drain(&p);
	compare("written by the killed", by_kernel, got);
	uncounted = got != k->before;
	pair_close(&p);
	return uncounted;
}

static void
killed_writers(void)
{
	struct killed *k = mmap(NULL, sizeof *k, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned i, uncounted = 0;
	char sentence[120];

	if (k == MAP_FAILED)
		stop("mmap");
	for (i = 0; i < KILLS; i++)
		uncounted += kill_writer(k, i);
	snprintf(sentence, sizeof sentence, "writers killed inside send(), %u of which had handed "
	    "over more than they knew", uncounted);
	say(sentence);
}

int
main(int argc, char **argv)
{
	char why[120];

	if (!witness_selftest(why, sizeof why)) {
		printf("1..0 # SKIP %s\n", why);
		return 77;
	}
	state = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)state);
	memset(bytes, 'w', sizeof bytes);
	run("any order of reads and writes", (struct how){ 0 }, 40, 2000, 0);
	run("partial writes", (struct how){ .sndbuf = 8192 }, 30, CHUNK, 0);
	full_buffers();
	run("tiny windows", (struct how){ .rcvbuf = 2304, .window = 1024 }, 20, 4000, 0);
	run("MSG_MORE", (struct how){ 0 }, 20, 2000, MSG_MORE);
	loss(5, "one segment of twenty is lost, either way");
	loss(20, "one segment of five is lost, either way");
	half_close();
	reset();
	run("urgent bytes, inline", (struct how){ .urgent = true }, 20, 500, MSG_OOB);
	killed_writers();
	printf("1..%u\n# %llu comparisons\n", tests, (unsigned long long)all);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
