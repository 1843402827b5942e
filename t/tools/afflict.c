/*
 * afflict: does to a process what a bug would do to it.
 *
 *	afflict loop PID	it runs in an endless loop from here on
 *	afflict linger PID MS	when it ends, from whatever cause, that takes so long
 *	afflict poison KEEPER WORKER	a message that ends workers: the next that is received
 *
 * loop: the process is stopped, a jump to itself is written into its text (into its copy of the
 * page: text is mapped privately) and it goes on there.
 *
 * linger: a process that dumps core runs no more and is not gone. Here the tracer stops it at the
 * beginning of its end and lets go later. SIGKILL, which ends a dump, does not shorten this.
 *
 * poison: the worker gets SIGSEGV as soon as recv() has given it something. Its heir, which is
 * traced from its birth because its keeper is, asks the kernel how much of that connection was
 * read, and gets SIGSEGV some hundred instructions later, with the message in hand that it has not
 * finished.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEIR_STEPS = 600 };	/* to count the suspect takes less, to process it more */

static void
pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static void
attach(pid_t pid, long options)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, 0, options) != 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0)
		err(1, "cannot attach to %d", (int)pid);
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		errx(1, "%d does not stop", (int)pid);
}

static int
loop(pid_t pid)
{
	struct user_regs_struct regs;
	unsigned long word;

	attach(pid, 0);
	if (ptrace(PTRACE_GETREGS, pid, 0, &regs) != 0)
		err(1, "registers");
	errno = 0;
	word = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, regs.rip, 0);
	if (errno != 0)
		err(1, "text");
	word = (word & ~0xfffful) | 0xfeeb;		/* jmp . */
	if (ptrace(PTRACE_POKETEXT, pid, regs.rip, word) != 0)
		err(1, "text");
	regs.orig_rax = (unsigned long)-1;	/* a call that it is in is not begun again */
	if (ptrace(PTRACE_SETREGS, pid, 0, &regs) != 0 || ptrace(PTRACE_DETACH, pid, 0, 0) != 0)
		err(1, "%d does not go on", (int)pid);
	return 0;
}

/* Signals are handed on until the end comes. */
static int
linger(pid_t pid, long ms)
{
	int status;

	attach(pid, PTRACE_O_TRACEEXIT);
	printf("attached\n");
	fflush(stdout);
	ptrace(PTRACE_CONT, pid, 0, 0);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
			pause_ms(ms);
			ptrace(PTRACE_DETACH, pid, 0, 0);
			return 0;
		}
		ptrace(PTRACE_CONT, pid, 0, status >> 16 != 0 ? 0 : WSTOPSIG(status));
	}
	return 0;
}

/* --- poison --- */

static bool
has_received(const struct user_regs_struct *r)
{
	return (r->orig_rax == SYS_recvfrom || r->orig_rax == SYS_recvmsg) && (long)r->rax > 0;
}

static pid_t the_keeper;
static pid_t newborn;		/* started by the keeper; at its first instruction */

/* The next stop of that process; the keeper goes on meanwhile. False: it is gone. */
static bool
next_stop(pid_t pid, int *status)
{
	pid_t got;

	while ((got = waitpid(-1, status, __WALL)) > 0) {
		if (got == pid)
			return WIFSTOPPED(*status);
		if (got == the_keeper)
			ptrace(PTRACE_CONT, got, 0, 0);
		else if (WIFSTOPPED(*status))
			newborn = got;
	}
	return false;
}

/* What to hand on of a stop: a signal, but for those that tracing itself is the cause of. */
static int
signal_of(int status)
{
	int sig = WSTOPSIG(status);

	return sig == (SIGTRAP | 0x80) || status >> 16 != 0 || sig == SIGTRAP ? 0 : sig;
}

static void
end_by_fault(pid_t pid)
{
	int status;

	ptrace(PTRACE_CONT, pid, 0, SIGSEGV);
	while (next_stop(pid, &status))
		ptrace(PTRACE_CONT, pid, 0, signal_of(status));
}

/* Runs it to the end of a system call that is wanted; false: it is gone. */
static bool
run_to_call(pid_t pid, bool (*wanted)(const struct user_regs_struct *), struct user_regs_struct *r)
{
	struct __ptrace_syscall_info info;
	int status, sig = 0;

	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, 0, sig);
		if (!next_stop(pid, &status))
			return false;
		sig = signal_of(status);
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_EXIT &&
		    ptrace(PTRACE_GETREGS, pid, 0, r) == 0 && wanted(r))
			return true;
	}
}

/* The connection whose message it is: the same number in both tables, as they are one. */
static unsigned long long poisoned_fd;

static bool
asks_how_much(const struct user_regs_struct *r)
{
	return r->orig_rax == SYS_ioctl && r->rdi == poisoned_fd && r->rsi == FIONREAD;
}

/* It asks twice, before and behind the other question. */
static bool
asks_again(const struct user_regs_struct *r)
{
	return r->orig_rax == SYS_getsockopt && r->rdi == poisoned_fd;
}

/* True: it made that many steps without a system call. */
static bool
steps(pid_t pid, unsigned n)
{
	struct user_regs_struct r;
	int status;

	while (n-- > 0) {
		if (ptrace(PTRACE_GETREGS, pid, 0, &r) != 0 ||
		    (ptrace(PTRACE_PEEKTEXT, pid, r.rip, 0) & 0xffff) == 0x050f)
			return false;
		ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
		if (!next_stop(pid, &status))
			return false;
	}
	return true;
}

static pid_t
wait_heir(void)
{
	int status;
	pid_t got;

	while (newborn == 0 && (got = waitpid(-1, &status, __WALL)) > 0) {
		if (got == the_keeper)
			ptrace(PTRACE_CONT, got, 0, 0);
		else if (WIFSTOPPED(status))
			newborn = got;
	}
	if (newborn == 0)
		errx(1, "the keeper starts nobody");
	ptrace(PTRACE_SETOPTIONS, newborn, 0, PTRACE_O_TRACESYSGOOD);
	return newborn;
}

static int
poison(pid_t keeper, pid_t worker)
{
	struct user_regs_struct r;
	pid_t heir;

	the_keeper = keeper;
	attach(keeper, PTRACE_O_TRACEFORK);
	ptrace(PTRACE_CONT, keeper, 0, 0);
	attach(worker, PTRACE_O_TRACESYSGOOD);
	printf("attached\n");
	fflush(stdout);
	if (!run_to_call(worker, has_received, &r))
		errx(1, "the worker ended");
	poisoned_fd = r.rdi;
	end_by_fault(worker);
	heir = wait_heir();
	do {
		if (!run_to_call(heir, asks_how_much, &r) || !run_to_call(heir, asks_again, &r))
			errx(1, "the heir did not ask for the connection");
	} while (!steps(heir, HEIR_STEPS));
	end_by_fault(heir);
	return 0;
}

int
main(int argc, char **argv)
{
	pid_t pid = argc > 2 ? (pid_t)atoi(argv[2]) : 0;

	if (argc == 3 && pid > 0 && strcmp(argv[1], "loop") == 0)
		return loop(pid);
	if (argc == 4 && pid > 0 && strcmp(argv[1], "linger") == 0)
		return linger(pid, atol(argv[3]));
	if (argc == 4 && pid > 0 && strcmp(argv[1], "poison") == 0)
		return poison(pid, (pid_t)atoi(argv[3]));
	fprintf(stderr, "usage: afflict loop PID | linger PID MS | poison KEEPER WORKER\n");
	return 2;
}
