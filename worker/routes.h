/*
 * The paths, as a table: who serves what, by which methods, on which listeners.
 */
#ifndef PLENUM_WORKER_ROUTES_H
#define PLENUM_WORKER_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

struct http;

/* Answers a complete request: finds its route and calls its handler, or answers 404, 405, 503. */
void routes_dispatch(struct http *h);

/* "Allow: GET, HEAD\r\n" for the methods in the mask. */
void routes_allow(unsigned verbs, char *out, size_t cap);

/* Whether an origin is in a list of patterns, in which * stands for a run within a label. */
bool routes_origin_matches(const char *patterns, const char *origin, size_t n);

/* Handlers. */
void api_publish(struct http *h);
void api_events(struct http *h);
void health_all(struct http *h);
void health_live(struct http *h);
void health_ready(struct http *h);
void metrics_page(struct http *h);
void page_asset(struct http *h);
void upgrade_channels(struct http *h);
void upgrade_echo(struct http *h);

#endif
