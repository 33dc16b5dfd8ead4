/* Which versions and certificates of clients a vhost's connections have. */

#include "tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

static int
speaks_version(const SSL *ssl, SSL_CTX *ctx)
{
	int min = (int)SSL_CTX_get_min_proto_version(ctx);
	int max = (int)SSL_CTX_get_max_proto_version(ctx);
	int version = SSL_version(ssl);

	return (!min || version >= min) && (!max || version <= max);
}

/*
 * A connection begins with the SSL_CTX of its address' first vhost, and changes to that of
 * the name which the client gives. It has copied the first one's rules about client
 * certificates and versions, and keeps them. This is called after the change, before
 * certificates are asked for.
 */
static int
follow_ctx(SSL *ssl, void *unused)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);

	(void)unused;
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx),
		       SSL_CTX_get_verify_callback(ctx));

	return speaks_version(ssl, ctx);
}

/*
 * Whether a session was resumed that was made with another name. OpenSSL looks for one
 * before the SSL_CTX changes, so that its id context is the first vhost's in any case.
 * AWS-LC resumes none.
 */
static int
is_of_another_name(const SSL *ssl)
{
#if defined(OPENSSL_IS_AWSLC)
	(void)ssl;

	return 0;
#else
	const char *now, *then;

	if (!SSL_session_reused(ssl))
		return 0;
	now = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	then = SSL_SESSION_get0_hostname(SSL_get_session(ssl));
	if (!now || !then)
		return now || then;

	return strcmp(now, then) != 0;
#endif
}

int
lwsrs_ssl_keeps_rules(const SSL *ssl)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	int mode = SSL_CTX_get_verify_mode(ctx);
	X509 *cert;

	if (!speaks_version(ssl, ctx))
		return 0;
	if (!(mode & SSL_VERIFY_PEER))
		return 1;
	if (is_of_another_name(ssl))
		return 0;
	cert = SSL_get_peer_certificate(ssl);
	if (!cert)
		return !(mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
	X509_free(cert);

	return SSL_get_verify_result(ssl) == X509_V_OK;
}

int
lwsrs_tls_client_auth(SSL_CTX *ctx, int mode, const void *id, size_t id_len)
{
	int flags = SSL_VERIFY_NONE;

	lwsrs_tls_begin();
	if (mode != LWSRS_CLIENT_CERT_NONE)
		flags = SSL_VERIFY_PEER;
	if (mode == LWSRS_CLIENT_CERT_REQUIRED)
		flags |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, flags, NULL);
	SSL_CTX_set_cert_cb(ctx, follow_ctx, NULL);
	/* A session is resumed only where the same rules hold. */
	if (SSL_CTX_set_session_id_context(ctx, id, (unsigned int)id_len) != 1)
		return -1;
	return 0;
}
