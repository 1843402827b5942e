/*
 * The master, `plenumd: master`: region, listeners, supervision, signals, control socket; no work
 * for clients.
 */
#ifndef PLENUM_MASTER_MASTER_H
#define PLENUM_MASTER_MASTER_H

struct heritage;
struct options;

/*
 * Runs plenumd as the options say: start, service, stop. run_worker runs a worker in the process
 * that calls it and never returns. Returns the exit status; a start that fails exits by itself.
 */
int master_run(const struct options *o, const char *version,
    void (*run_worker)(struct heritage *));

#endif
