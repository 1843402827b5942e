/*
 * The new program is opened once and handed to the keepers as a descriptor, so that all become the
 * same one, whatever lies at the path meanwhile. Before anything else it is run with -t and the
 * region: it says whether it takes the configuration and knows the memory.
 *
 * If it does not know the memory, nothing can be handed on: plenumd drains as by QUIT, in each
 * protocol's words, and becomes the new program with a new epoch.
 *
 * A slot follows when its keeper names the upgrade's number and its worker beats. One that was lost
 * meanwhile comes back as the master's own program, and is told again. A slot that goes back by
 * itself, because a worker of the new program failed, ends the upgrade: those that had followed
 * become the old program again, in the same way.
 *
 * The master becomes the new program by the same call: its number stays, and the pid file with its
 * lock, so nobody else can be the master meanwhile. It keeps nothing but that: it knocks at the
 * doors of the slots, as after a crash.
 */
#define _GNU_SOURCE
#include "master/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/image.h"
#include "ipc/line.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/control.h"
#include "master/master_priv.h"
#include "master/notify.h"
#include "master/options.h"
#include "master/reload.h"
#include "master/serve.h"
#include "master/slots.h"
#include "master/start.h"
#include "master/store.h"
#include "shm/slot_layout.h"

enum {
	CHECK_MS = 20000,
	AGAIN_MS = 500,
	SLOT_MS = 15000,
	ANSWER_MS = 100,		/* for answers to leave before the master's own turn */
	ARGS_MAX = 2 * OPTIONS_DEFINES_MAX + 16,
};

static char program[PATH_MAX];

/* --- the program --- */

/* As a shell finds it. */
static bool
search_path(const char *name)
{
	const char *at = getenv("PATH"), *end;

	for (; at != NULL && *at != '\0'; at = *end == ':' ? end + 1 : end) {
		end = strchrnul(at, ':');
		if (snprintf(program, sizeof program, "%.*s/%s", (int)(end - at), at, name) <
		    (int)sizeof program && program[0] == '/' && access(program, X_OK) == 0)
			return true;
	}
	return false;
}

void
upgrade_init(struct master *m, const char *argv0)
{
	char cwd[PATH_MAX];
	ssize_t n;

	m->upgrade.image = m->upgrade.report = -1;
	if (argv0[0] == '/' &&
	    snprintf(program, sizeof program, "%s", argv0) < (int)sizeof program)
		return;
	if (strchr(argv0, '/') != NULL && getcwd(cwd, sizeof cwd) != NULL &&
	    snprintf(program, sizeof program, "%s/%s", cwd, argv0) < (int)sizeof program)
		return;
	if (strchr(argv0, '/') == NULL && search_path(argv0))
		return;
	n = readlink("/proc/self/exe", program, sizeof program - 1);
	program[n < 0 ? 0 : n] = '\0';
}

/* The arguments of this start, and one more; what points into `room` is valid as long as it is. */
static void
arguments(const struct master *m, const char *first, const char *last, const char **argv)
{
	size_t n = 0, i;

	argv[n++] = program;
	if (first != NULL)
		argv[n++] = first;
	if (m->h.foreground)
		argv[n++] = "-f";
	if (m->source.path != NULL) {
		argv[n++] = "-c";
		argv[n++] = m->source.path;
	}
	for (i = 0; i < m->source.define_count && n < ARGS_MAX - 4; i++) {
		argv[n++] = "-D";
		argv[n++] = m->source.defines[i];
	}
	argv[n++] = last;
	argv[n] = NULL;
}

/* --- its check --- */

_Noreturn static void
run_check(const struct master *m, int report)
{
	const char *argv[ARGS_MAX];
	char region[32];
	int null = open("/dev/null", O_RDONLY);

	dup2(null, 0);
	dup2(report, 1);
	dup2(report, 2);
	fcntl(m->h.region.fd, F_SETFD, 0);
	snprintf(region, sizeof region, "--region=%d", m->h.region.fd);
	arguments(m, "-t", region, argv);
	image_exec(m->upgrade.image, (char *const *)argv);
	fprintf(stderr, "cannot execute %s: %s\n", program, strerror(errno));
	_exit(1);
}

static int
start_check(struct master *m, char *err, size_t n)
{
	struct upgrade *u = &m->upgrade;
	int fd[2];

	u->image = open(program, O_PATH | O_CLOEXEC);
	if (u->image < 0 || pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0) {
		snprintf(err, n, "cannot open %s: %s", program, strerror(errno));
		return -1;
	}
	fflush(NULL);
	u->reaped = false;
	u->filled = 0;
	u->checker = fork();
	if (u->checker == 0)
		run_check(m, fd[1]);
	close(fd[1]);
	u->report = fd[0];
	if (u->checker < 0) {
		snprintf(err, n, "cannot run %s: %s", program, strerror(errno));
		return -1;
	}
	u->until = clock_ms() + CHECK_MS;
	u->state = UPGRADE_CHECK;
	return 0;
}

