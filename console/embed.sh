#!/bin/sh
# embed.sh SOURCE_DIR OUTPUT FILE...
#
# Writes OUTPUT, a C file that holds each FILE (a path below SOURCE_DIR, such as console/room.css)
# as bytes, and the table of console/assets.h. The same files give the same output. OUTPUT appears
# whole or not at all.
set -eu

if [ $# -lt 3 ]; then
	echo "usage: $0 SOURCE_DIR OUTPUT FILE..." >&2
	exit 1
fi
source_dir=$1
output=$2
shift 2

type_of() {
	case $1 in
	*.html) echo 'text/html; charset=utf-8' ;;
	*.css) echo 'text/css; charset=utf-8' ;;
	*.js) echo 'text/javascript; charset=utf-8' ;;
	*.svg) echo 'image/svg+xml' ;;
	*) echo "$0: no content type known for $1" >&2; exit 1 ;;
	esac
}

url_of() {
	case $1 in
	*/index.html) echo / ;;
	*) echo "/$1" ;;
	esac
}

trap 'rm -f "$output.tmp" "$output.rows"' EXIT
trap 'exit 1' HUP INT TERM

printf '/* Made by console/embed.sh; do not edit. */\n#include "console/assets.h"\n' >"$output.tmp"
: >"$output.rows"
n=0
for file; do
	path=$source_dir/$file
	type=$(type_of "$file")
	sum=$(sha256sum <"$path" | sed 's/^\(.\{16\}\).*/\1/')
	{
		printf '\nstatic const unsigned char data_%d[] = {\n' "$n"
		od -An -v -tx1 "$path" | sed 's/ *\([0-9a-f][0-9a-f]\) */0x\1,/g; s/^/	/'
		printf '};\n'
	} >>"$output.tmp"
	printf '\t{ "%s", "%s", "\\"%s\\"", data_%d, sizeof(data_%d) },\n' \
	    "$(url_of "$file")" "$type" "$sum" "$n" "$n" >>"$output.rows"
	n=$((n + 1))
done
{
	printf '\nconst struct asset assets[] = {\n'
	cat "$output.rows"
	printf '};\n\nconst unsigned assets_count = %d;\n' "$n"
} >>"$output.tmp"
mv "$output.tmp" "$output"
