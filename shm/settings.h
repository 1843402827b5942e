/*
 * The settings of plenumd: one table, from which come the structure, the parser, the checks, the
 * command line help, the example and the manual page.
 *
 * struct settings is flat: it has a fixed size and no pointers, so a snapshot of it is copied into
 * shared memory as it is, and a worker reads it there. Nothing in this module blocks, allocates or
 * knows where a value came from; files, environment and command line are master/conf.c.
 *
 * Units: sizes are bytes, times are milliseconds, rates are events per second. Strings end in NUL;
 * an empty string means "not set".
 */
#ifndef PLENUM_SHM_SETTINGS_H
#define PLENUM_SHM_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/limits.h"

#define SETTINGS_LISTEN_MAX	16	/* [listen NAME] sections */
#define SETTINGS_CHANNEL_MAX	64	/* [channel PATTERN] sections */
#define SETTINGS_NAME_MAX	32	/* bytes of a listener's name, with its NUL */
#define SETTINGS_PATTERN_MAX	(CHANNEL_NAME_MAX + 4) /* bytes of a pattern, with its NUL */
#define SETTINGS_TEXT_MAX	1100	/* a buffer of this size holds every formatted value */

#define SETTINGS_K		1024ULL
#define SETTINGS_M		(1024 * SETTINGS_K)
#define SETTINGS_G		(1024 * SETTINGS_M)
#define SETTINGS_S		1000ULL
#define SETTINGS_MIN		(60 * SETTINGS_S)
#define SETTINGS_H		(60 * SETTINGS_MIN)
#define SETTINGS_U32		4294967295ULL

/*
 * How a value is written and stored.
 *
 *	kind	C type		written as
 *	BOOL	bool		yes, no (also on, off, true, false, 1, 0)
 *	INT	uint32_t	digits
 *	AUTO	uint32_t	digits, or "auto", stored as 0
 *	SIZE	uint64_t	digits and K, M or G
 *	TIME	uint32_t	digits and ms, s, m or h; a bare number is seconds
 *	RATE	uint32_t	N/s, or a bare N
 *	ENUM	uint32_t	one of the names
 *	STRING	char [arg]	text without blanks at its ends
 *	LIST	char [arg]	words, stored with one blank between them
 *
 * min and max bound the value; for STRING and LIST they bound the length.
 */
#define SETTING_KINDS(X) \
	X(BOOL, "yes or no") \
	X(INT, "number") \
	X(AUTO, "number or auto") \
	X(SIZE, "size") \
	X(TIME, "time") \
	X(RATE, "rate") \
	X(ENUM, "word") \
	X(STRING, "text") \
	X(LIST, "words")

enum setting_kind {
#define X(kind, name) SETTING_##kind,
	SETTING_KINDS(X)
#undef X
	SETTING_KIND_COUNT
};

/* The words of the settings of kind ENUM: X(constant, word), in the order of their values. */
#define SETTINGS_LOG_LEVELS(X) \
	X(SETTINGS_LOG_DEBUG, "debug") \
	X(SETTINGS_LOG_INFO, "info") \
	X(SETTINGS_LOG_NOTICE, "notice") \
	X(SETTINGS_LOG_WARNING, "warning") \
	X(SETTINGS_LOG_ERROR, "error")
#define SETTINGS_LOG_FORMATS(X) \
	X(SETTINGS_FORMAT_TEXT, "text") \
	X(SETTINGS_FORMAT_JSON, "json")
#define SETTINGS_AUTHS(X) \
	X(SETTINGS_AUTH_NONE, "none") \
	X(SETTINGS_AUTH_JWT, "jwt")
#define SETTINGS_KEEPERS(X) \
	X(SETTINGS_KEEPER_AUTO, "auto") \
	X(SETTINGS_KEEPER_NO, "no")
#define SETTINGS_OUTAGES(X) \
	X(SETTINGS_OUTAGE_REFUSE, "refuse") \
	X(SETTINGS_OUTAGE_LOCAL, "local")
#define SETTINGS_SLOWS(X) \
	X(SETTINGS_SLOW_GAP, "gap") \
	X(SETTINGS_SLOW_LATEST, "latest") \
	X(SETTINGS_SLOW_CLOSE, "close")
