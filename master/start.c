#define _GNU_SOURCE
#include "master/start.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/keeper.h"
#include "ipc/inbox.h"
#include "ipc/log.h"
#include "ipc/witness.h"
#include "master/adopt.h"
#include "master/control.h"
#include "master/listeners.h"
#include "master/logging.h"
#include "master/master_priv.h"
#include "master/notify.h"
#include "master/options.h"
#include "master/pidfile.h"
#include "master/slots.h"
#include "master/store.h"
#include "master/upgrade.h"
#include "shm/slot_layout.h"

extern char **environ;

static void
warn(void *arg, const char *text)
{
	log_warning("%s", text);
}

static void
open_source(struct conf_source *src, const struct options *o)
{
	const char *file = o->file != NULL ? o->file : conf_default_file();

	if (conf_source_init(src, file, o->defines, o->define_count, environ) != 0)
		fatal("%s: %s", file != NULL ? file : "defaults", strerror(errno));
	src->warn = warn;
}

void
start_undo(struct master *m)
{
	listeners_remove(&m->h);
	slots_remove_doors(m);
	logging_remove_door(m);
	pidfile_drop(m->run_dir, m->pid_fd);
}

/* What goes on without a master is not touched: another one may be started for it. */
_Noreturn static void
fail(struct master *m, const char *err)
{
	log_close();
	if (!m->adopted)
		start_undo(m);
	fatal("%s", err);
}

/* The user and group that keepers and helpers drop to. */
static void
find_user(struct master *m)
{
	const struct settings *s = &m->settings;
	struct passwd *p;
	struct group *g;

	if (geteuid() != 0 || s->user[0] == '\0')
		return;
	p = getpwnam(s->user);
	if (p == NULL)
		fatal("user %s: there is no such user", s->user);
	m->h.uid = p->pw_uid;
	m->h.gid = p->pw_gid;
	if (s->group[0] == '\0')
		return;
	g = getgrnam(s->group);
	if (g == NULL)
		fatal("group %s: there is no such group", s->group);
	m->h.gid = g->gr_gid;
}

static void
take_run_dir(struct master *m)
{
	const struct setting *st = settings_find("run_dir");
	char err[CONF_ERROR_MAX];

	if (rundir_open(m->settings.run_dir, settings_is_default(&m->settings, st), m->run_dir,
	    sizeof m->run_dir, err, sizeof err) != 0)
		fatal("%s", err);
	if (m->pid_fd >= 0)		/* our own, from the program before */
		return;
	m->pid_fd = pidfile_take(m->run_dir, err, sizeof err);
	if (m->pid_fd < 0)
		fatal("%s", err);
}

static void
make_region(struct master *m)
{
	struct region *r = &m->h.region;
	char err[256];
	unsigned i;

	if (region_create(r, &m->capacity.caps) != 0) {
		snprintf(err, sizeof err, "cannot make shared memory: %s", strerror(errno));
		fail(m, err);
	}
	r->head->owner = geteuid();
	region_settings_put(r, &m->settings);
	for (i = 0; i < WRITERS_MAX; i++) {
		region_slot(r, i)->event_fd = -1;
		if (!region_has_writer(r, i))
			continue;
		region_slot(r, i)->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (region_slot(r, i)->event_fd < 0) {
			snprintf(err, sizeof err, "cannot make an eventfd: %s", strerror(errno));
			fail(m, err);
		}
	}
	if (inbox_open_all(r) != 0) {
		snprintf(err, sizeof err, "cannot make an inbox: %s", strerror(errno));
		fail(m, err);
	}
}

/* The settings in force are those of the slots; what the file says now is looked at by a reload. */
static void
take_region(struct master *m)
{
	struct region *r = &m->h.region;
	char err[CONF_ERROR_MAX];

	region_settings_get(r, &m->settings);
	m->at_start = m->settings;
	m->h.keeper = word32_get(&r->head->keeper) != 0;
	if (capacity_plan(&m->settings, capacity_allowed(), &m->capacity, err, sizeof err) != 0)
		log_warning("%s", err);
	m->capacity.caps = r->caps;
	m->capacity.connections = r->caps.conns - CAPACITY_SPARE;
	adopt_resume(m);
}

/* Whether a process may share its descriptors with another one here. */
static bool
clone_shares(char *why, size_t n)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), status;
	pid_t pid;
	bool shared;

	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	if (pid < 0) {
		snprintf(why, n, "clone(CLONE_FILES): %s", strerror(errno));
		close(fd);
		return false;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	shared = fcntl(fd, F_GETFD) < 0;
	if (!shared) {
		close(fd);
		snprintf(why, n, "clone(CLONE_FILES) does not share descriptors here");
	}
	return shared;
}

