#ifndef PLENUM_CONSOLE_ASSETS_H
#define PLENUM_CONSOLE_ASSETS_H

/*
 * The files of the console page, compiled in. The table is made by console/embed.sh at build time,
 * is constant, and may be read by any process; nothing in it is ever freed.
 */
struct asset {
	const char *path;		/* of the URL, "/" for the page itself */
	const char *type;		/* value of Content-Type */
	const char *etag;		/* value of ETag, with its quotes; changes with the bytes */
	const unsigned char *data;	/* not terminated */
	unsigned len;			/* in bytes */
};

extern const struct asset assets[];
extern const unsigned assets_count;

#endif
