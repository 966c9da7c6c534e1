#include "link/calls.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

enum {
	E = 1u << ROLE_EDGE,
	S = 1u << ROLE_STORE,
	A = 1u << ROLE_AUTH,
	W = 1u << ROLE_WATCH,
	F = 1u << ROLE_FIREWALL,
	H = 1u << ROLE_FETCH,
};

static const struct call_row {
	const char *name;
	unsigned roles;
} calls[] = {
#define CALL(name, roles) { #name, roles },
#include "link/syscalls.def"
};

static const char *const fatal_calls[] = {
#define CALL(name) #name,
#include "link/syscalls_fatal.def"
};

/* What terminals and sockets are asked by libc, libuv and us; no others. */
static const unsigned long ioctls[] = { FIONBIO,  FIOCLEX, FIONCLEX,
					FIONREAD, TCGETS,  TIOCOUTQ };

static const int families[] = { AF_INET, AF_INET6, AF_UNIX };

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

static bool add(scmp_filter_ctx f, uint32_t action, const char *name, unsigned n,
		struct scmp_arg_cmp arg)
{
	int call = seccomp_syscall_resolve_name(name);

	/* a call that this machine or this libseccomp does not know cannot be made either */
	if (call < 0)
		return true;
	return seccomp_rule_add_array(f, action, call, n, n ? &arg : NULL) == 0;
}

static bool allow_if(scmp_filter_ctx f, const char *name, struct scmp_arg_cmp arg)
{
	return add(f, SCMP_ACT_ALLOW, name, 1, arg);
}

/*
 * Threads, but no processes. Newer libraries try clone3(), whose flags cannot be looked
 * at: they are told that there is none, and use clone().
 */
static bool allow_threads(scmp_filter_ctx f)
{
	return allow_if(f, "clone",
			SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) &&
	       add(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, (struct scmp_arg_cmp){ 0 });
}

/* No namespaces for a child: CLONE_NEWNS and its like. */
#define CLONE_NAMESPACES                                                               \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)

/*
 * The firewall starts a program, which has the same list and loads its libraries: memory
 * that is code, netlink to change tables and ask for addresses, the end of one that hangs.
 * Which program it may be is Landlock's part.
 */
static bool allow_program(scmp_filter_ctx f)
{
	static const int protocols[] = { NETLINK_ROUTE, NETLINK_NETFILTER };
	struct scmp_arg_cmp none = { 0 };
	bool ok = allow_if(f, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NAMESPACES, 0)) &&
		  allow_if(f, "kill", SCMP_A1(SCMP_CMP_EQ, SIGKILL, 0)) &&
		  add(f, SCMP_ACT_ALLOW, "mmap", 0, none) &&
		  add(f, SCMP_ACT_ALLOW, "mmap2", 0, none) &&
		  add(f, SCMP_ACT_ALLOW, "mprotect", 0, none) &&
		  allow_if(f, "prlimit64", SCMP_A0(SCMP_CMP_EQ, 0, 0));

	for (size_t i = 0; ok && i < COUNT_OF(protocols); i++) {
		struct scmp_arg_cmp args[] = {
			SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0),
			SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)protocols[i], 0),
		};

		ok = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket),
					    COUNT_OF(args), args) == 0;
	}
	return ok;
}

static bool allow_some(scmp_filter_ctx f, enum role role)
{
	bool ok = allow_threads(f);

	/* memory that is code already stays so; nothing else becomes code */
	ok = ok && allow_if(f, "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) &&
	     allow_if(f, "mmap2", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) &&
	     allow_if(f, "mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* abort() and raise(): signals to ourselves */
	ok = ok && allow_if(f, "tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
	/* limits may be read */
	ok = ok && allow_if(f, "prlimit64", SCMP_A2(SCMP_CMP_EQ, 0, 0));
	ok = ok && allow_if(f, "prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0)) &&
	     allow_if(f, "prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA, 0));
	for (size_t i = 0; ok && i < COUNT_OF(ioctls); i++)
		ok = allow_if(f, "ioctl", SCMP_A1(SCMP_CMP_EQ, ioctls[i], 0));
	if (ok && role == ROLE_FIREWALL)
		ok = allow_program(f);
	/* the last of the families is of this machine, where fetch has nothing to do */
	for (size_t i = 0; ok && i < COUNT_OF(families); i++)
		if (role == ROLE_EDGE || (role == ROLE_FETCH && families[i] != AF_UNIX))
			ok = allow_if(f, "socket",
				      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	return ok;
}

/* Of the fatal ones, what the firewall needs all the same: see syscalls.def. */
static bool starts_programs(const char *call)
{
	return strcmp(call, "execve") == 0 || strcmp(call, "fork") == 0 ||
	       strcmp(call, "vfork") == 0;
}

/*
 * To a socket of this machine: who asks a Dovecot for passwords. Of another family there is
 * none to connect, so there is nothing else to connect to.
 */
static bool allow_local(scmp_filter_ctx f)
{
	return allow_if(f, "socket", SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0)) &&
	       add(f, SCMP_ACT_ALLOW, "connect", 0, (struct scmp_arg_cmp){ 0 }) &&
	       add(f, SCMP_ACT_KILL_PROCESS, "bind", 0, (struct scmp_arg_cmp){ 0 });
}

static bool fill(scmp_filter_ctx f, enum role role, bool connects)
{
	struct scmp_arg_cmp none = { 0 };
	bool ok = allow_some(f, role);

	for (size_t i = 0; ok && i < COUNT_OF(calls); i++)
		if (calls[i].roles & (1u << role))
			ok = add(f, SCMP_ACT_ALLOW, calls[i].name, 0, none);
	for (size_t i = 0; ok && i < COUNT_OF(fatal_calls); i++)
		if (role != ROLE_FIREWALL || !starts_programs(fatal_calls[i]))
			ok = add(f, SCMP_ACT_KILL_PROCESS, fatal_calls[i], 0, none);
	if (ok && connects)
		return allow_local(f);
	if (ok && (role == ROLE_STORE || role == ROLE_AUTH))
		ok = add(f, SCMP_ACT_KILL_PROCESS, "socket", 0, none) &&
		     add(f, SCMP_ACT_KILL_PROCESS, "connect", 0, none) &&
		     add(f, SCMP_ACT_KILL_PROCESS, "bind", 0, none);
	return ok;
}

bool calls_close(enum role role, bool connects, int *error, struct err *err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	*error = 0;
	if (!f)
		return err_set(err, "seccomp: out of memory");
	(void)seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1);
	if (!fill(f, role, connects)) {
		seccomp_release(f);
		return err_set(err, "seccomp: the filter cannot be made");
	}
	*error = -seccomp_load(f);
	seccomp_release(f);
	return *error == 0;
}