#define SETTINGS_ORDERS(X) \
	X(SETTINGS_ORDER_HOST, "host") \
	X(SETTINGS_ORDER_CLUSTER, "cluster")

#define X(constant, word) constant,
enum settings_log_level { SETTINGS_LOG_LEVELS(X) SETTINGS_LOG_LEVEL_COUNT };
enum settings_log_format { SETTINGS_LOG_FORMATS(X) SETTINGS_LOG_FORMAT_COUNT };
enum settings_auth { SETTINGS_AUTHS(X) SETTINGS_AUTH_COUNT };
enum settings_keeper { SETTINGS_KEEPERS(X) SETTINGS_KEEPER_COUNT };
enum settings_cluster_outage { SETTINGS_OUTAGES(X) SETTINGS_CLUSTER_OUTAGE_COUNT };
enum settings_slow { SETTINGS_SLOWS(X) SETTINGS_SLOW_COUNT };
enum settings_order { SETTINGS_ORDERS(X) SETTINGS_ORDER_COUNT };
#undef X

/* What a [listen] section's services may name: X(constant, word). */
#define SETTINGS_SERVICES(X) \
	X(CHANNELS, "channels") \
	X(COLLAB, "collab") \
	X(RFQ, "rfq") \
	X(FEED, "feed") \
	X(API, "api") \
	X(HEALTH, "health") \
	X(METRICS, "metrics") \
	X(CONSOLE, "console") \
	X(ECHO, "echo") \
	X(ROUTES, "routes")

enum settings_service_index {
#define X(constant, word) SETTINGS_SERVICE_INDEX_##constant,
	SETTINGS_SERVICES(X)
#undef X
	SETTINGS_SERVICE_COUNT
};

/* The same as bits of listen_section.services_mask. */
enum settings_service {
#define X(constant, word) \
	SETTINGS_SERVICE_##constant = 1 << SETTINGS_SERVICE_INDEX_##constant,
	SETTINGS_SERVICES(X)
#undef X
	SETTINGS_SERVICE_ALL = (1 << SETTINGS_SERVICE_COUNT) - 1
};

/*
 * The main section:
 * X(name, kind, arg, default, min, max, LIVE or RESTART, HERE or LATER, environment, help)
 *
 * arg is the enum's name for ENUM, the array's size for STRING and LIST, else 0. LIVE settings
 * change on reload, RESTART ones need a new start. LATER settings belong to a feature this version
 * has not got: only their default is accepted. environment holds names that are honoured besides
 * PLENUM_NAME.
 */