/* Only what it says last matters. */
static void
read_report(struct upgrade *u)
{
	ssize_t r;

	do {
		if (u->filled == sizeof u->text - 1) {
			memmove(u->text, u->text + u->filled / 2, u->filled - u->filled / 2);
			u->filled -= u->filled / 2;
		}
		r = read(u->report, u->text + u->filled, sizeof u->text - 1 - u->filled);
		u->filled += r > 0 ? (size_t)r : 0;
	} while (r > 0);
	u->text[u->filled] = '\0';
}

static const char *
last_line(struct upgrade *u)
{
	char *nl;

	while (u->filled > 0 && u->text[u->filled - 1] == '\n')
		u->text[--u->filled] = '\0';
	nl = strrchr(u->text, '\n');
	return nl != NULL ? nl + 1 : u->text;
}

/* --- ends --- */

static void
forget(struct upgrade *u)
{
	if (u->image >= 0)
		close(u->image);
	if (u->report >= 0)
		close(u->report);
	memset(u, 0, sizeof *u);
	u->image = u->report = -1;
}

static void
end(struct master *m, const char *error)
{
	forget(&m->upgrade);
	control_upgraded(m->control, error);
	notify_ready();
}

static void
refuse(struct master *m, const char *why)
{
	log_error("upgrade refused, nothing is changed: %s", why);
	end(m, why);
}

static void
begin_drain(struct master *m)
{
	int image = m->upgrade.image;

	log_warning("the new program has another layout of the memory: draining, then it starts "
	    "anew: %s", last_line(&m->upgrade));
	m->upgrade.image = -1;
	end(m, NULL);
	m->successor = image;
	master_enter(m, PHASE_DRAIN);
}

/* --- slots --- */

static struct slot *
slot_of(const struct master *m, unsigned i)
{
	return region_slot(&m->h.region, i);
}

/* One that need not become it. */
static bool
is_done(const struct master *m, unsigned i)
{
	const struct upgrade *u = &m->upgrade;
	const struct slot *s = slot_of(m, i);

	if ((u->back || u->catching_up) && word_get(&s->image) == m->h.image)
		return true;
	return word32_get(&s->upgrade) == u->number && word_get(&s->beat) >= u->ordered;
}

static void
tell_slot(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	enum line_kind kind = u->back ? LINE_IMAGE_BACK : LINE_IMAGE;

	if (word32_get(&slot_of(m, u->slot)->order) <= ORDER_EXEC &&
	    line_tell(m->slot[u->slot].keeper.line, kind, (int32_t)u->number, u->image))
		slots_order(m, u->slot, ORDER_EXEC);
	wake_flush(&m->w);
}

static void
order_slot(struct master *m, unsigned slot)
{
	struct upgrade *u = &m->upgrade;

	u->state = UPGRADE_SLOT;
	u->slot = slot;
	u->ordered = clock_ms();
	u->until = u->ordered + AGAIN_MS;
	if (!is_done(m, slot))
		tell_slot(m);
}

static void
begin_slots(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	u->number = word32_get(&m->h.region.head->upgrade) + 1;
	word32_set(&m->h.region.head->upgrade, u->number);
	order_slot(m, 0);
}

static void
go_back(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	log_error("upgrade given up, going back to the program before");
	close(u->image);
	u->image = image_self();
	u->back = true;
	begin_slots(m);
}

static void
all_slots_done(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	bool back = u->back;

	if (!back && !u->catching_up) {
		log_notice("all slots run the new program, the master follows");
		control_upgraded(m->control, NULL);
		control_reloaded(m->control, "an upgrade came first");
		u->state = UPGRADE_MASTER;
		u->until = clock_ms() + ANSWER_MS;
		return;
	}
	log_notice(back ? "all slots run the program before" : "all slots run this program");
	end(m, back ? "a worker of the new program failed, the one before goes on" : NULL);
}

static void
next_slot(struct master *m)
{
	if (m->upgrade.slot + 1 < serve_count(m))
		order_slot(m, m->upgrade.slot + 1);
	else
		all_slots_done(m);
}

/* Slot 0 has followed; the others wait a while. */
static void
begin_grace(struct master *m)
{
	log_notice("slot 0 runs the new program, the others follow in ms=%u",
	    m->settings.upgrade_grace);
	m->upgrade.state = UPGRADE_GRACE;
	m->upgrade.until = clock_ms() + m->settings.upgrade_grace;
}

/* A slot that was lost has forgotten it. */
static void
remind(struct master *m, uint64_t now)
{
	struct upgrade *u = &m->upgrade;

	if (now < u->until || word32_get(&slot_of(m, u->slot)->order) != ORDER_RUN)
		return;
	u->until = now + AGAIN_MS;
	tell_slot(m);
}

