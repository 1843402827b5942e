#!/bin/sh
# soak.sh [VARIANT]...
#
# stress_shm for long, in three builds of the code of shm/:
#	release		processes, killed at any moment
#	threads		threads on one mapping under ThreadSanitizer; they die where the test says
#	processes	processes, killed at any moment, with AddressSanitizer and
#			UndefinedBehaviorSanitizer
# each for SOAK_SECONDS (600), with SOAK_SEED (else the time of day; it is printed). The programs
# stay in soak/ of the build tree. Exit status 1 if anything was found.
#
# Called by `make soak`, which says how the product is built: SRCDIR, BUILDDIR, CC, CPPFLAGS, CFLAGS
# (without optimisation and sanitizers, which are chosen here), LIBS.
set -u

: "${SRCDIR:=.}" "${BUILDDIR:=.}" "${CC:=cc}" "${CPPFLAGS:=}" "${CFLAGS:=-std=gnu11}" "${LIBS:=}"
seconds=${SOAK_SECONDS:-600}
seed=${SOAK_SEED:-$(date +%s)}
dir=$BUILDDIR/soak
tests=0 failures=0
[ $# -gt 0 ] || set -- release threads processes
mkdir -p "$dir" || exit 1

# build NAME FLAG...: $dir/NAME
build() {
	program=$dir/$1
	shift
	# shellcheck disable=SC2086
	$CC $CPPFLAGS -I"$SRCDIR" -I"$BUILDDIR" $CFLAGS -g "$@" -o "$program" "$SRCDIR"/shm/*.c \
	    "$SRCDIR/t/20-stress/stress_shm.c" "$SRCDIR/t/20-stress/stress_kinds.c" $LIBS -lpthread
}

# say STATUS SENTENCE
say() {
	tests=$((tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tests - $2"
	else
		echo "not ok $tests - $2"
		failures=$((failures + 1))
	fi
}

for variant; do
	case $variant in
	release) flags='-O2' ;;
	threads) flags='-O1 -fsanitize=thread -DTHREADS' ;;
	processes) flags='-O1 -fsanitize=address,undefined -fno-sanitize-recover=all' ;;
	*)
		echo "no such variant: $variant" >&2
		exit 2
		;;
	esac
	# shellcheck disable=SC2086
	if ! build "$variant" $flags 2>"$dir/$variant.log"; then
		say 1 "$variant: does not compile, see $dir/$variant.log"
		continue
	fi
	# shellcheck disable=SC2086
	TSAN_OPTIONS='second_deadlock_stack=1 history_size=5' ASAN_OPTIONS=detect_leaks=0 \
	    "$dir/$variant" "$seconds" "$seed" >"$dir/$variant.log" 2>&1
	say $? "$variant: $seconds s with seed $seed, nothing is lost, doubled, torn or unseen"
	grep -v '^stress_shm: seed [0-9]*$' "$dir/$variant.log" | sed 's/^/# /'
done
echo "1..$tests"
[ "$failures" -eq 0 ]