#define SETTINGS(X) \
	X(listen, LIST, 1024, "127.0.0.1:8080", 1, 1023, RESTART, HERE, NULL, \
	    "addresses to serve: 127.0.0.1:8080, [::1]:8080 or unix:/path, separated by blanks") \
	X(workers, AUTO, 0, "auto", 1, WORKERS_MAX, LIVE, HERE, "WORKERS", \
	    "worker processes; auto: one per processor; a reload moves the connections") \
	X(workers_max, AUTO, 0, "auto", 1, WORKERS_MAX, RESTART, HERE, NULL, \
	    "worker processes that a reload may go up to; auto: 16, or workers") \
	X(run_dir, STRING, 256, "/run/plenum", 1, 255, RESTART, HERE, NULL, \
	    "folder of plenumd.pid, control.sock and what must survive an upgrade") \
	X(state_dir, STRING, 256, "/var/lib/plenum", 1, 255, RESTART, HERE, NULL, \
	    "folder of what must survive a boot; unless started as root: below run_dir") \
	X(user, STRING, 64, "", 0, 63, RESTART, HERE, NULL, \
	    "user the workers run as, when started as root; empty: no change") \
	X(group, STRING, 64, "", 0, 63, RESTART, HERE, NULL, \
	    "group the workers run as, when started as root; empty: the user's own") \
	X(log_level, ENUM, log_level, "info", 0, 0, LIVE, HERE, NULL, \
	    "least severity that is logged") \
	X(log_format, ENUM, log_format, "text", 0, 0, LIVE, HERE, NULL, \
	    "one line of text, or one JSON object, per message") \
	X(log_file, STRING, 256, "stderr", 1, 255, LIVE, HERE, NULL, \
	    "file that is logged to, or stderr") \
	X(max_connections, INT, 0, "0", 0, CONNS_MAX, RESTART, HERE, \
	    "MAX_CONCURRENT_CONNECTIONS", \
	    "connections per worker, the next is refused with 503; 0: what descriptors allow") \
	X(max_requests, INT, 0, "0", 0, SETTINGS_U32, LIVE, HERE, "MAX_REQUESTS_PER_WORKER", \
	    "requests after which a worker is replaced; 0: never") \
	X(max_requests_jitter, INT, 0, "0", 0, SETTINGS_U32, LIVE, HERE, NULL, \
	    "at most this many requests, chosen at random, are added to max_requests") \
	X(request_timeout, TIME, 0, "120s", 100, 24 * SETTINGS_H, LIVE, HERE, NULL, \
	    "time in which a request must be answered") \
	X(graceful_timeout, TIME, 0, "30s", 0, 24 * SETTINGS_H, LIVE, HERE, NULL, \
	    "time that clients and requests get when plenumd drains") \
	X(keepalive_timeout, TIME, 0, "5s", 100, 24 * SETTINGS_H, LIVE, HERE, NULL, \
	    "time an idle HTTP connection is kept for its next request") \
	X(header_timeout, TIME, 0, "10s", 100, SETTINGS_H, LIVE, HERE, NULL, \
	    "time in which the head of a request must be complete") \
	X(max_header, SIZE, 0, "16K", 1 * SETTINGS_K, 24 * SETTINGS_K, LIVE, HERE, NULL, \
	    "largest head of a request") \
	X(max_body, SIZE, 0, "2M", 1 * SETTINGS_K, 256 * SETTINGS_M, LIVE, HERE, NULL, \
	    "largest body of a request") \
	X(max_message, SIZE, 0, "64K", 1 * SETTINGS_K, 64 * SETTINGS_K, LIVE, HERE, NULL, \
	    "largest WebSocket message; a larger one closes the connection with 1009") \
	X(ping_interval, TIME, 0, "25s", 100, SETTINGS_H, LIVE, HERE, NULL, \
	    "silence after which a client is pinged") \
	X(ping_timeout, TIME, 0, "60s", 200, 2 * SETTINGS_H, LIVE, HERE, NULL, \
	    "silence after which a client is dropped; more than ping_interval") \
	X(message_rate, RATE, 0, "1000/s", 1, 65535, LIVE, HERE, NULL, \
	    "messages that a connection may send in any second") \
	X(subscriptions_max, INT, 0, "128", 1, SUBSCRIPTIONS_MAX, LIVE, HERE, NULL, \
	    "channels that a connection may subscribe to") \
	X(json_depth, INT, 0, "32", 1, 256, LIVE, HERE, NULL, \
	    "deepest nesting of JSON that is accepted") \
	X(compress_min, SIZE, 0, "1K", 64, 16 * SETTINGS_M, LIVE, HERE, NULL, \
	    "smallest event that is compressed for clients that negotiated it (not used yet)") \
	X(arena, SIZE, 0, "64M", 1 * SETTINGS_M, 64 * SETTINGS_G, RESTART, HERE, NULL, \
	    "shared memory for the events of one writer, touched as it is used") \
	X(frame_arena, SIZE, 0, "16M", 4 * SETTINGS_M, 4 * SETTINGS_G, RESTART, HERE, NULL, \
	    "shared memory for the frames that a worker is sending") \
	X(blocks, INT, 0, "1024", 16, 1048576, RESTART, HERE, NULL, \
	    "blocks of a worker for incomplete input and for output that must wait") \
	X(channels_max, INT, 0, "65536", 64, CHANNELS_MAX, RESTART, HERE, NULL, \
	    "channels that may exist at a time") \
	X(history, INT, 0, "1000", 1, HISTORY_MAX, LIVE, HERE, NULL, \
	    "events that a channel keeps, unless a [channel] section says otherwise") \
	X(channel_idle, TIME, 0, "10m", 1 * SETTINGS_S, 720 * SETTINGS_H, LIVE, HERE, NULL, \
	    "time after which a channel without subscribers and events is forgotten") \
	X(presence_max, INT, 0, "65536", 16, 16777216, RESTART, HERE, NULL, \
	    "presence entries that may exist at a time (not used yet)") \
	X(idempotency_max, INT, 0, "65536", 16, 16777216, RESTART, HERE, NULL, \
	    "idempotency keys that are remembered at a time") \
	X(auth, ENUM, auth, "none", 0, 0, LIVE, LATER, NULL, \
	    "who may connect: none asks nobody, jwt wants a token") \
	X(jwt_secret_file, STRING, 256, "", 0, 255, LIVE, LATER, NULL, \
	    "file with the secret of HS256 tokens") \
	X(jwt_public_key_file, STRING, 256, "", 0, 255, LIVE, LATER, NULL, \
	    "file with the public key of RS256 or ES256 tokens") \
	X(api_key_file, STRING, 256, "", 0, 255, LIVE, LATER, NULL, \
	    "file with the keys of servers that publish, one per line") \
	X(origins, LIST, 1024, "", 0, 1023, LIVE, HERE, NULL, \
	    "origins whose pages may open a WebSocket, * within a label; empty: any") \
	X(cors_origins, LIST, 1024, "", 0, 1023, LIVE, HERE, NULL, \
	    "origins whose pages may read answers; empty: * on loopback without auth, else none") \
	X(insecure, BOOL, 0, "no", 0, 1, RESTART, HERE, NULL, \
	    "allow other than loopback addresses without authentication") \
	X(trusted_proxies, LIST, 1024, "", 0, 1023, LIVE, LATER, NULL, \
	    "addresses of proxies whose X-Forwarded-For is believed; empty: none") \
	X(proxy_protocol, BOOL, 0, "no", 0, 1, RESTART, LATER, NULL, \
	    "expect the PROXY protocol's header from trusted_proxies") \
	X(rate_limit, INT, 0, "0", 0, 1000000000, LIVE, LATER, "RATE_LIMIT_REQUESTS_PER_MINUTE", \
	    "requests a minute per client address over all workers; 0: off") \
	X(connection_rate, RATE, 0, "0", 0, 1000000, LIVE, LATER, NULL, \
	    "new connections that a client address may open in any second; 0: off") \
	X(keeper, ENUM, keeper, "auto", 0, 0, RESTART, HERE, NULL, \
	    "auto: a worker's connections outlive it, where the host allows it; no: never") \
	X(stuck_timeout, TIME, 0, "1s", 100, SETTINGS_H, LIVE, HERE, NULL, \
	    "time without a heartbeat after which a worker is ended and followed") \
	X(upgrade_grace, TIME, 0, "10s", 0, SETTINGS_H, LIVE, HERE, NULL, \
	    "time a new binary runs in the first slot before the others follow") \
	X(orphan_timeout, TIME, 0, "30s", 100, 24 * SETTINGS_H, LIVE, HERE, NULL, \
	    "time the workers go on serving without a master; then they drain and end") \
	X(redis, LIST, 1024, "", 0, 1023, LIVE, LATER, NULL, \
	    "redis://[user:pass@]host:port/db, several are shards; empty: a single host") \
	X(redis_prefix, STRING, 64, "plenum", 1, 63, RESTART, HERE, NULL, \
	    "what the names of all keys and channels in Redis begin with (not used yet)") \
	X(buckets, INT, 0, "32", 1, 1024, RESTART, HERE, NULL, \
	    "Redis channels that carry the events between hosts; the same on all of them " \
	    "(not used yet)") \
	X(host_lease, TIME, 0, "5s", 500, 10 * SETTINGS_MIN, LIVE, HERE, NULL, \
	    "time after which the other hosts take a silent one for gone (not used yet)") \
	X(cluster_outage, ENUM, cluster_outage, "refuse", 0, 0, LIVE, HERE, NULL, \
	    "without Redis, channels with order = cluster refuse events or go on locally " \
	    "(not used yet)") \
	X(database, STRING, 512, "sqlite:STATE_DIR/plenum.db", 1, 511, RESTART, LATER, NULL, \
	    "where durable channels are kept; STATE_DIR stands for state_dir") \
	X(debug_endpoints, BOOL, 0, "no", 0, 1, LIVE, HERE, NULL, \
	    "serve /ws/echo and other paths for tests")

