/*
 * Put before the C library's functions by LD_PRELOAD, where `cargo xtask soak` asks:
 *
 * SOAK_FAIL_AT=N      the Nth allocation that libwebsockets makes fails
 * SOAK_FAIL_EACH=N    each Nth does
 * SOAK_FAIL_TLS=1     those of the TLS library are meant instead
 * SOAK_CLOCK=1        the wall clock jumps once a second, by days, to and fro
 */

#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* What glibc's own functions are called besides. */
extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *old, size_t size);

static long fail_at, fail_each;
static int fail_tls, jump;
static atomic_long count;
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

__attribute__((constructor)) static void
begin(void)
{
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
	return n == fail_at || (fail_each && n % fail_each == 0);
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
