/* What the service manager is told: sd_notify(3)'s datagrams to $NOTIFY_SOCKET. */
#ifndef PLENUM_MASTER_NOTIFY_H
#define PLENUM_MASTER_NOTIFY_H

/* Remembers and removes $NOTIFY_SOCKET, so that no child speaks to it. */
void notify_init(void);

/* Each does nothing without a service manager, never blocks and cannot fail. */
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);

/* Puts the environment back as it was, for the next program. */
void notify_export(void);

#endif