/* [listen NAME], the same columns. */
#define SETTINGS_LISTEN(X) \
	X(address, LIST, 256, "", 1, 255, RESTART, HERE, NULL, \
	    "addresses of this listener, written as in listen") \
	X(services, LIST, 256, "all", 1, 255, RESTART, HERE, NULL, \
	    "what it serves: all, or words of channels collab rfq feed api health metrics " \
	    "console " \
	    "echo routes")

/* [channel PATTERN], the same columns. */
#define SETTINGS_CHANNEL(X) \
	X(history, INT, 0, "0", 0, HISTORY_MAX, LIVE, HERE, NULL, \
	    "events that such a channel keeps; 0: history of the main section") \
	X(slow, ENUM, slow, "gap", 0, 0, LIVE, HERE, NULL, \
	    "a client that is too slow is told the gap, gets the latest event, or is closed") \
	X(order, ENUM, order, "host", 0, 0, LIVE, LATER, NULL, \
	    "host: each host numbers events by itself; cluster: all hosts number them alike") \
	X(durable, BOOL, 0, "no", 0, 1, LIVE, LATER, NULL, \
	    "keep the events in the database")

#define SETTING_FIELD_BOOL(name, arg)	bool name;
#define SETTING_FIELD_INT(name, arg)	uint32_t name;
#define SETTING_FIELD_AUTO(name, arg)	uint32_t name;
#define SETTING_FIELD_SIZE(name, arg)	uint64_t name;
#define SETTING_FIELD_TIME(name, arg)	uint32_t name;
#define SETTING_FIELD_RATE(name, arg)	uint32_t name;
#define SETTING_FIELD_ENUM(name, arg)	uint32_t name;
#define SETTING_FIELD_STRING(name, arg)	char name[arg];
#define SETTING_FIELD_LIST(name, arg)	char name[arg];
#define SETTING_FIELD(name, kind, arg, def, min, max, live, here, env, help) \
	SETTING_FIELD_##kind(name, arg)

