#!/usr/bin/env bash
# The systemd unit: systemd's own opinion of it, and what plenumd tells a manager.
. "$(dirname "$0")/lib.sh"

unit=$(dirname "$0")/../../etc/plenumd.service

if command -v systemd-analyze > /dev/null; then
	# the programs of the unit are those under test
	ln -s "$PLENUMD" "$dir/plenumd"
	ln -s "$PLENUMCTL" "$dir/plenumctl"
	sed "s|/usr/s\{0,1\}bin/|$dir/|; /^Documentation=/d" "$unit" > "$dir/plenumd.service"
	complaints=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify "$dir/plenumd.service" 2>&1 |
	    grep -F plenumd.service)
	check "systemd finds nothing wrong with the unit" is "$complaints" ""
else
	skip "systemd finds nothing wrong with the unit" "no systemd-analyze"
fi
for line in Type=notify KillMode=process KillSignal=SIGQUIT 'ExecStart=/usr/sbin/plenumd -f' \
    Restart=on-failure RuntimeDirectory=plenum RuntimeDirectoryPreserve=restart \
    WantedBy=multi-user.target; do
	check "the unit says $line" grep -qx "$line" "$unit"
done
check "each line is a section, a setting, a comment or empty" \
    fails grep -nvE '^(\[[A-Z][a-z]+\]|[A-Z][A-Za-z]+=.+|#.*|)$' "$unit"
seconds=$(sed -n 's/^TimeoutStopSec=//p' "$unit")
check "there is more time to stop than graceful_timeout has" test "$seconds" -gt 30
limit() { sed -n "s/.*[ 	]$1 = \([0-9]*\),.*/\1/p" "$(dirname "$0")/../../shm/limits.h"; }
most=$((1 + $(limit HELPERS_MAX) + $(limit WORKERS_MAX) * (3 + $(limit LISTENERS_MAX))))
check "systemd keeps as many descriptors as there can be" \
    is "$(sed -n 's/^FileDescriptorStoreMax=//p' "$unit")" "$most"

# What the unit's ExecReload does.
start -c /dev/null
check "the unit's reload succeeds" ctl reload
stop QUIT
check "QUIT ends it" is $? 0
check "and a reload fails then" fails ctl reload 2> /dev/null
finish
