#!/bin/sh
# Does every header compile alone?
#
# usage: check_headers.sh [SRC] (the compiler: $CC)
set -eu

src=${1:-$(dirname "$0")/../src}
count=0
bad=0
list=$(find "$src" -name '*.h' | sort)
for header in $list; do
	count=$((count + 1))
	# included twice, so that a guard that does not work is found as well
	if ! printf '#include "%s"\n#include "%s"\n' "${header#"$src"/}" "${header#"$src"/}" |
		${CC:-cc} -std=gnu17 -D_GNU_SOURCE -I "$src" -Wall -Wextra -Werror \
			-fsyntax-only -x c -; then
		echo "$header does not compile alone"
		bad=$((bad + 1))
	fi
done
echo "$count headers, $bad problems"
[ "$bad" -eq 0 ] && [ "$count" -gt 0 ]
