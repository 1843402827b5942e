/*
 * Clients are few and trusted as far as the socket's mode says, but the master must not be held up
 * by any of them: lines, their number and the time they take are bounded, nothing waits.
 */
#define _GNU_SOURCE
#include "master/control.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <jansson.h>

#include "ipc/line.h"
#include "ipc/log.h"
#include "ipc/wake.h"
#include "master/conf.h"
#include "master/master_priv.h"
#include "master/reload.h"
#include "master/show.h"

enum { CLIENTS_MAX = 32, LINE_MAX_BYTES = 512, WORDS_MAX = 4, TIMEOUT_S = 10, BACKLOG = 16 };

#define CLIENT_MAGIC 0x63746c63u

struct client {
	uint32_t magic;
	struct control *control;
	struct bufferevent *bev;
	bool answered;
	enum waits { WAITS_NOT, WAITS_RELOAD, WAITS_UPGRADE } waits;
	LIST_ENTRY(client) link;
};

struct control {
	struct master *m;
	int fd;
	struct event *accepting;
	unsigned count;
	LIST_HEAD(, client) clients;
	char path[RUNDIR_MAX + 32];
};

/* An answer, or NULL: it follows later. */
typedef json_t *request_fn(struct client *, int argc, char **argv);

/* --- the socket --- */

static void
print_path(const struct master *m, char *out, size_t n)
{
	snprintf(out, n, "%s/control.sock", m->run_dir);
}

/* With a group, its members may ask as well. */
static int
set_owner(const struct master *m, const char *path)
{
	struct group *g;

	if (m->settings.group[0] == '\0' || (g = getgrnam(m->settings.group)) == NULL)
		return 0;
	if (chown(path, (uid_t)-1, g->gr_gid) != 0)
		return geteuid() == 0 ? -1 : 0;
	return chmod(path, 0660);
}

int
control_open(const struct master *m, char *err, size_t n)
{
	char path[RUNDIR_MAX + 32];
	int fd;

	print_path(m, path, sizeof path);
	fd = line_listen(path, SOCK_STREAM, BACKLOG);
	if (fd >= 0 && set_owner(m, path) == 0)
		return fd;
	snprintf(err, n, "cannot open %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* --- answers --- */

static json_t *
error_of(const char *text)
{
	return json_pack("{s:s}", "error", text);
}

static json_t *
done(void)
{
	return json_pack("{s:b}", "ok", 1);
}

static void
client_free(struct client **c)
{
	LIST_REMOVE(*c, link);
	(*c)->control->count--;
	bufferevent_free((*c)->bev);
	(*c)->magic = 0;
	free(*c);
	*c = NULL;
}

static void
answer(struct client *c, json_t *body)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;

	c->answered = true;
	c->waits = WAITS_NOT;
	bufferevent_disable(c->bev, EV_READ);
	if (text != NULL)
		evbuffer_add(bufferevent_get_output(c->bev), text, strlen(text));
	evbuffer_add(bufferevent_get_output(c->bev), "\n", 1);
	free(text);
	json_decref(body);
}

/* --- requests --- */

static json_t *
ask_status(struct client *c, int argc, char **argv)
{
	return show_status(c->control->m);
}

static json_t *
ask_show(struct client *c, int argc, char **argv)
{
	const struct master *m = c->control->m;
	unsigned long limit = SHOW_LIMIT;

	if (argc < 2)
		return error_of("show what: workers, channels, conns, conf or counters");
	if (argc > 2)
		limit = strtoul(argv[2], NULL, 10);
	if (strcmp(argv[1], "workers") == 0)
		return show_workers(m);
	if (strcmp(argv[1], "channels") == 0)
		return show_channels(m, limit);
	if (strcmp(argv[1], "conns") == 0)
		return show_conns(m, limit);
	if (strcmp(argv[1], "conf") == 0)
		return show_conf(m);
	if (strcmp(argv[1], "counters") == 0)
		return show_counters(m);
	if (strcmp(argv[1], "presence") == 0 || strcmp(argv[1], "gates") == 0)
		return error_of("not available in this version");
	return error_of("show what: workers, channels, conns, conf or counters");
}

static json_t *
ask_reload(struct client *c, int argc, char **argv)
{
	struct master *m = c->control->m;
	const struct settings *next;
	char err[CONF_ERROR_MAX];
	bool dry = argc > 1 && strcmp(argv[1], "dry-run") == 0;

	if (argc > 1 && !dry)
		return error_of("reload: nothing or dry-run");
	if (m->phase != PHASE_SERVE)
		return error_of("plenumd is starting or stopping");
	if (dry) {
		next = reload_try(m, err, sizeof err);
		return next == NULL ? error_of(err) : show_changes(&m->settings, next);
	}
	c->waits = WAITS_RELOAD;
	if (reload_begin(m, err, sizeof err) != 0) {
		c->waits = WAITS_NOT;
		return error_of(err);
	}
	return NULL;
}

static json_t *
ask_drain(struct client *c, int argc, char **argv)
{
	struct master *m = c->control->m;
	bool on = argc < 2 || strcmp(argv[1], "on") == 0;

	if (!on && strcmp(argv[1], "off") != 0)
		return error_of("drain: on or off");
	if (m->phase > PHASE_SERVE)
		return error_of("plenumd stops");
	word32_set(&m->h.region.head->draining, on);
	log_notice(on ? "draining: not ready for new clients, serving goes on" :
	    "draining ended: ready again");
	return done();
}

static json_t *
ask_stop(struct client *c, int argc, char **argv)
{
	bool now = argc > 1 && strcmp(argv[1], "now") == 0;

	if (argc > 1 && !now)
		return error_of("stop: nothing or now");
	master_enter(c->control->m, now ? PHASE_STOP : PHASE_DRAIN);
	return done();
}

static json_t *
ask_upgrade(struct client *c, int argc, char **argv)
{
	struct master *m = c->control->m;
	char err[UPGRADE_TEXT_MAX];

	if (argc > 1)
		return error_of("upgrade: nothing");
	if (m->phase != PHASE_SERVE)
		return error_of("plenumd is starting or stopping");
	if (upgrade_begin(m, err, sizeof err) != 0)
		return error_of(err);
	c->waits = WAITS_UPGRADE;
	return NULL;
}

static json_t *
ask_later(struct client *c, int argc, char **argv)
{
	return error_of("not available in this version");
}

static const struct request {
	const char *word;
	request_fn *fn;
} requests[] = {
	{ "status", ask_status },
	{ "show", ask_show },
	{ "reload", ask_reload },
	{ "drain", ask_drain },
	{ "stop", ask_stop },
	{ "upgrade", ask_upgrade },
	{ "trace", ask_later },
	{ "gates", ask_later },
	{ "presence", ask_later },
};

static json_t *
execute(struct client *c, char *line)
{
	char *argv[WORDS_MAX], *word, *save = NULL;
	int argc = 0;
	size_t i;

	for (word = strtok_r(line, " \t\r", &save); word != NULL && argc < WORDS_MAX;
	    word = strtok_r(NULL, " \t\r", &save))
		argv[argc++] = word;
	if (argc == 0)
		return error_of("nothing was asked");
	for (i = 0; i < sizeof requests / sizeof requests[0]; i++)
		if (strcmp(argv[0], requests[i].word) == 0)
			return requests[i].fn(c, argc, argv);
	return error_of("unknown request");
}

/* --- callbacks --- */

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	json_t *body;
	char *line;

	if (c->magic != CLIENT_MAGIC || c->answered || c->waits)
		return;
	line = evbuffer_readln(in, NULL, EVBUFFER_EOL_LF);
	if (line == NULL && evbuffer_get_length(in) <= LINE_MAX_BYTES)
		return;
	body = line != NULL ? execute(c, line) : error_of("the request is too long");
	free(line);
	if (body != NULL)
		answer(c, body);
	else
		bufferevent_disable(bev, EV_READ);	/* and its deadline */
	wake_flush(&c->control->m->w);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;

	if (c->magic == CLIENT_MAGIC && c->answered)
		client_free(&c);
}

