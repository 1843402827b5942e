/* What the service manager is told: sd_notify(3)'s datagrams to $NOTIFY_SOCKET. */
#ifndef PLENUM_MASTER_NOTIFY_H
#define PLENUM_MASTER_NOTIFY_H

#include <stdbool.h>

/* Remembers and removes $NOTIFY_SOCKET, so that no child speaks to it. */
void notify_init(void);

/* Each does nothing without a service manager, never blocks and cannot fail. */
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);

/*
 * The manager's descriptor store: whatever it keeps under a name it hands to the next start. Waits
 * for a second at most. False: there is no manager, or it does not listen. Whether it keeps what it
 * was given nobody says.
 */
bool notify_store(const char *name, int fd);
bool notify_unstore(const char *name);

/* Puts the environment back as it was, for the next program. */
void notify_export(void);

#endif