static void
watch_slot(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	const struct slot *s = slot_of(m, u->slot);
	uint64_t now = clock_ms();
	bool failed = word32_get(&s->upgrade_failed) == u->number || now - u->ordered > SLOT_MS;

	if (failed && !u->back && !u->catching_up) {
		go_back(m);
	} else if (failed) {
		log_error("slot does not become the program it should slot=%u", u->slot);
		next_slot(m);
	} else if (!is_done(m, u->slot)) {
		remind(m, now);
	} else if (u->slot == 0 && !u->back && word32_get(&s->upgrade) == u->number) {
		begin_grace(m);
	} else {
		next_slot(m);
	}
}

static void
watch_first(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	const struct slot *s = slot_of(m, 0);

	if (word32_get(&s->upgrade_failed) == u->number && !u->catching_up)
		go_back(m);
	else if (word32_get(&s->upgrade) != u->number)
		order_slot(m, 0);		/* it was lost */
	else if (clock_ms() >= u->until)
		next_slot(m);
}

static void
watch_check(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	char why[2 * UPGRADE_TEXT_MAX];

	read_report(u);
	if (!u->reaped) {
		if (clock_ms() >= u->until)
			kill(u->checker, SIGKILL);
		return;
	}
	read_report(u);
	if (WIFEXITED(u->status) && WEXITSTATUS(u->status) == START_OTHER_LAYOUT) {
		begin_drain(m);
	} else if (!WIFEXITED(u->status) || WEXITSTATUS(u->status) != 0) {
		snprintf(why, sizeof why, "%.300s -t fails: %.500s", program,
		    u->filled > 0 ? last_line(u) : "it says nothing");
		refuse(m, why);
	} else {
		log_notice("upgrade begins program=%s", program);
		begin_slots(m);
	}
}

/* --- the master --- */

static void
become(struct master *m, int image, int pid_fd)
{
	const char *argv[ARGS_MAX];
	char successor[32];

	snprintf(successor, sizeof successor, "--successor=%d", pid_fd);
	arguments(m, NULL, successor, argv);
	notify_export();
	if (pid_fd >= 0)
		fcntl(pid_fd, F_SETFD, 0);
	image_exec(image, (char *const *)argv);
	log_error("cannot become the new program: %s", strerror(errno));
}

void
upgrade_start_anew(struct master *m)
{
	if (m->successor < 0)
		return;
	store_forget(&m->h.region);
	become(m, m->successor, -1);
}

/* --- from outside --- */

int
upgrade_begin(struct master *m, char *err, size_t n)
{
	if (m->upgrade.state != UPGRADE_NONE)
		return 0;		/* it is under way */
	if (m->reload.state != RELOAD_NONE) {
		m->upgrade.state = UPGRADE_WAIT;
		return 0;
	}
	notify_reloading();
	if (start_check(m, err, n) == 0)
		return 0;
	refuse(m, err);
	return -1;
}

void
upgrade_catch_up(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	unsigned i;

	for (i = 0; i < serve_count(m); i++)
		if (word_get(&slot_of(m, i)->image) != m->h.image)
			break;
	if (i == serve_count(m) || u->state != UPGRADE_NONE)
		return;
	log_notice("some slots run another program than this, they follow");
	u->image = image_self();
	u->catching_up = true;
	begin_slots(m);
}

static void
tick_wait(struct master *m)
{
	char err[UPGRADE_TEXT_MAX];

	if (m->reload.state != RELOAD_NONE)
		return;
	m->upgrade.state = UPGRADE_NONE;
	upgrade_begin(m, err, sizeof err);
}

static void
tick_master(struct master *m)
{
	if (clock_ms() < m->upgrade.until)
		return;
	become(m, m->upgrade.image, m->pid_fd);
	go_back(m);
}

void
upgrade_tick(struct master *m)
{
	static void (*const tick[])(struct master *) = {
		[UPGRADE_WAIT] = tick_wait,
		[UPGRADE_CHECK] = watch_check,
		[UPGRADE_SLOT] = watch_slot,
		[UPGRADE_GRACE] = watch_first,
		[UPGRADE_MASTER] = tick_master,
	};

	if (m->upgrade.state != UPGRADE_NONE)
		tick[m->upgrade.state](m);
}

bool
upgrade_reaped(struct master *m, pid_t pid, int status)
{
	if (m->upgrade.checker != pid || m->upgrade.state != UPGRADE_CHECK)
		return false;
	m->upgrade.reaped = true;
	m->upgrade.status = status;
	return true;
}

void
upgrade_abandon(struct master *m)
{
	if (m->upgrade.state == UPGRADE_NONE)
		return;
	if (m->upgrade.state == UPGRADE_CHECK)
		kill(m->upgrade.checker, SIGKILL);
	forget(&m->upgrade);
	control_upgraded(m->control, "plenumd stops");
}
