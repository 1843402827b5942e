/*
 * The settings are checked as a whole before anything is changed: a file with an error, a setting
 * that needs a restart, or a log file that cannot be opened leave everything as it is.
 *
 * Then the new snapshot is put into the region, and slot by slot the worker is told to end; its
 * heir reads the snapshot that is in force. An order is given only to a worker whose snapshot is
 * older. The next slot follows when the heir beats, so that at most one slot pauses at a time, or
 * after ten seconds, because a slot that cannot renew must not keep the others from it.
 */
#include "master/reload.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/control.h"
#include "master/logging.h"
#include "master/master_priv.h"
#include "master/notify.h"
#include "master/serve.h"
#include "master/slots.h"

enum { SLOT_MS = 10000 };

/* Loads and checks; log_fd becomes the new log's. */
static int
load(struct master *m, int *log_fd, char *err, size_t n)
{
	char names[512];

	if (conf_load(&m->source, &m->next, err, n) != 0)
		return -1;
	if (conf_diff(&m->at_start, &m->next, false, names, sizeof names) != 0) {
		snprintf(err, n, "these settings need a restart: %s", names);
		return -1;
	}
	if (m->next.worker_count > m->h.region.caps.workers) {
		snprintf(err, n, "workers: %u without a restart, not %u (workers_max)",
		    m->h.region.caps.workers, m->next.worker_count);
		return -1;
	}
	return logging_open(&m->next, m->h.foreground, log_fd, err, n);
}

const struct settings *
reload_try(struct master *m, char *err, size_t n)
{
	int log_fd;

	if (load(m, &log_fd, err, n) != 0)
		return NULL;
	if (log_fd > STDERR_FILENO)
		close(log_fd);
	return &m->next;
}

static void
order_slot(struct master *m)
{
	struct reload *r = &m->reload;

	r->ordered = clock_ms();
	if (word_get(&region_slot(&m->h.region, r->slot)->snapshot) == r->number)
		return;
	if (word32_get(&region_slot(&m->h.region, r->slot)->order) <= ORDER_RENEW)
		slots_order(m, r->slot, ORDER_RENEW);
	wake_flush(&m->w);
}

static void
begin_slots(struct master *m)
{
	m->reload.number = region_settings_number(&m->h.region);
	m->reload.state = RELOAD_SLOTS;
	m->reload.slot = 0;
	order_slot(m);
}

/* What was asked for while it could not be done. */
static void
begin_again(struct master *m)
{
	char err[CONF_ERROR_MAX];

	m->reload.again = false;
	if (reload_begin(m, err, sizeof err) != 0)
		control_reloaded(m->control, err);
}

static void
finish(struct master *m)
{
	struct region_head *head = m->h.region.head;

	m->reload.state = RELOAD_NONE;
	word_set(&head->reloads, word_get(&head->reloads) + 1);
	log_notice("reload complete snapshot=%llu", (unsigned long long)m->reload.number);
	notify_ready();
	if (m->reload.again)
		begin_again(m);
	else
		control_reloaded(m->control, NULL);
}

int
reload_begin(struct master *m, char *err, size_t n)
{
	struct region_head *head = m->h.region.head;
	char names[512];
	int log_fd;

	if (m->reload.state != RELOAD_NONE || m->upgrade.state != UPGRADE_NONE) {
		m->reload.again = true;
		word32_set(&head->reload_wanted, 1);
		return 0;
	}
	word32_set(&head->reload_wanted, 0);
	if (load(m, &log_fd, err, n) != 0) {
		word_set(&head->reload_failed, word_get(&head->reload_failed) + 1);
		log_error("reload refused, nothing is changed: %s", err);
		return -1;
	}
	notify_reloading();
	conf_diff(&m->settings, &m->next, true, names, sizeof names);
	m->settings = m->next;
	region_settings_put(&m->h.region, &m->settings);
	serve_resize(m);
	log_set_level((enum settings_log_level)m->settings.log_level);
	logging_switch(m, log_fd);
	log_notice("reload begins snapshot=%llu changed=%s",
	    (unsigned long long)region_settings_number(&m->h.region),
	    names[0] != '\0' ? names : "nothing");
	begin_slots(m);
	return 0;
}

void
reload_tick(struct master *m)
{
	struct reload *r = &m->reload;
	const struct slot *s;
	bool renewed;

	if (r->state == RELOAD_NONE && r->again && m->upgrade.state == UPGRADE_NONE)
		begin_again(m);
	while (r->state == RELOAD_SLOTS) {
		s = region_slot(&m->h.region, r->slot);
		renewed = word_get(&s->snapshot) == r->number && word_get(&s->beat) >= r->ordered;
		if (!renewed && clock_ms() - r->ordered < SLOT_MS)
			return;
		if (!renewed)
			log_error("worker does not renew, reload goes on without it slot=%u",
			    r->slot);
		if (++r->slot >= serve_count(m))
			finish(m);
		else
			order_slot(m);
	}
}

void
reload_abandon(struct master *m)
{
	if (m->reload.state == RELOAD_NONE)
		return;
	memset(&m->reload, 0, sizeof m->reload);
	control_reloaded(m->control, "plenumd stops");
}

static bool
any_is_behind(const struct master *m)
{
	uint64_t number = region_settings_number(&m->h.region);
	unsigned i;

	for (i = 0; i < serve_count(m); i++)
		if (word_get(&region_slot(&m->h.region, i)->snapshot) != number)
			return true;
	return false;
}

void
reload_resume(struct master *m)
{
	char err[CONF_ERROR_MAX], names[512];
	bool changed = word32_get(&m->h.region.head->reload_wanted) != 0 ||
	    conf_load(&m->source, &m->next, err, sizeof err) != 0 ||
	    conf_diff(&m->settings, &m->next, true, names, sizeof names) != 0;

	logging_restart(m);
	if (any_is_behind(m)) {
		m->reload.again = changed;
		begin_slots(m);
	} else if (changed)
		reload_begin(m, err, sizeof err);
}
