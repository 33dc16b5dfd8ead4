/*
 * Put before the C library's functions by LD_PRELOAD, where `cargo xtask soak` asks:
 *
 * SOAK_FAIL_AT=N      the Nth allocation that libwebsockets makes fails
 * SOAK_FAIL_EACH=N    each Nth does
 * SOAK_FAIL_TLS=1     those of the TLS library are meant instead
 * SOAK_CLOCK=1        the wall clock jumps once a second, by days, to and fro
 * SOAK_REPORT=FILE    eight bytes: how often an allocation failed, or the clock was wrong
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* What glibc's own functions are called besides. */
extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *old, size_t size);

static long fail_at, fail_each;
static int fail_tls, jump;
static atomic_long count, untold;
/* In the report, whoever ends the server. */
static atomic_long *faults = &untold;
static char *tls_begin, *tls_end;

static long
number(const char *name)
{
	const char *text = getenv(name);

	return text ? atol(text) : 0;
}

/* Finds where the code of the TLS library is. */
static int
visit(struct dl_phdr_info *info, size_t size, void *data)
{
	int i;

	(void)size;
	(void)data;
	if (!strstr(info->dlpi_name, "libcrypto") &&
	    !strstr(info->dlpi_name, "libssl"))
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		char *begin = (char *)info->dlpi_addr + part->p_vaddr;

		/* All of them allocate by a function of libcrypto. */
		if (part->p_type == PT_LOAD && (part->p_flags & PF_X) &&
		    strstr(info->dlpi_name, "libcrypto")) {
			tls_begin = begin;
			tls_end = begin + part->p_memsz;
		}
	}
	return 0;
}

static void
report(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	void *shared;

	if (fd < 0 || ftruncate(fd, sizeof(*faults)))
		abort();
	shared = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	if (shared == MAP_FAILED)
		abort();
	faults = shared;
	close(fd);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *name = getenv("SOAK_REPORT");

	if (name)
		report(name);
	fail_at = number("SOAK_FAIL_AT");
	fail_each = number("SOAK_FAIL_EACH");
	fail_tls = (int)number("SOAK_FAIL_TLS");
	jump = (int)number("SOAK_CLOCK");
	if (fail_tls)
		dl_iterate_phdr(visit, NULL);
}

/* Counts an allocation; whether it is one that fails. */
static int
fails(void)
{
	long n;

	if (!fail_at && !fail_each)
		return 0;
	n = atomic_fetch_add(&count, 1) + 1;
	if (n != fail_at && (!fail_each || n % fail_each))
		return 0;
	atomic_fetch_add(faults, 1);
	return 1;
}

void *
malloc(size_t size)
{
	char *caller = __builtin_return_address(0);

	if (fail_tls && caller >= tls_begin && caller < tls_end && fails()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(size);
}

/*
 * libwebsockets allocates by this function alone. Nobody else in the server calls it
 * with NULL: Rust does so for what it has already.
 */
void *
realloc(void *old, size_t size)
{
	if (!old && !fail_tls && fails()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(old, size);
}

/* By how many seconds the wall clock is wrong now. */
static time_t
error(void)
{
	static const time_t days[] = { 0, 3, -2, 400, -400 };
	struct timespec now;

	if (!jump)
		return 0;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	if (now.tv_sec % (sizeof(days) / sizeof(days[0])))
		atomic_fetch_add(faults, 1);
	return days[now.tv_sec % (sizeof(days) / sizeof(days[0]))] * 86400;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	long result = syscall(SYS_clock_gettime, clock, now);

	if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += error();
	return (int)result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec exact;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &exact))
		return -1;
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *where)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (where)
		*where = now.tv_sec;
	return now.tv_sec;
}
