/* The key log's hook in the TLS library, and the variable that turns it on. */

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "glue.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
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

/* The value that a variable has, unless it is empty or somebody else's. */
static const char *
own_variable(const char *name)
{
	const char *value;
#if defined(__GLIBC__)
	value = secure_getenv(name);
#else
	value = raised_privileges() ? NULL : getenv(name);
#endif
	return value && *value ? value : NULL;
}

int
lwsrs_keylog_env_read(const char **value)
{
	const char *name = lwsrs_keylog_env_name();

	*value = NULL;
	if (!name[0])
		return LWSRS_KEYLOG_ENV_UNSET;
	*value = own_variable(name);
	if (*value)
		return LWSRS_KEYLOG_ENV_SET;
	if (raised_privileges() && getenv(name))
		return LWSRS_KEYLOG_ENV_IGNORED;
	return LWSRS_KEYLOG_ENV_UNSET;
}

/* Written once, by lwsrs_keylog_init(), before anything reads them. */
static struct lwsrs_keylog_calls calls;
static int hook_index = -1, records_index = -1;

/*
 * What is called may be the application's, in part, and comes while the TLS library is at work:
 * an error that it leaves on this thread's queue would be taken for the handshake's. So each
 * call but that of wants_lines(), which reads a switch, is between these two.
 */
static void
leave(void)
{
	ERR_set_mark();
}

static void
come_back(void)
{
	/* Down to the mark, or all, where the queue was empty and took none. */
	ERR_pop_to_mark();
}

static void
free_hook(void *parent, void *hook, CRYPTO_EX_DATA *ad, int index, long argl,
	  void *argp)
{
	if (!hook)
		return;
	leave();
	calls.free_hook(hook);
	come_back();
}

static void
free_records(void *parent, void *records, CRYPTO_EX_DATA *ad, int index,
	     long argl, void *argp)
{
	if (!records)
		return;
	leave();
	calls.free_records(records);
	come_back();
}

int
lwsrs_keylog_init(const struct lwsrs_keylog_calls *given)
{
	calls = *given;
	hook_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_hook);
	records_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_records);
	if (hook_index < 0 || records_index < 0)
		return -1;
	return 0;
}

static void
on_line(const SSL *ssl, const char *line)
{
	/* After SNI this is the SSL_CTX of the vhost that was chosen. */
	void *hook = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), hook_index);
	void *before, *after;

	if (!hook || !line)
		return;
	before = SSL_get_ex_data(ssl, records_index);
	leave();
	after = calls.line(hook, before, ssl, line, strlen(line));
	if (after != before &&
	    SSL_set_ex_data((SSL *)ssl, records_index, after) != 1)
		calls.free_records(after);
	come_back();
}

/*
 * OpenSSL formats each line before it calls back, 3.0 with an sprintf() for each
 * byte: nearly a tenth of a handshake. So the callback is in place only while
 * somebody wants lines. This is called with each step of a handshake, and so before
 * any secret of it. OpenSSL reads the callback without a lock, but in this thread
 * alone: an SSL_CTX of ours is used by that of its context.
 */
static void
follow_switch(const SSL *ssl)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	void *hook = SSL_CTX_get_ex_data(ctx, hook_index);

	if (hook)
		SSL_CTX_set_keylog_callback(
			ctx, calls.wants_lines(hook) ? on_line : NULL);
}

static void
on_info(const SSL *ssl, int where, int ret)
{
	void *records;

	follow_switch(ssl);
	if (!(where & SSL_CB_HANDSHAKE_DONE))
		return;
	records = SSL_get_ex_data(ssl, records_index);
	if (!records)
		return;
	leave();
	calls.finished(records);
	come_back();
}

int
lwsrs_keylog_install(SSL_CTX *ctx, void *hook)
{
	if (SSL_CTX_set_ex_data(ctx, hook_index, hook) != 1)
		return -1;
	SSL_CTX_set_info_callback(ctx, on_info);
	return 0;
}

void *
lwsrs_keylog_installed(SSL_CTX *ctx)
{
	return SSL_CTX_get_ex_data(ctx, hook_index);
}

int
lwsrs_keylog_hooked(const SSL *ssl)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);

	return hook_index >= 0 && SSL_CTX_get_ex_data(ctx, hook_index) &&
	       SSL_CTX_get_info_callback(ctx) == on_info;
}

void *
lwsrs_keylog_records(const SSL *ssl)
{
	return hook_index < 0 ? NULL : SSL_get_ex_data(ssl, records_index);
}

int
lwsrs_keylog_probe_ctx(SSL_CTX *ctx)
{
	int found = 0;

	if (SSL_CTX_get_keylog_callback(ctx))
		found |= LWSRS_KEYLOG_REPLACED;
	/* Some libraries have the function, and it does nothing. */
	SSL_CTX_set_keylog_callback(ctx, on_line);
	if (SSL_CTX_get_keylog_callback(ctx) == on_line)
		found |= LWSRS_KEYLOG_CALLBACK;
	return found;
}

/*
 * From 3.5 on OpenSSL can be built to log by itself, whatever callback there is. Its headers
 * say so. An SSL_CTX takes that on when it is made, and doesn't tell.
 */
int
lwsrs_keylog_of_library(void)
{
#if !defined(OPENSSL_IS_BORINGSSL) && !defined(OPENSSL_IS_AWSLC) && \
    OPENSSL_VERSION_NUMBER >= 0x30500000L && !defined(OPENSSL_NO_SSLKEYLOG)
	return !!own_variable("SSLKEYLOGFILE");
#else
	return 0;
#endif
}

int
lwsrs_keylog_probe(void)
{
	SSL_CTX *ctx;
	int found;

	/* To make an SSL_CTX would create its file. */
	if (lwsrs_keylog_of_library())
		return LWSRS_KEYLOG_CALLBACK | LWSRS_KEYLOG_OF_LIBRARY;
	lwsrs_tls_init();
	ctx = SSL_CTX_new(TLS_method());
	if (!ctx) {
		ERR_clear_error();
		return -1;
	}
	found = lwsrs_keylog_probe_ctx(ctx);
	SSL_CTX_free(ctx);
	return found;
}
