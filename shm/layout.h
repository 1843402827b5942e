/* What the layout headers share: the assertion that a field lies where the picture says. */
#ifndef PLENUM_SHM_LAYOUT_H
#define PLENUM_SHM_LAYOUT_H

#include <stddef.h>

#define LAYOUT_AT(s, field, n) \
	_Static_assert(offsetof(struct s, field) == (n), #s "." #field " is not at " #n)
#define LAYOUT_SIZE(s, n) \
	_Static_assert(sizeof(struct s) == (n), "struct " #s " is not " #n " bytes")

#endif
