#!/bin/sh
# Does clang-format agree?
#
# usage: check_format.sh [--fix] [FILE...] (without files: all of src, tests, bench and rehearse)
#
# Only version 14 is asked (Debian 12): others place some things differently.
set -eu

cd "$(dirname "$0")/.."
tool=
for name in clang-format-14 clang-format; do
	if command -v "$name" >/dev/null && "$name" --version | grep -q 'version 14\.'; then
		tool=$name
		break
	fi
done
if [ -z "$tool" ]; then
	echo "no clang-format 14 here"
	exit 77
fi
how="--dry-run -Werror"
if [ "${1:-}" = --fix ]; then
	how=-i
	shift
fi
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(find src tests bench rehearse -name '*.[ch]' -not -path '*/build*' | sort)
# shellcheck disable=SC2086
"$tool" $how "$@"
echo "$# files"
