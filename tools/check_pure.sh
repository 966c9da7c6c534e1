#!/bin/sh
# Do the pure folders need nothing from the world?
#
# usage: check_pure.sh ARCHIVE...
#
# The undefined symbols of all archives together must be defined in one of them or be on
# the list below: no system call, no clock, no allocation, no log. And they have no
# variables of their own. For a plain build only, since sanitizers bring symbols.
set -eu

[ $# -gt 0 ] || { echo "usage: check_pure.sh ARCHIVE..." >&2; exit 2; }

# What computes and touches only the memory it is given.
allowed='
memchr memcmp memcpy memmem memmove memset strchr strcmp strlen strncmp strnlen strstr
snprintf vsnprintf
__memcpy_chk __memmove_chk __memset_chk __snprintf_chk __vsnprintf_chk
__stack_chk_fail _GLOBAL_OFFSET_TABLE_
'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# nm -P prints "name type value size" for symbols, and "archive[member]:" between them
nm -P "$@" | awk 'NF >= 2 && $2 != "U" && $2 != "w" { print $1 }' | sort -u >"$work/defined"
nm -P "$@" | awk '
	NF == 1 { at = $1; sub(/:$/, "", at); n = split(at, part, "/"); at = part[n] }
	NF >= 2 && ($2 == "U" || $2 == "w") { print $1, at }' | sort -u >"$work/wanted"
# shellcheck disable=SC2086
printf '%s\n' $allowed | sort -u >"$work/allowed"

nm -P "$@" | awk '$2 == "B" || $2 == "b" || $2 == "C" { print $1 }' >"$work/variables"

[ -s "$work/defined" ] || { echo "no symbols in $*" >&2; exit 1; }

sed 's/$/ is a variable/' "$work/variables"
awk -v defined="$work/defined" -v allowed="$work/allowed" '
	BEGIN {
		while ((getline name < defined) > 0) known[name] = 1
		while ((getline name < allowed) > 0) known[name] = 1
	}
	!($1 in known) { print $2 " needs " $1; bad++ }
	END { print NR " imports, " bad + 0 " problems"; exit bad > 0 }' "$work/wanted" && [ ! -s "$work/variables" ]
