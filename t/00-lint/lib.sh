# What the checks of this layer share. Each goes over the source tree, $SRCDIR. A rule is a function
# that prints a complaint per line, FILE:LINE: what, and `rule "sentence" FUNCTION [ARGUMENT]...`
# is a test that wants none. `finish` at the end.
# shellcheck shell=sh disable=SC2034
set -u

cd -- "${SRCDIR:-$(dirname -- "$0")/../..}" || exit 1
LC_ALL=C
export LC_ALL
tests=0
failures=0

# The sources of the product, and those with the tests'.
product=$(echo shm/*.[ch] ipc/*.[ch] worker/*.[ch] master/*.[ch])
sources="$product $(echo console/*.h t/*/*.[ch])"
scripts=$(echo autogen.sh .ci/run etc/*.sh console/*.sh t/run t/*/*.sh)

rule() {
	sentence=$1
	shift
	tests=$((tests + 1))
	complaints=$("$@" 2>&1)
	if [ -z "$complaints" ]; then
		echo "ok $tests - $sentence"
	else
		echo "not ok $tests - $sentence"
		echo "$complaints" | sed 's/^/# /'
		failures=$((failures + 1))
	fi
}

skip() {
	tests=$((tests + 1))
	echo "ok $tests - $1 # SKIP $2"
}

finish() {
	echo "1..$tests"
	[ "$failures" -eq 0 ]
	exit
}
