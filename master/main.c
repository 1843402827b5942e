/* plenumd: what the options ask for. The only file that knows both the master and the worker. */
#include <stdio.h>

#include "config.h"

#include "ipc/heritage.h"
#include "ipc/image.h"
#include "ipc/log.h"
#include "master/confhelp.h"
#include "master/master.h"
#include "master/options.h"
#include "master/start.h"
#include "worker/worker.h"

static void
run_worker(struct heritage *h)
{
	worker_run(h);
}

int
main(int argc, char **argv)
{
	static struct heritage h = { .version = PACKAGE_VERSION, .run_worker = run_worker };
	static struct options o;
	char err[256];

	h.image = image_own();
	if (options_parse(argc, argv, &o, err, sizeof err) != 0)
		fatal("%s", err);
	switch (o.action) {
	case OPTIONS_TEST:
		return start_test(&o);
	case OPTIONS_VERSION:
		return start_version(PACKAGE_VERSION);
	case OPTIONS_HELP:
		options_usage(stdout);
		return 0;
	case OPTIONS_HELP_CONFIG:
		confhelp_print(stdout);
		return 0;
	case OPTIONS_HELP_MDOC:
		confhelp_mdoc(stdout);
		return 0;
	case OPTIONS_KEEPER:
		worker_prepare();
		return start_keeper(&o, &h);
	default:
		worker_prepare();
		return master_run(&o, &h);
	}
}
