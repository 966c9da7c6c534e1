#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fields.h"
#include "link/calls.h"
#include "link/start.h"

/*
 * Sanitizers read /proc, trace their own process at exit and start a symbolizer: such a
 * build cannot be closed in, and says so.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- what is missing ------------------------------------------------------------------ */

/* A part that cannot be had: a warning in the log, or the end of the start. */
static bool missing(const struct start *s, const char *part, const char *why,
		    struct err *err)
{
	uint8_t mem[512];
	struct buf fields;
	struct timespec t;

	if (s->conf->set.sandbox == SANDBOX_REQUIRED)
		return err_set(err, "run.sandbox is required, but %s: %s", part, why);
	clock_gettime(CLOCK_REALTIME, &t);
	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", span_str(part));
	field_text(&fields, "what", span_str(why));
	pulse_log(s->pulse, LOG_SANDBOX, (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000,
		  NULL, buf_span(&fields));
	return true;
}

/* ---- Landlock: which files --------------------------------------------------------------- */

/* Headers may be older than the kernel: the whole structure, and all rights by their number. */
struct rules_attr {
	uint64_t fs;
	uint64_t net;	/* from ABI 4 */
	uint64_t scope; /* from ABI 6 */
};

#define FS_ALL_1     ((1ULL << 13) - 1)
#define FS_REFER     (1ULL << 13) /* ABI 2 */
#define FS_TRUNCATE  (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define NET_BIND     (1ULL << 0)  /* ABI 4 */
#define NET_CONNECT  (1ULL << 1)
#define SCOPE_ALL    3ULL /* ABI 6: abstract sockets and signals */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                   \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |            \
	 LANDLOCK_ACCESS_FS_MAKE_REG | FS_REFER | FS_TRUNCATE)

#define FS_RUN (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)

/* Rights that a file, which is no directory, can have. */
#define FS_FILE \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

static int rules_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
			    LANDLOCK_CREATE_RULESET_VERSION);
}

static struct rules_attr rules_for(int abi, enum role role)
{
	struct rules_attr a = { .fs = FS_ALL_1 };

	if (abi >= 2)
		a.fs |= FS_REFER;
	if (abi >= 3)
		a.fs |= FS_TRUNCATE;
	if (abi >= 4)
		a.net = role == ROLE_EDGE || role == ROLE_FETCH ? NET_BIND
								: NET_BIND | NET_CONNECT;
	if (abi >= 5)
		a.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		a.scope = SCOPE_ALL;
	return a;
}

/* Older kernels know a shorter structure and refuse a longer one only if it says more. */
static size_t attr_size(int abi)
{
	if (abi >= 6)
		return sizeof(struct rules_attr);
	return abi >= 4 ? offsetof(struct rules_attr, scope)
			: offsetof(struct rules_attr, net);
}

static bool allow_path(int rules, const char *path, uint64_t rights, struct err *err)
{
	struct landlock_path_beneath_attr beneath = { .allowed_access = rights };
	int fd = open(path, O_PATH | O_CLOEXEC);
	long rc;

	if (fd < 0)
		return err_set(err, "%s: %s%s", path, strerror(errno),
			       errno == EACCES ? ": one of the directories above it does "
						 "not let this user through (chmod o+x)"
					       : "");
	beneath.parent_fd = fd;
	rc = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath,
		     0);
	close(fd);
	return rc == 0 || err_set(err, "Landlock, %s: %s", path, strerror(errno));
}

static bool allow_paths(int rules, const struct sandbox *box, uint64_t known,
			struct err *err)
{
	struct err chance;

	for (size_t i = 0; box->read_write && box->read_write[i]; i++)
		if (!allow_path(rules, box->read_write[i], FS_WRITE & known, err))
			return false;
	for (size_t i = 0; box->read_only && box->read_only[i]; i++)
		if (!allow_path(rules, box->read_only[i], FS_READ & known, err))
			return false;
	for (size_t i = 0; box->execute && box->execute[i]; i++)
		if (!allow_path(rules, box->execute[i], FS_RUN, err))
			return false;
	/* SQLite asks it for chance; where it is not there, there is getrandom() */
	if (box->read_write)
		(void)!allow_path(rules, "/dev/urandom", FS_FILE & FS_READ, &chance);
	return true;
}

/* From ABI 4; headers may be older. */
struct port_attr {
	uint64_t rights;
	uint64_t port;
};

#define RULE_PORT 2

/*
 * An edge chooses the address that it connects from (delivery.source), with any port that
 * is free. It cannot listen there: see syscalls_fatal.def.
 */
static bool allow_ports(int rules, const struct rules_attr *attr, enum role role,
			struct err *err)
{
	const struct port_attr any = { .rights = NET_BIND, .port = 0 };

	if (role != ROLE_EDGE || !(attr->net & NET_BIND))
		return true;
	return syscall(SYS_landlock_add_rule, rules, RULE_PORT, &any, 0) == 0 ||
	       err_set(err, "Landlock, ports: %s", strerror(errno));
}

static bool enforce(int rules, struct err *err)
{
	return syscall(SYS_landlock_restrict_self, rules, 0) == 0 ||
	       err_set(err, "Landlock: %s", strerror(errno));
}

static bool close_files(struct start *s, const struct sandbox *box, struct err *err)
{
	int abi = rules_abi();
	struct rules_attr attr;
	int rules;
	bool closed;

	if (abi < 1)
		return missing(s, "landlock", "this kernel does not have it", err);
	if (abi < 2 && box->read_write)
		return missing(s, "landlock",
			       "this kernel cannot rename between directories under it "
			       "(Linux 5.19 can)",
			       err);
	attr = rules_for(abi, box->role);
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, attr_size(abi), 0);
	if (rules < 0)
		return missing(s, "landlock", strerror(errno), err);
	closed = allow_paths(rules, box, attr.fs, err) &&
		 allow_ports(rules, &attr, box->role, err) && enforce(rules, err);
	close(rules);
	if (closed)
		s->sandbox |= SANDBOX_HAS_LANDLOCK;
	return closed;
}

/* ---- all together -------------------------------------------------------------------------- */

static bool close_calls(struct start *s, const struct sandbox *box, struct err *err)
{
	int error;

	if (!calls_close(box->role, box->connects, &error, err))
		return error ? missing(s, "seccomp", strerror(error), err) : false;
	s->sandbox |= SANDBOX_HAS_SECCOMP;
	return true;
}

bool start_sandbox(struct start *s, const struct sandbox *box, struct err *err)
{
	s->sandbox = 0;
	if (s->alone || s->conf->set.sandbox == SANDBOX_OFF)
		return true;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_set(err, "no_new_privs: %s", strerror(errno));
	if (SANITIZED)
		return missing(s, "sandbox", "this program was built with sanitizers",
			       err);
	/* no core with secrets in it, no debugger of the same user */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return close_files(s, box, err) && close_calls(s, box, err);
}
