/*
 * seal - shared memory that nobody changes any more, also not who made it
 */
#ifndef LINK_SEAL_H
#define LINK_SEAL_H

#include <stdbool.h>

#include "base/attr.h"

/*
 * This memfd, made with MFD_ALLOW_SEALING: neither its size nor its content can be changed from
 * now on. Nobody may have it mapped for writing. False: errno says why.
 */
MUST bool seal_memory(int fd);

#endif
