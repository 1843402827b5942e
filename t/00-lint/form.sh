#!/bin/sh
# What the text of a source looks like.
# shellcheck disable=SC2154
. "$(dirname -- "$0")/lib.sh"

trailing_blanks() {
	grep -Hn '[[:blank:]]$' $sources $scripts configure.ac Makefile.am ./*/Makefile.inc etc/* \
	    ./*.md CHANGES doc/*
}

# Continuation lines have four blanks behind the tabs; comments have one.
blanks_for_tabs() {
	grep -Hn '^	*     *[^ *]' $sources | grep -v '^[^:]*:[0-9]*:	*    [^ ]'
}

# The mutants are scripts of sed, which have no place to break.
wide_lines() {
	for file in $sources $(echo "$scripts" | tr ' ' '\n' | grep -v mutants); do
		expand "$file" |
		    awk -v f="$file" 'length($0) > 100 { print f ":" FNR ": " length($0) }'
	done
}

long_files() {
	for file in $sources; do
		lines=$(wc -l <"$file")
		[ "$lines" -le 1000 ] || echo "$file: $lines lines"
	done
}

# From the brace in the first column to the one that closes it.
long_functions() {
	awk '
		FNR == 1 { name = ""; start = 0 }
		/^[A-Za-z_].*\(/ { name = $0 }
		/^\{/ { start = FNR }
		/^\}/ {
			if (start && FNR - start - 1 > 80)
				print FILENAME ":" start ": " FNR - start - 1 " lines: " name
			start = 0
		}' $(echo "$sources" | tr ' ' '\n' | grep '[.]c$')
}

# matches PATTERN FILE...: outside of comments
matches() {
	grep -Hn -E "$@" | grep -v -E '^[^:]*:[0-9]*:[[:space:]]*(/?\*|//|#)'
}

# calls NAMES FILE...
calls() {
	names=$1
	shift
	matches "(^|[^A-Za-z0-9_])($names) ?\\(" "$@"
}

banned_calls() {
	calls 'strcpy|strcat|stpcpy|sprintf|vsprintf|gets|alloca' $sources
	calls 'system|popen|strtok|rand|setlocale' $product
}

bare_volatile() {
	matches '(^|[^A-Za-z_])volatile[^A-Za-z_]' $product | grep -v 'sig_atomic_t'
}

struct_typedefs() {
	matches '^[[:space:]]*typedef[[:space:]]+struct' $product
}

notes() {
	grep -Hn -E '(TODO|FIXME|XXX|HACK)' $sources $scripts | grep -v -e '^t/00-lint/' -e 'XXXXXX'
}

# A whole folder may be named in EXTRA_DIST.
undistributed() {
	for file in t/[0-9]*/*.sh t/[0-9]*/*.mjs t/[0-9]*/*.[ch] t/tools/*.[ch] t/fuzz/*.[ch]; do
		[ -f "$file" ] || continue
		grep -q -E "(^|[[:space:]])(${file%/*}|$file)([[:space:]]|\$)" ./*/Makefile.inc ||
		    echo "$file: in no Makefile.inc"
	done
}

parse_scripts() {
	for file in $scripts; do
		if head -n 20 "$file" | grep -q -e '^#!.*bash' -e 'shellcheck shell=bash'; then
			bash -n "$file"
		else
			sh -n "$file"
		fi
	done
}

parse_javascript() {
	for file in console/*.js t/40-wire/*.mjs; do
		node --input-type=module --check <"$file" || echo "$file: see above"
	done
}

rule "no blanks at the ends of lines" trailing_blanks
rule "blocks are indented by tabs" blanks_for_tabs
rule "lines have at most 100 columns" wide_lines
rule "files have at most 1000 lines" long_files
rule "functions have at most 80 lines" long_functions
rule "none of the calls that are easy to get wrong" banned_calls
rule "no volatile" bare_volatile
rule "no typedef of a struct" struct_typedefs
rule "no notes to oneself" notes
rule "the tests are part of the distribution" undistributed
rule "scripts parse" parse_scripts
if command -v node >/dev/null; then
	rule "JavaScript parses" parse_javascript
else
	skip "JavaScript parses" "no node"
fi
finish
