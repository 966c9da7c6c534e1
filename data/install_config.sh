#!/bin/sh
# Install holdfast.conf unless the administrator has one. (For meson install.)
set -eu

from=$1
to=${DESTDIR:-}$2/holdfast

mkdir -p "$to"
if [ -e "$to/holdfast.conf" ]; then
	echo "$to/holdfast.conf is there already; left as it is"
else
	install -m 0644 "$from" "$to/holdfast.conf"
fi
