/*
 * firewall - the role that has the kernel drop whom watch names
 *
 * Its one privilege is CAP_NET_ADMIN, its one tool the nft program. Without either it says so
 * and stays: those who would be dropped are refused at connect.
 */
#ifndef FIREWALL_FIREWALL_H
#define FIREWALL_FIREWALL_H

#include "link/start.h"

/* From GO to the end of the process; returns its exit code. */
int firewall_main(struct start *start);

#endif
