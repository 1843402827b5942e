#!/bin/sh
# Includes go one way: master -> ipc -> shm, worker -> ipc -> shm. Only master/main.c knows both.
. "$(dirname -- "$0")/lib.sh"

# Lines FILE:LINE: INCLUDED, with its quotes or brackets.
includes_of() {
	grep -Hn '^#[[:space:]]*include' "$@" |
	    sed 's/^\([^:]*:[0-9]*\):#[[:space:]]*include[[:space:]]*\([<"][^>"]*[>"]\).*/\1: \2/'
}

# outside FOLDER ALLOWED...: project includes of a folder that do not begin with an allowed name
outside() {
	folder=$1
	shift
	allowed=$(echo "config.h $*" | sed 's/[.]/[.]/g; s/ /|/g')
	includes_of "$folder"/*.[ch] | grep '"' | grep -v -E ": \"($allowed)"
}

outside_master() {
	outside master master/ ipc/ shm/ | grep -v '^master/main[.]c:.*"worker/worker[.]h"'
}

system_includes() {
	pattern=$1
	shift
	includes_of "$@" | grep -E "<($pattern)"
}

hiredis() {
	# shellcheck disable=SC2154
	system_includes 'hiredis/' $product | grep -v '^ipc/relay'
}

private_headers() {
	includes_of $product | grep -E '"[a-z]+/([a-z0-9]+_)?priv[.]h"' | awk -F'[:/" ]+' '$1 != $4'
}

bare_headers() {
	includes_of $product | grep '"' | grep -v -e '"config[.]h"' -e '"[a-z]*/'
}

own_header_first() {
	for file in shm/*.c ipc/*.c worker/*.c master/*.c; do
		header=${file%.c}.h
		[ -f "$header" ] || continue
		first=$(grep -m 1 '^#include' "$file")
		[ "$first" = "#include \"$header\"" ] || echo "$file: first is $first"
	done
}

guards() {
	for file in shm/*.h ipc/*.h worker/*.h master/*.h; do
		guard=PLENUM_$(echo "${file%.h}" | tr 'a-z/' 'A-Z_')_H
		grep -q "^#define $guard\$" "$file" || echo "$file: no guard $guard"
	done
}

# A source without a header has its prototypes in another one of its folder.
sources_without_header() {
	for file in shm/*.c ipc/*.c worker/*.c master/*.c; do
		[ ! -f "${file%.c}.h" ] || continue
		case $file in
		master/main.c | master/plenumctl.c) continue ;;
		esac
		name=$(basename "$file" .c)
		names="$name([.]c|_)|(dialect|upgrade)_$name"
		grep -q -E "(^|[^a-z0-9_])($names)" "${file%/*}"/*.h ||
		    echo "$file: no header, and no header of its folder names it"
	done
}

headers_alone() {
	for file in shm/*.h ipc/*.h worker/*.h master/*.h console/*.h; do
		"$cc" -std=gnu11 -fsyntax-only -x c -I. "-I${BUILDDIR:-.}" "$file" 2>&1 | head -n 3
	done
}

rule "shm includes nothing but shm" outside shm shm/
rule "ipc includes nothing but ipc and shm" outside ipc ipc/ shm/
rule "worker includes nothing but worker, ipc, shm and the console's table" \
    outside worker worker/ ipc/ shm/ console/assets.h
rule "master includes nothing but master, ipc and shm, and main.c the worker's door" outside_master
rule "atomics are the business of shm alone" \
    system_includes 'stdatomic' ipc/*.[ch] worker/*.[ch] master/*.[ch]
rule "shm knows no socket and no libevent" \
    system_includes 'event|hiredis|netinet|arpa|sys/socket|sys/un|sys/epoll' shm/*.[ch]
rule "only the relay knows hiredis" hiredis
rule "what is private to a folder stays there" private_headers
rule "project headers are included by their path from the top" bare_headers
rule "each source includes its own header first" own_header_first
rule "headers are guarded by their name" guards
rule "each source has its header" sources_without_header
cc=${CC:-cc}
if command -v "$cc" >/dev/null; then
	rule "each header compiles alone" headers_alone
else
	skip "each header compiles alone" "no C compiler"
fi
finish
