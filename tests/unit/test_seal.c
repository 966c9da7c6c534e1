/* Memory that changes no more. */
#include "expect.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "link/seal.h"

static int memory(void)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_int_equal(write(fd, "abc", 3), 3);
	return fd;
}

static void nothing_of_it_can_be_changed(void **unused)
{
	int fd = memory();

	(void)unused;
	assert_true(seal_memory(fd));
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 2), -1);
	assert_int_equal(ftruncate(fd, 4), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
}

static void who_has_it_mapped_to_write_keeps_it_open(void **unused)
{
	int fd = memory();
	void *map = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)unused;
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_false(seal_memory(fd));
	assert_int_equal(errno, EBUSY);
	assert_int_equal(munmap(map, 3), 0);
	assert_true(seal_memory(fd));
	close(fd);
}

static void what_cannot_be_sealed_is_said(void **unused)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	(void)unused;
	assert_false(seal_memory(fd));
	assert_int_equal(errno, EPERM);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_of_it_can_be_changed),
		cmocka_unit_test(who_has_it_mapped_to_write_keeps_it_open),
		cmocka_unit_test(what_cannot_be_sealed_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
