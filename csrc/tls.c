/* The TLS library, the SSL_CTXs of clients, and why something failed. */

#include "tls.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

/* Set where a failure isn't the TLS library's own and has no queued error. */
static _Thread_local const char *own_error;

int
lwsrs_tls_fail(const char *why)
{
	own_error = why;
	return -1;
}

void
lwsrs_tls_begin(void)
{
	own_error = NULL;
	ERR_clear_error();
}

void
lwsrs_tls_error(char *buf, size_t len)
{
	unsigned long e = ERR_get_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	if (!len)
		return;
	buf[0] = '\0';
	if (own_error)
		lws_snprintf(buf, len, "%s%s%s", own_error,
			     reason ? ": " : "", reason ? reason : "");
	else if (reason)
		lws_snprintf(buf, len, "%s", reason);
	else if (e)
		ERR_error_string_n(e, buf, len);
	lwsrs_tls_begin();
}

void
lwsrs_tls_harden(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION);
#if defined(SSL_OP_NO_RENEGOTIATION)
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
#endif
	SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
}

/*
 * OpenSSL would free its globals when the process exits, under the handshakes
 * of threads that still run. The kernel frees them as well.
 */
void
lwsrs_tls_init(void)
{
#if defined(OPENSSL_INIT_NO_ATEXIT)
	OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
#endif
}

#if defined(OPENSSL_IS_AWSLC) && defined(__ELF__)
/*
 * Not those of our own AWS-LC, which the build has renamed. One is in the same
 * object file as SSL_new() in AWS-LC's libssl and unknown to OpenSSL; the other is
 * one of OpenSSL's libcrypto, for AWS-LC's has a prefix. Being weak, neither
 * brings a library into a program.
 */
#undef SSL_CTX_set_grease_enabled
#undef OPENSSL_init_crypto
extern char SSL_CTX_set_grease_enabled __attribute__((weak));
extern char OPENSSL_init_crypto __attribute__((weak));

int
lwsrs_tls_is_mixed(void)
{
	return &SSL_CTX_set_grease_enabled && &OPENSSL_init_crypto;
}
#else
int
lwsrs_tls_is_mixed(void)
{
	return 0;
}
#endif

const char *
lwsrs_tls_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

SSL_CTX *
lwsrs_tls_client_new(void)
{
	SSL_CTX *ctx;

	lwsrs_tls_begin();
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return NULL;
	lwsrs_tls_harden(ctx);
	lwsrs_tls_keep_alerts(ctx);
	return ctx;
}

void
lwsrs_tls_ctx_free(SSL_CTX *ctx)
{
	SSL_CTX_free(ctx);
}

static int
protocol(int version)
{
	return version == LWSRS_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

int
lwsrs_tls_versions(SSL_CTX *ctx, int min, int max)
{
	lwsrs_tls_begin();
	if (SSL_CTX_set_min_proto_version(ctx, protocol(min)) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, protocol(max)) != 1)
		return -1;
	return 0;
}

int
lwsrs_tls_ciphers(SSL_CTX *ctx, const char *tls12, const char *tls13)
{
	lwsrs_tls_begin();
	if (tls12 && SSL_CTX_set_cipher_list(ctx, tls12) != 1)
		return -1;
#if !defined(OPENSSL_IS_BORINGSSL)
	if (tls13 && SSL_CTX_set_ciphersuites(ctx, tls13) != 1)
		return -1;
#else
	if (tls13)
		return lwsrs_tls_fail("this TLS library has a fixed list for TLS 1.3");
#endif
	return 0;
}
