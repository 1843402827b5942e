/*
 * main() for a harness without libFuzzer: gives it every file of the directories that are named, or
 * of its own corpus in the source tree, and a few changes of each. What fuzzing has found once is
 * looked at again in make check, by any compiler.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, CHANGES = 8 };

static unsigned inputs;

/* A copy of exact size, so that a sanitizer sees one byte too far. */
static void
give(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);

	if (copy == NULL)
		exit(1);
	memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
	inputs++;
}

static void
give_changed(uint8_t *p, size_t n)
{
	unsigned seed = (unsigned)n * 2654435761u + 1, i;
	size_t at;
	uint8_t was;

	for (i = 0; i < CHANGES && n > 0; i++) {
		seed = seed * 1103515245u + 12345;
		at = (seed >> 8) % n;
		was = p[at];
		p[at] ^= (uint8_t)(1u << (seed >> 4) % 8);
		give(p, n);
		p[at] = was;
	}
	give(p, n / 2);
}

static int
replay_file(const char *path)
{
	static uint8_t input[INPUT_MAX];
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL) {
		perror(path);
		return 1;
	}
	n = fread(input, 1, sizeof input, f);
	fclose(f);
	give(input, n);
	give_changed(input, n);
	return 0;
}

static int
replay_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[1024];
	int failed = 0;

	if (d == NULL) {
		perror(dir);
		return 1;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		failed |= replay_file(path);
	}
	closedir(d);
	return failed;
}

/* The program is …/replay_NAME. */
static int
replay_own(const char *program)
{
	const char *top = getenv("SRCDIR"), *name = strrchr(program, '_');
	char dir[1024];

	snprintf(dir, sizeof dir, "%s/t/fuzz/corpus/%s", top != NULL ? top : ".",
	    name != NULL ? name + 1 : program);
	return replay_dir(dir);
}

int
main(int argc, char **argv)
{
	struct stat st;
	int failed = 0, i;

	for (i = 1; i < argc; i++)
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			failed |= replay_dir(argv[i]);
		else
			failed |= replay_file(argv[i]);
	if (argc < 2)
		failed = replay_own(argv[0]);
	printf("%u inputs\n", inputs);
	return failed != 0 || inputs == 0;
}
