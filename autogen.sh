#!/bin/sh
# Makes ./configure from a checkout. Then, anywhere: CHECKOUT/configure && make
set -eu
cd -- "$(dirname -- "$0")"
if ! command -v autoreconf >/dev/null; then
	echo "autoreconf is missing. On Debian: apt-get install autoconf automake pkg-config" >&2
	exit 1
fi
mkdir -p build-aux
exec autoreconf --install --warnings=all,no-portability