struct listen_section {
	char name[SETTINGS_NAME_MAX];
	SETTINGS_LISTEN(SETTING_FIELD)
	uint32_t services_mask;		/* derived: SETTINGS_SERVICE_* bits */
};

struct channel_rule {
	char pattern[SETTINGS_PATTERN_MAX];
	SETTINGS_CHANNEL(SETTING_FIELD)
};

struct settings {
	uint64_t number;		/* of the snapshot; filled by whoever publishes it */
	SETTINGS(SETTING_FIELD)
	uint32_t listen_count;
	struct listen_section listens[SETTINGS_LISTEN_MAX];
	uint32_t channel_count;
	struct channel_rule channels[SETTINGS_CHANNEL_MAX];	/* the first match decides */

	/* Derived from the above by settings_derive(). */
	uint32_t slot_count;		/* workers_max, resolved: worker_count to WORKERS_MAX */
	uint32_t worker_count;		/* workers, with auto resolved: 1 to WORKERS_MAX */
	struct channel_rule channel_default;	/* of names that no pattern matches */
	/* Derived by conf_load(), which knows addresses. */
	bool loopback;			/* every address is of this host only */
};

/* Which structure a setting lies in, and the brackets it is written under. */
enum setting_section {
	SETTING_SECTION_MAIN,		/* struct settings */
	SETTING_SECTION_LISTEN,		/* struct listen_section */
	SETTING_SECTION_CHANNEL,	/* struct channel_rule */
	SETTING_SECTION_COUNT
};

/* One setting: what the X-macro tables say about it. */
struct setting {
	const char *name;
	const char *def;		/* default, as it is written */
	const char *env;		/* other environment name, or NULL */
	const char *help;
	const char *const *words;	/* ENUM: max + 1 of them */
	uint64_t min, max;
	size_t offset, size;		/* of the field in its structure */
	enum setting_kind kind;
	enum setting_section section;
	bool live;			/* changes on reload */
	bool here;			/* this version has the feature */
};

