/*
 * The master, `plenumd: master`: region, listeners, supervision, signals, control socket; no work
 * for clients.
 */
#ifndef PLENUM_MASTER_MASTER_H
#define PLENUM_MASTER_MASTER_H

struct heritage;
struct options;

/*
 * Runs plenumd as the options say: start, service, stop. h tells the program's version, which one
 * it is, and how it runs a worker. Returns the exit status; a start that fails exits by itself.
 */
int master_run(const struct options *o, const struct heritage *h);

#endif