static void
on_end(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;

	if (c->magic == CLIENT_MAGIC)
		client_free(&c);
}

static void
add_client(struct control *control, int fd)
{
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	struct client *c = control->count < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;

	if (c != NULL)
		c->bev = bufferevent_socket_new(control->m->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (c == NULL || c->bev == NULL) {
		free(c);
		close(fd);
		return;
	}
	c->magic = CLIENT_MAGIC;
	c->control = control;
	control->count++;
	LIST_INSERT_HEAD(&control->clients, c, link);
	bufferevent_setcb(c->bev, on_read, on_written, on_end, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, LINE_MAX_BYTES + 1);
	bufferevent_set_timeouts(c->bev, &timeout, &timeout);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;
	int client = accept4((int)fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (client >= 0)
		add_client(control, client);
}

struct control *
control_new(struct master *m, int fd)
{
	struct control *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->m = m;
	c->fd = fd;
	LIST_INIT(&c->clients);
	print_path(m, c->path, sizeof c->path);
	c->accepting = event_new(m->base, fd, EV_READ | EV_PERSIST, on_accept, c);
	if (c->accepting == NULL || event_add(c->accepting, NULL) != 0)
		control_free(&c);
	return c;
}

void
control_free(struct control **c)
{
	struct client *client;

	if (*c == NULL)
		return;
	while ((client = LIST_FIRST(&(*c)->clients)) != NULL)
		client_free(&client);
	if ((*c)->accepting != NULL)
		event_free((*c)->accepting);
	close((*c)->fd);
	unlink((*c)->path);
	free(*c);
	*c = NULL;
}

static void
answer_waiting(struct control *c, enum waits what, const char *error)
{
	struct client *client;

	LIST_FOREACH(client, &c->clients, link)
		if (client->waits == what)
			answer(client, error != NULL ? error_of(error) : done());
}

void
control_reloaded(struct control *c, const char *error)
{
	answer_waiting(c, WAITS_RELOAD, error);
}

void
control_upgraded(struct control *c, const char *error)
{
	answer_waiting(c, WAITS_UPGRADE, error);
}