static void
choose_keeper(struct master *m)
{
	struct region_head *head = m->h.region.head;
	size_t n = sizeof head->keeper_why;

	if (m->settings.keeper == SETTINGS_KEEPER_NO) {
		snprintf(head->keeper_why, n, "keeper = no");
	} else {
		m->h.keeper = clone_shares(head->keeper_why, n) &&
		    witness_selftest(head->keeper_why, n);
		if (!m->h.keeper)
			log_warning("connections do not outlive their worker on this host: %s",
			    head->keeper_why);
	}
	word32_set(&head->keeper, m->h.keeper);
}

/* Descriptors 0 to 2 are somebody's, or nobody's: never one of ours. */
static void
fill_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd < 3);
	if (fd >= 0)
		close(fd);
}

/* Nobody is there: the region and the listeners of the run before, or new ones. */
static void
open_anew(struct master *m, bool stored)
{
	char err[CONF_ERROR_MAX];

	if ((stored ? listeners_take : listeners_open)(&m->h, &m->settings, err, sizeof err) != 0)
		fail(m, err);
	if (stored)
		store_tell(m);		/* the listeners may be others */
	choose_keeper(m);
}

/* Region and listeners: those of living slots, or those that the service manager kept, or new. */
static void
open_region(struct master *m)
{
	char err[CONF_ERROR_MAX];
	int r = adopt_slots(m, err, sizeof err);
	bool stored = r == 0 && store_take(m);

	if (r < 0) {
		close(m->pid_fd);
		fatal("%s", err);
	}
	if (r == 0 && !stored)
		make_region(m);
	writer_open(&m->w, &m->h.region, HELPER_MASTER);
	log_open(&m->w, (enum settings_log_level)m->settings.log_level);
	if (r > 0)
		take_region(m);
	else
		open_anew(m, stored);
}

int
start_prepare(struct master *m, const struct options *o)
{
	char err[CONF_ERROR_MAX];
	int control;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);	/* until the loop takes it */
	fill_standard();
	notify_init();
	store_receive();
	m->pid_fd = o->pid_fd;
	if (m->pid_fd >= 0)
		fcntl(m->pid_fd, F_SETFD, FD_CLOEXEC);
	m->successor = -1;
	upgrade_init(m, o->program);
	slots_init(m);
	child_init(&m->logger);
	open_source(&m->source, o);
	if (conf_load(&m->source, &m->settings, err, sizeof err) != 0)
		fatal("%s", err);
	m->at_start = m->settings;
	m->h.foreground = o->foreground;
	if (capacity_plan(&m->settings, capacity_allowed(), &m->capacity, err, sizeof err) != 0)
		fatal("%s", err);
	find_user(m);
	if (capacity_apply(&m->capacity) != 0)
		fatal("cannot set the limit of descriptors: %s", strerror(errno));
	take_run_dir(m);
	open_region(m);
	if (logging_open(&m->settings, o->foreground, &m->h.log_fd, err, sizeof err) != 0)
		fail(m, err);
	control = control_open(m, err, sizeof err);
	if (control < 0)
		fail(m, err);
	store_tell(m);
	return control;
}

/* Whether this program could go on with it. */
static bool
knows_region(int fd)
{
	struct region r;

	if (fd < 0)
		return true;
	if (region_attach(&r, fd) != 0)
		return false;
	region_detach(&r);
	return true;
}

int
start_test(const struct options *o)
{
	static struct settings s;
	struct conf_source src;
	struct capacity c;
	char err[CONF_ERROR_MAX], line[4 * CONF_ERROR_MAX];
	int status = 1;

	open_source(&src, o);
	if (conf_load(&src, &s, err, sizeof err) != 0 ||
	    capacity_plan(&s, capacity_allowed(), &c, err, sizeof err) != 0) {
		fprintf(stderr, "%s\n", log_escape(line, sizeof line, err, strlen(err)));
	} else if (!knows_region(o->region)) {
		fprintf(stderr, "the memory has a layout that this program does not know\n");
		status = START_OTHER_LAYOUT;
	} else {
		capacity_print(stdout, &c);
		printf("%s: ok\n", conf_source_name(&src));
		status = 0;
	}
	conf_source_fini(&src);
	return status;
}

int
start_version(const char *version)
{
	static struct settings s;
	struct capacity c;
	char err[256];

	settings_defaults(&s);
	printf("plenumd %s\n", version);
	if (capacity_plan(&s, capacity_allowed(), &c, err, sizeof err) == 0)
		printf("layout %016llx with default settings\n",
		    (unsigned long long)region_layout_id(&c.caps));
	return 0;
}

int
start_keeper(const struct options *o, struct heritage *h)
{
	if (region_attach(&h->region, o->region) != 0)
		fatal("cannot go on as a keeper: %s", strerror(errno));
	if (o->keeper < 0 || (uint32_t)o->keeper >= h->region.caps.workers)
		fatal("cannot go on as a keeper: there is no such slot");
	h->slot = (unsigned)o->keeper;
	h->keeper = word32_get(&h->region.head->keeper) != 0;
	keeper_resume(h);
}
