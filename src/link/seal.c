#include "link/seal.h"

#include <errno.h>
#include <fcntl.h>

/*
 * The kernel seals no content while somebody holds a page of it, who might write. It waits for
 * that itself, up to 75 ms (memfd_wait_for_pins()), and then says EBUSY: but when it is short of
 * memory it holds pages itself, to see which are in use.
 */
#define TRIES 20

bool seal_memory(int fd)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	for (int i = 0; i < TRIES; i++) {
		if (fcntl(fd, F_ADD_SEALS, seals) == 0)
			return true;
		if (errno != EBUSY)
			return false;
	}
	return false;
}
