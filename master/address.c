#include "master/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "shm/settings.h"

#define ALLOWED "allowed are 127.0.0.1:8080, [::1]:8080, localhost:8080 and unix:/path"

const char *const address_family_names[] = { "inet", "inet6", "unix" };
_Static_assert(sizeof(address_family_names) / sizeof(address_family_names[0]) ==
    ADDRESS_FAMILY_COUNT, "address families");

const char *
address_next(const char **list, size_t *n)
{
	const char *word;

	word = *list + strspn(*list, " \t");
	*n = strcspn(word, " \t");
	*list = word + *n;
	return *n == 0 ? NULL : word;
}

/* Always -1. */
static int
refuse(const char *text, const char *what, char *err, size_t errlen)
{
	snprintf(err, errlen, "\"%.120s\" %s, " ALLOWED, text, what);
	return -1;
}

/* 0 to 65535 in digits, else -1; 0 lets the host choose. */
static int
parse_port(const char *text)
{
	int port = 0;

	if (*text == '\0' || strlen(text) > 5)
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		port = port * 10 + (*text - '0');
	}
	return port <= 65535 ? port : -1;
}

static int
parse_unix(const char *text, struct address *out, char *err, size_t errlen)
{
	const char *path = text + strlen("unix:");

	if (path[0] != '/')
		return refuse(text, "has no absolute path", err, errlen);
	if (strlen(path) >= sizeof(out->path))
		return refuse(text, "has a path over 107 bytes", err, errlen);
	out->family = ADDRESS_UNIX;
	out->loopback = true;
	memcpy(out->path, path, strlen(path) + 1);
	return 0;
}

static int
parse_inet6(const char *text, const char *host, struct address *out, char *err, size_t errlen)
{
	static const unsigned char mapped[13] = { [10] = 0xff, [11] = 0xff, [12] = 127 };
	struct in6_addr in6;

	if (inet_pton(AF_INET6, host, &in6) != 1)
		return refuse(text, "has no numeric IPv6 address in its brackets", err, errlen);
	out->family = ADDRESS_INET6;
	out->loopback = IN6_IS_ADDR_LOOPBACK(&in6) ||
	    memcmp(&in6, mapped, sizeof(mapped)) == 0;
	inet_ntop(AF_INET6, &in6, out->host, sizeof(out->host));
	return 0;
}

static int
parse_inet(const char *text, const char *host, struct address *out, char *err, size_t errlen)
{
	struct in_addr in;

	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &in) != 1)
		return refuse(text, "has no numeric address", err, errlen);
	out->family = ADDRESS_INET;
	out->loopback = ntohl(in.s_addr) >> 24 == 127;
	inet_ntop(AF_INET, &in, out->host, sizeof(out->host));
	return 0;
}

int
address_parse(const char *text, size_t n, struct address *out, char *err, size_t errlen)
{
	char copy[256], host[256];
	char *colon, *end;
	int port;

	memset(out, 0, sizeof(*out));
	snprintf(copy, sizeof(copy), "%.*s", (int)(n < 255 ? n : 255), text);
	if (n >= sizeof(copy))
		return refuse(copy, "is too long", err, errlen);
	if (strncmp(copy, "unix:", 5) == 0)
		return parse_unix(copy, out, err, errlen);
	snprintf(host, sizeof(host), "%s", copy);
	colon = strrchr(host, ':');
	end = strchr(host, ']');
	if (colon == NULL || (host[0] == '[' && (end == NULL || end + 1 != colon)))
		return refuse(copy, "has no port", err, errlen);
	port = parse_port(colon + 1);
	if (port == -1)
		return refuse(copy, "has no port from 0 to 65535", err, errlen);
	out->port = (uint16_t)port;
	*colon = '\0';
	if (host[0] == '[') {
		*end = '\0';
		return parse_inet6(copy, host + 1, out, err, errlen);
	}
	return parse_inet(copy, host, out, err, errlen);
}

void
address_format(const struct address *a, char *out, size_t n)
{
	if (a->family == ADDRESS_UNIX)
		snprintf(out, n, "unix:%s", a->path);
	else
		snprintf(out, n, a->family == ADDRESS_INET6 ? "[%s]:%u" : "%s:%u", a->host,
		    (unsigned)a->port);
}

bool
address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && a->port == b->port && strcmp(a->host, b->host) == 0 &&
	    strcmp(a->path, b->path) == 0;
}

/* Append the addresses of one list. */
static size_t
list_words(const char *list, uint32_t listener, struct address *out, size_t at, size_t max)
{
	const char *word;
	char err[256];
	size_t n;

	while (at < max && (word = address_next(&list, &n)) != NULL) {
		if (address_parse(word, n, &out[at], err, sizeof(err)) == -1)
			continue;
		out[at++].listener = listener;
	}
	return at;
}

size_t
address_list(const struct settings *s, struct address *out, size_t max)
{
	uint32_t i;
	size_t at;

	at = list_words(s->listen, 0, out, 0, max);
	for (i = 0; i < s->listen_count; i++)
		at = list_words(s->listens[i].address, i + 1, out, at, max);
	return at;
}
