#!/bin/sh
# What the tables of the code hold stands in the documentation, and nothing else does.
. "$(dirname -- "$0")/lib.sh"

if [ ! -x "${PLENUMD:-}" ]; then
	echo "1..0 # SKIP plenumd is not built"
	exit 77
fi
# shellcheck disable=SC2154
tmp=$(mktemp -d "${TMPDIR:-/tmp}/plenum-lint.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
"$PLENUMD" --help-config=mdoc >"$tmp/settings" || exit 1
sed '/^@SETTINGS@$/{r '"$tmp/settings"'
d;}' doc/plenum.conf.5.in >"$tmp/plenum.conf.5"

miss() {
	echo "doc/$1: no $2"
}

settings_names() {
	sed -n 's/^\.It Ic \([a-z_]*\) Ns = .*/\1/p' "$1" | sort -u
}

# The table in the code: X(name, ...) lines of shm/settings.c, by what plenumd prints for people.
help_names() {
	"$PLENUMD" --help-config | sed -n 's/^  \([a-z_]\{2,\}\)  *[^ ].*/\1/p' | sort -u
}

settings_in_man_page() {
	settings_names "$tmp/plenum.conf.5" >"$tmp/a"
	help_names >"$tmp/b"
	[ -s "$tmp/b" ] || echo "plenumd --help-config: no settings"
	diff "$tmp/a" "$tmp/b"
}

# Main settings, one commented line each; sections with their own.
settings_in_example() {
	sed -n 's/^#\{0,1\}\([a-z_]*\) =.*/\1/p' etc/plenum.conf | sort -u >"$tmp/c"
	grep -v -x include "$tmp/c" | diff "$tmp/b" -
}

example_is_valid() {
	"$PLENUMD" -t -c etc/plenum.conf >"$tmp/out" 2>&1 || cat "$tmp/out"
	[ "$(tail -n 1 "$tmp/out")" = "etc/plenum.conf: ok" ] || tail -n 1 "$tmp/out"
}

# Settings that the texts mention are settings.
settings_mentioned() {
	sed -n 's/.*-D \([a-z_]*\)=.*/\1/p' README.md doc/*.md doc/*.[0-9] | sort -u |
	    grep -v -x -F -f "$tmp/b"
}

counters_documented() {
	sed -n 's/^	X([A-Z_]*, "\(plenum_[a-z_]*\)",.*/\1/p' shm/stats.h >"$tmp/counters"
	[ -s "$tmp/counters" ] || echo "shm/stats.h: no counters"
	sed 's/^plenum_disconnects_\([a-z]*\)$/\1/' "$tmp/counters" | while read -r name; do
		grep -q "\`$name\`" doc/metrics.md || miss metrics.md "$name"
	done
}

metrics_exist() {
	grep -o 'plenum_[a-z_]*' doc/metrics.md | sort -u | while read -r name; do
		grep -q -e "$name" worker/metrics.c shm/stats.h || miss metrics.md "such $name"
	done
}

# Codes of errors: X(NAME, status, "code") and X(NAME, "code").
error_codes_documented() {
	sed -n 's/^	X([A-Z_]*, [0-9]*, "\([a-z_]*\)").*/\1/p' worker/http.h >"$tmp/codes"
	sed -n '/CHANNEL_ERRORS(X)/,/^$/s/^[[:blank:]]X([A-Z_]*, "\([a-z_]*\)").*/\1/p' \
	    worker/channels.c >>"$tmp/codes"
	[ "$(wc -l <"$tmp/codes")" -gt 20 ] || echo "worker/http.h: no codes"
	while read -r code; do
		grep -q -w "$code" doc/channels.md || miss channels.md "$code"
	done <"$tmp/codes"
}

# Close codes: the table of wsframe.h, and constants CLOSE_NAME of the project's own.
close_codes_documented() {
	{
		sed -n '/WS_CLOSE_CODES(X)/,/^$/s/^[[:blank:]]X([A-Z_]*, \([0-9]*\),.*/\1/p' \
		    worker/wsframe.h
		grep -h -o -E 'CLOSE_[A-Z_]* = [0-9]{4}' worker/*.[ch] | sed 's/.* = //'
	} | sort -u >"$tmp/closes"
	[ "$(wc -l <"$tmp/closes")" -gt 10 ] || echo "worker/wsframe.h: no close codes"
	while read -r code; do
		grep -q -w "$code" doc/channels.md ||
		    echo "doc/channels.md: no close code $code"
	done <"$tmp/closes"
}

message_types_documented() {
	sed -n '/^} types\[\] = {/,/^};/s/^[[:blank:]]{ "\([a-z]*\)", on_.*/\1/p' \
	    worker/channels.c >"$tmp/types"
	[ -s "$tmp/types" ] || echo "worker/channels.c: no types"
	while read -r type; do
		grep -q "\"type\":\"$type\"" doc/channels.md || miss channels.md "$type"
	done <"$tmp/types"
}

paths_documented() {
	sed -n 's/^	{ "\(\/[^"]*\)", .*/\1/p' worker/routes.c | sed 's/{channel}/C/' | sort -u \
	    >"$tmp/paths"
	[ -s "$tmp/paths" ] || echo "worker/routes.c: no routes"
	while read -r path; do
		grep -q -F -e "\`$path\`" -e " $path\`" doc/channels.md || miss channels.md "$path"
	done <"$tmp/paths"
}

# The commands of plenumctl.
commands_documented() {
	"$PLENUMCTL" --help | sed -n 's/^  \([a-z]*\)\( [a-z]\{1,\}\)\{0,1\}.*/\1\2/p' \
	    >"$tmp/commands"
	[ -s "$tmp/commands" ] || echo "plenumctl --help: no commands"
	while read -r command; do
		grep -q "^\.It Cm $command" doc/plenumctl.1 || miss plenumctl.1 "$command"
	done <"$tmp/commands"
}

rule "the man page has every setting" settings_in_man_page
rule "the example has every setting" settings_in_example
rule "the example is a valid configuration" example_is_valid
rule "settings in the texts exist" settings_mentioned
rule "every counter is documented" counters_documented
rule "every documented metric exists" metrics_exist
rule "every error code is documented" error_codes_documented
rule "every close code is documented" close_codes_documented
rule "every message of the channel dialect is documented" message_types_documented
rule "every path is documented" paths_documented
rule "every command is documented" commands_documented
if command -v mandoc >/dev/null; then
	rule "the man pages are clean" mandoc -Tlint -Wwarning doc/plenumd.8 doc/plenumctl.1 \
	    "$tmp/plenum.conf.5"
else
	skip "the man pages are clean" "no mandoc"
fi
finish
