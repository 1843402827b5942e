/*
 * The logger, `plenumd: logger`: the one process that writes log lines to a file, a terminal or
 * syslog. Everybody else puts them into a ring of its own.
 */
#ifndef PLENUM_IPC_LOGGER_H
#define PLENUM_IPC_LOGGER_H

struct heritage;

/*
 * Runs the logger in this process, which the master has just forked with all signals blocked:
 * h->slot is HELPER_LOGGER, h->log_fd the descriptor to write to, or -1 for syslog. Drops
 * privileges. The format is that of the settings in force; for another one, or another file, the
 * master starts another logger. Ends when its slot has the order to stop, or when the master is
 * gone, after everything that lies in the rings was written. Never returns.
 */
_Noreturn void logger_run(struct heritage *h);

#endif
