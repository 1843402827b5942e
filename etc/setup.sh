#!/bin/sh
# setup.sh run [OPTION OF plenumd]...	builds plenumd and runs it in the foreground
# setup.sh check			builds everything, warnings being errors, and tests it
#
# For Debian 12 and its like, as root or with sudo; installs the packages that are missing. The
# build tree is ./build beside the sources.
set -eu

top=$(cd -- "$(dirname -- "$0")/.." && pwd)

build_packages='autoconf automake make gcc libc6-dev pkg-config libevent-dev libhttp-parser-dev
	libbsd-dev libhiredis-dev libjansson-dev zlib1g-dev libssl-dev'
check_packages='check mandoc logrotate curl procps'

is_installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Installs what is missing of its arguments, and says so.
install_packages() {
	missing=
	for package; do
		is_installed "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	echo "installing:$missing"
	updated=${updated:-no}
	if [ "$updated" = no ]; then
		as_root apt-get update -q
		updated=yes
	fi
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -q -y --no-install-recommends $missing
}

# apt-get only where there is one; elsewhere configure says what is missing.
install_for_build() {
	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		return 0
	fi
	# shellcheck disable=SC2086
	install_packages $build_packages
}

install_for_check() {
	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		return 0
	fi
	# shellcheck disable=SC2086
	install_packages $check_packages
	node_is_new || install_packages nodejs
	command -v npm >/dev/null || install_packages npm
	if ! command -v chromium >/dev/null; then
		install_packages chromium || echo "no chromium: the test of the console is skipped"
	fi
}

node_is_new() {
	command -v node >/dev/null &&
	    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ]
}

# build_tree [OPTION OF configure]...: configures anew only when that is needed.
build_tree() {
	cd -- "$top"
	if [ ! -x configure ] ||
	    [ -n "$(find configure.ac Makefile.am ./*/Makefile.inc -newer configure)" ]; then
		./autogen.sh
	fi
	mkdir -p build
	cd build
	if [ ! -f Makefile ] || [ ../configure -nt Makefile ] ||
	    [ "$(cat .options 2>/dev/null)" != "$*" ]; then
		../configure "$@"
		echo "$*" >.options
	fi
	make -s -j"$(nproc)"
}

# Where a browser finds the server that these options give.
url() {
	address=${PLENUM_LISTEN:-127.0.0.1:8080}
	for word; do
		case $word in
		listen=*) address=${word#listen=} ;;
		-Dlisten=*) address=${word#-Dlisten=} ;;
		esac
	done
	echo "http://${address%% *}/"
}

case ${1:-} in
run)
	shift
	install_for_build
	build_tree
	echo
	echo "plenumd runs until you press Ctrl-C. Open $(url "$@") in two windows."
	exec "$top/build/plenumd" -f "$@"
	;;
check)
	install_for_build
	install_for_check
	(
		cd -- "$top/t/40-wire"
		if [ ! -f node_modules/.package-lock.json ] ||
		    [ package-lock.json -nt node_modules/.package-lock.json ]; then
			npm ci --no-audit --no-fund
		fi
	)
	build_tree --enable-werror
	make -s -j"$(nproc)" tests
	# As `make check` does; not through it, so that its last line is the last in a failure, too.
	PLENUM_BUILD=$top/build exec sh "$top/t/run"
	;;
*)
	echo "usage: $0 run [OPTION OF plenumd]... | check" >&2
	exit 2
	;;
esac