extern const struct setting settings_table[];
extern const size_t settings_count;
extern const struct setting settings_listen_table[];
extern const size_t settings_listen_count;
extern const struct setting settings_channel_table[];
extern const size_t settings_channel_count;

extern const char *const setting_kind_names[SETTING_KIND_COUNT];
/* "", "listen", "channel" */
extern const char *const setting_section_names[SETTING_SECTION_COUNT];
extern const char *const settings_service_names[SETTINGS_SERVICE_COUNT];
extern const char *const settings_log_level_names[SETTINGS_LOG_LEVEL_COUNT];
extern const char *const settings_log_format_names[SETTINGS_LOG_FORMAT_COUNT];
extern const char *const settings_auth_names[SETTINGS_AUTH_COUNT];
extern const char *const settings_keeper_names[SETTINGS_KEEPER_COUNT];
extern const char *const settings_cluster_outage_names[SETTINGS_CLUSTER_OUTAGE_COUNT];
extern const char *const settings_slow_names[SETTINGS_SLOW_COUNT];
extern const char *const settings_order_names[SETTINGS_ORDER_COUNT];

/* Fill *s with the defaults, derived values included; number becomes 0, loopback true. */
void settings_defaults(struct settings *s);

/*
 * Bring the derived values up to date after the settings were changed: worker_count,
 * channel_default, services_mask, and the history of rules that left it to the main section.
 * Words of services that are not known were refused by settings_set_field() before.
 */
void settings_derive(struct settings *s);

/* Add a section with its defaults; NULL when there are no more places or the name is too long. */
struct listen_section *settings_add_listen(struct settings *s, const char *name);
struct channel_rule *settings_add_channel(struct settings *s, const char *pattern);

/* The setting of that name in the main section, or in any section; NULL when there is none. */
const struct setting *settings_find(const char *name);
const struct setting *settings_find_in(enum setting_section section, const char *name);

/* The table of a section, its length in *count. */
const struct setting *settings_section_table(enum setting_section section, size_t *count);

/*
 * Parse text into the setting's field: of *s (settings of the main section), or of the structure
 * base that the setting's section names. Returns 0, or -1 with what is wrong and what is allowed
 * in err, and the field as it was. err has no name in it; the caller puts that before it.
 * A setting that is not available in this version accepts its default only.
 */
int settings_set(struct settings *s, const struct setting *st, const char *text, char *err,
    size_t errlen);
int settings_set_field(void *base, const struct setting *st, const char *text, char *err,
    size_t errlen);

/*
 * Write the value as it would be written in a file, in the largest unit that divides it (64M, 10s).
 * Returns the length, or -1 when n is too small; SETTINGS_TEXT_MAX is always enough.
 */
int settings_format(const struct settings *s, const struct setting *st, char *out, size_t n);
int settings_format_field(const void *base, const struct setting *st, char *out, size_t n);

/* Write what is allowed: "1K to 64K", "debug, info, ..."; returns as settings_format() does. */
int settings_format_range(const struct setting *st, char *out, size_t n);

/* Whether the setting has one value in both; a and b are of the setting's section for _field. */
bool settings_equal(const struct settings *a, const struct settings *b, const struct setting *st);
bool settings_equal_field(const void *a, const void *b, const struct setting *st);

/* Whether the setting has its default in *s. */
bool settings_is_default(const struct settings *s, const struct setting *st);

/*
 * The rule of a channel: of the first [channel] section whose pattern matches the n bytes of its
 * name, else the main section's history with slow = gap and order = host. Points into *s.
 */
const struct channel_rule *settings_channel_rule(const struct settings *s, const char *channel,
    size_t n);

/* The longest history that any channel may have: what the rings must hold. */
uint32_t settings_history_max(const struct settings *s);

/* Whether the n bytes at s match pat, in which * stands for any run, also an empty one. */
bool pattern_match(const char *pat, const char *s, size_t n);

#endif
