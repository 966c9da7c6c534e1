#!/bin/sh
# Do docs/settings.md and docs/events.md say what the tables say?
#
# usage: check_docs.sh [--fix] HOLDFAST
set -eu

fix=
if [ "${1:-}" = --fix ]; then
	fix=yes
	shift
fi
holdfast=$1
docs=$(dirname "$0")/../docs
bad=0

compare() {
	file=$docs/$1
	shift
	if [ "$fix" ]; then
		"$holdfast" "$@" >"$file"
	elif ! "$holdfast" "$@" | diff -u "$file" - >&2; then
		echo "$file is not what \`holdfast $*\` prints: tools/check_docs.sh --fix $holdfast"
		bad=1
	fi
}

compare settings.md config doc --markdown
compare events.md events --markdown
exit "$bad"
