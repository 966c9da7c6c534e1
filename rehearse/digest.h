/*
 * digest - results made small enough for a page, with the figures that sum them up
 */
#ifndef REHEARSE_DIGEST_H
#define REHEARSE_DIGEST_H

#include <jansson.h>

#include "base/err.h"

#define DIGEST_SAMPLES	60000 /* visits of honest clients, in all results together */
#define DIGEST_SAMPLE_1 4000  /* of them, of one kind of client in one result, at most */

/*
 * results: an array of what result_json() made. Of several for the same scenario and server, the
 * rounds, the median is kept whole: by honest success under attack, then by p99; of two, the worse.
 * The others stay as their sums. Returns a new object, or NULL and e says which result is none:
 *
 * { "words": { "stages": [["connect", "up to the greeting"], ..], "ends": [..] },
 *   "shown": [ a result, in the order in which they first appear, with
 *       "seed": as text (JavaScript has no 64-bit numbers),
 *       "summary": { "success" (0 to 1, of honest visits under attack, as promises are judged),
 *           "p99_ms" (of the slowest kind of honest client), "quiet_success", "quiet_p99_ms",
 *           "after_success", "after_p99_ms", "attempts" (under attack), "attempts_per_s",
 *           "seconds", "cpu_s", "cpu_per_1000" (connections), "pss_most", "kernel_most",
 *           "log_bytes" (under attack), "log_per_1000" (refusals), "held" },  (null: not known)
 *       "rounds": [ { "round", "shown" (this one), "complete", "limited", "verdicts": [..],
 *           "summary" } ],
 *       "time": null or { "bucket_s", "to_s", "step_s",
 *           "attackers": [ { "name", "begun": [..], "open": [..] } ],   (all, if none attacks)
 *           "refused": { "rcpt": [..] },                                (of them together)
 *           "honest": [ { "name", "of" (visits), "t": [..], "ms": [..], "failed_t": [..],
 *               "failed_end": [..], "later_t": [..] (refused for now, by clients who come again),
 *               "steps" } ],
 *           "all": steps of all honest clients,
 *           "server": null or { "at_s", "cores", "pss", "kernel", "log_bytes" } } } ] }
 *
 * steps: { "n" (done), "failed", "p50", "p99" (ms; null if nothing was done) }, one of each for
 * every step_s seconds. Where points are left out, the slowest of each few stays, and so does
 * one of the others.
 */
json_t *digest_make(const json_t *results, struct err *e);

#endif
