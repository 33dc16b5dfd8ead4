/* The key log's hook in the TLS library, and the variable that turns it on. */

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "glue.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

const char *
lwsrs_keylog_env_name(void)
{
	return LWS_KEYLOG_ENV_NAME;
}

/* Whether the environment is that of somebody with fewer rights than ours. */
static int
raised_privileges(void)
{
#if defined(__linux__)
	return getauxval(AT_SECURE) != 0;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__)
	return issetugid() != 0;
#elif defined(__unix__)
	return getuid() != geteuid() || getgid() != getegid();
#else
	return 0;
#endif
}

int
lwsrs_keylog_env_read(const char **value)
{
	const char *name = lwsrs_keylog_env_name();

	*value = NULL;
	if (!name[0])
		return LWSRS_KEYLOG_ENV_UNSET;
#if defined(__GLIBC__)
	*value = secure_getenv(name);
#else
	if (!raised_privileges())
		*value = getenv(name);
#endif
	if (*value && **value)
		return LWSRS_KEYLOG_ENV_SET;
	*value = NULL;
	if (raised_privileges() && getenv(name))
		return LWSRS_KEYLOG_ENV_IGNORED;
	return LWSRS_KEYLOG_ENV_UNSET;
}

/* Written once, by lwsrs_keylog_init(), before anything reads them. */
static int log_index = -1;
static lwsrs_keylog_fn log_fn;

int
lwsrs_keylog_init(lwsrs_keylog_fn fn)
{
	log_fn = fn;
	log_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return log_index < 0 ? -1 : 0;
}

static void
on_line(const SSL *ssl, const char *line)
{
	/* After SNI this is the SSL_CTX of the vhost that was chosen. */
	void *log = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), log_index);

	if (log && line)
		log_fn(log, line, strlen(line));
}

int
lwsrs_keylog_install(SSL_CTX *ctx, void *log)
{
	if (SSL_CTX_get_ex_data(ctx, log_index) == log)
		return 0;
	if (SSL_CTX_set_ex_data(ctx, log_index, log) != 1)
		return -1;
	SSL_CTX_set_keylog_callback(ctx, on_line);
	return 0;
}
