/* What the wrapper asks of the OpenSSL API. */

#include "glue.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <limits.h>
#include <string.h>
#if defined(_WIN32)
#include <windows.h>
#include <wincrypt.h>
/* Names of OpenSSL's types, too. */
#undef X509_NAME
#undef X509_EXTENSIONS
#undef PKCS7_SIGNER_INFO
#endif

/* Set where a failure isn't the TLS library's own and has no queued error. */
static _Thread_local const char *own_error;

static int
fail(const char *why)
{
	own_error = why;
	return -1;
}

static void
begin(void)
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
	begin();
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

/* The number under which an SSL keeps the alert that ended it. */
static int alert_index = -1;

int
lwsrs_tls_watch_alerts(void)
{
	alert_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);

	return alert_index < 0 ? -1 : 0;
}

/*
 * The C library drops what the TLS library says of one, and with TLS 1.3 most come when the
 * client takes the handshake for done.
 */
static void
on_message(int is_sent, int version, int type, const void *data, size_t len,
	   SSL *ssl, void *arg)
{
	const unsigned char *alert = data;

	(void)version;
	(void)arg;
	if (!is_sent && type == SSL3_RT_ALERT && len == 2 &&
	    alert[0] == SSL3_AL_FATAL)
		SSL_set_ex_data(ssl, alert_index, (void *)(uintptr_t)alert[1]);
}

int
lwsrs_ssl_alert(SSL *ssl)
{
	void *alert;
	char none;

	if (alert_index < 0)
		return 0;
	alert = SSL_get_ex_data(ssl, alert_index);
	/* Where the request couldn't be written, it is there and unread. */
	if (!alert && SSL_is_init_finished(ssl)) {
		SSL_peek(ssl, &none, sizeof(none));
		ERR_clear_error();
		alert = SSL_get_ex_data(ssl, alert_index);
	}

	return (int)(uintptr_t)alert;
}

void
lwsrs_ssl_ignore_alerts(SSL *ssl)
{
	SSL_set_msg_callback(ssl, NULL);
}

int
lwsrs_ssl_certificate_problem(const SSL *ssl, const char **reason)
{
	long result = SSL_get_verify_result(ssl);

	*reason = X509_verify_cert_error_string(result);
	switch (result) {
	case X509_V_OK:
	case X509_V_ERR_INVALID_CALL: /* AWS-LC's, of one that didn't come */
		return 0;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED:
		return LWSRS_CERT_UNKNOWN_ISSUER;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return LWSRS_CERT_SELF_SIGNED;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return LWSRS_CERT_WRONG_NAME;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return LWSRS_CERT_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return LWSRS_CERT_NOT_YET_VALID;
	default:
		return LWSRS_CERT_OTHER;
	}
}

SSL_CTX *
lwsrs_tls_client_new(void)
{
	SSL_CTX *ctx;

	begin();
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return NULL;
	lwsrs_tls_harden(ctx);
	if (alert_index >= 0)
		SSL_CTX_set_msg_callback(ctx, on_message);
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
	begin();
	if (SSL_CTX_set_min_proto_version(ctx, protocol(min)) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, protocol(max)) != 1)
		return -1;
	return 0;
}

int
lwsrs_tls_ciphers(SSL_CTX *ctx, const char *tls12, const char *tls13)
{
	begin();
	if (tls12 && SSL_CTX_set_cipher_list(ctx, tls12) != 1)
		return -1;
#if !defined(OPENSSL_IS_BORINGSSL)
	if (tls13 && SSL_CTX_set_ciphersuites(ctx, tls13) != 1)
		return -1;
#else
	if (tls13)
		return fail("this TLS library has a fixed list for TLS 1.3");
#endif
	return 0;
}

/* A certificate or key may come as PEM text or as DER. */
static int
is_pem(const void *data, size_t len)
{
	static const char mark[] = "-----BEGIN ";
	const char *p = data;

	for (; len >= sizeof(mark) - 1; p++, len--)
		if (!memcmp(p, mark, sizeof(mark) - 1))
			return 1;
	return 0;
}

/* No terminal prompt, ever: without a password there is none to give. */
static int
password_cb(char *buf, int size, int rwflag, void *user)
{
	const char *password = user;
	size_t n = password ? strlen(password) : 0;

	(void)rwflag;
	if (!password || n > (size_t)size)
		return -1;
	memcpy(buf, password, n);
	return (int)n;
}

static X509 *
next_certificate(BIO *bio)
{
	return PEM_read_bio_X509(bio, NULL, password_cb, NULL);
}

/* Reading PEM ends in "no start line" when there is no more of it. */
static int
ended_cleanly(void)
{
	unsigned long e = ERR_peek_last_error();
	int clean = ERR_GET_LIB(e) == ERR_LIB_PEM &&
		    ERR_GET_REASON(e) == PEM_R_NO_START_LINE;

	if (clean)
		ERR_clear_error();
	return clean;
}

int
lwsrs_tls_chain(SSL_CTX *ctx, const void *data, size_t len)
{
	X509 *cert;
	BIO *bio;
	int ok;

	begin();
	if (len > INT_MAX)
		return fail("too long");
	if (!is_pem(data, len)) {
		const unsigned char *p = data;

		cert = d2i_X509(NULL, &p, (long)len);
		if (!cert)
			return fail("neither PEM nor a DER certificate");
		ok = SSL_CTX_use_certificate(ctx, cert) == 1;
		X509_free(cert);
		return ok ? 0 : -1;
	}

	bio = BIO_new_mem_buf(data, (int)len);
	if (!bio)
		return -1;
	cert = next_certificate(bio);
	ok = cert && SSL_CTX_use_certificate(ctx, cert) == 1;
	X509_free(cert);
	if (ok)
		SSL_CTX_clear_chain_certs(ctx);
	while (ok && (cert = next_certificate(bio)))
		if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
			X509_free(cert);
			ok = 0;
		}
	if (ok)
		ok = ended_cleanly();
	BIO_free(bio);
	return ok ? 0 : -1;
}

int
lwsrs_tls_key(SSL_CTX *ctx, const void *data, size_t len, const char *password)
{
	EVP_PKEY *key = NULL;
	int ok;

	begin();
	if (len > INT_MAX)
		return fail("too long");
	if (is_pem(data, len)) {
		BIO *bio = BIO_new_mem_buf(data, (int)len);

		if (!bio)
			return -1;
		key = PEM_read_bio_PrivateKey(bio, NULL, password_cb,
					      (void *)password);
		BIO_free(bio);
	} else {
		const unsigned char *p = data;

		key = d2i_AutoPrivateKey(NULL, &p, (long)len);
	}
	if (!key && password && !is_pem(data, len)) { /* encrypted DER */
		BIO *bio = BIO_new_mem_buf(data, (int)len);

		begin();
		if (!bio)
			return -1;
		key = d2i_PKCS8PrivateKey_bio(bio, NULL, password_cb,
					      (void *)password);
		BIO_free(bio);
	}
	if (!key)
		return fail(password ? "not a private key that this password opens"
				     : "not a private key, or one that needs key_password()");
	ok = SSL_CTX_use_PrivateKey(ctx, key) == 1;
	EVP_PKEY_free(key);
	if (ok && SSL_CTX_check_private_key(ctx) != 1)
		return fail("the key does not belong to the certificate");
	return ok ? 0 : -1;
}

static int
add_root(SSL_CTX *ctx, X509 *cert, int is_server)
{
	if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) != 1)
		return 0;
	return !is_server || SSL_CTX_add_client_CA(ctx, cert) == 1;
}

int
lwsrs_tls_roots(SSL_CTX *ctx, const void *data, size_t len, int is_server)
{
	X509 *cert;
	BIO *bio;
	int ok = 1, count = 0;

	begin();
	if (len > INT_MAX)
		return fail("too long");
	if (!is_pem(data, len)) {
		const unsigned char *p = data;

		cert = d2i_X509(NULL, &p, (long)len);
		if (!cert)
			return fail("neither PEM nor a DER certificate");
		ok = add_root(ctx, cert, is_server);
		X509_free(cert);
		return ok ? 0 : -1;
	}

	bio = BIO_new_mem_buf(data, (int)len);
	if (!bio)
		return -1;
	while (ok && (cert = next_certificate(bio))) {
		ok = add_root(ctx, cert, is_server);
		X509_free(cert);
		count++;
	}
	if (ok)
		ok = ended_cleanly();
	BIO_free(bio);
	if (ok && !count)
		return fail("holds no certificate");
	return ok ? 0 : -1;
}

#if defined(_WIN32)
static int
is_for_servers(PCCERT_CONTEXT cert)
{
	union {
		CERT_ENHKEY_USAGE list;
		char room[4096];
	} uses;
	DWORD i, size = sizeof(uses);

	if (!CertGetEnhancedKeyUsage(cert, 0, &uses.list, &size))
		return 0;
	/* Without a list a certificate is for everything, with an empty one for nothing. */
	if (!uses.list.cUsageIdentifier)
		return GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
	for (i = 0; i < uses.list.cUsageIdentifier; i++)
		if (!strcmp(uses.list.rgpszUsageIdentifier[i],
			    szOID_PKIX_KP_SERVER_AUTH))
			return 1;
	return 0;
}

/*
 * Those that Windows holds for the user and the machine. It fetches further ones
 * when its own functions meet them, which this doesn't.
 */
int
lwsrs_tls_system_roots(SSL_CTX *ctx)
{
	X509_STORE *roots = SSL_CTX_get_cert_store(ctx);
	HCERTSTORE system = CertOpenSystemStoreA(0, "ROOT");
	PCCERT_CONTEXT found = NULL;

	begin();
	if (!system)
		return fail("Windows doesn't open its store of them");
	while ((found = CertEnumCertificatesInStore(system, found))) {
		const unsigned char *der = found->pbCertEncoded;
		X509 *cert;

		if (CertVerifyTimeValidity(NULL, found->pCertInfo) ||
		    !is_for_servers(found))
			continue;
		/* One that can't be read is of no use, and does no harm. */
		cert = d2i_X509(NULL, &der, (long)found->cbCertEncoded);
		if (cert)
			X509_STORE_add_cert(roots, cert);
		X509_free(cert);
	}
	ERR_clear_error();
	CertCloseStore(system, 0);
	return 0;
}
#else
int
lwsrs_tls_system_roots(SSL_CTX *ctx)
{
	begin();
	return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : -1;
}
#endif

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

	begin();
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

const char *
lwsrs_tls_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

SSL_CTX *
lwsrs_ssl_ctx(const SSL *ssl)
{
	return SSL_get_SSL_CTX(ssl);
}

const char *
lwsrs_ssl_version(const SSL *ssl)
{
	return SSL_get_version(ssl);
}

const char *
lwsrs_ssl_cipher(const SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);

	return cipher ? SSL_CIPHER_standard_name(cipher) : NULL;
}

const char *
lwsrs_ssl_server_name(const SSL *ssl)
{
	return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
}

int
lwsrs_ssl_is_server(const SSL *ssl)
{
	return SSL_is_server(ssl);
}

int
lwsrs_ssl_fd(const SSL *ssl)
{
	return SSL_get_fd(ssl);
}

size_t
lwsrs_ssl_alpn(const SSL *ssl, const unsigned char **out)
{
	unsigned int len = 0;

	SSL_get0_alpn_selected(ssl, out, &len);
	return *out ? len : 0;
}

size_t
lwsrs_ssl_peer_certificate(const SSL *ssl, unsigned char *buf, size_t len)
{
	X509 *cert = SSL_get_peer_certificate(ssl);
	int need;

	if (!cert)
		return 0;
	need = i2d_X509(cert, NULL);
	if (need > 0 && (size_t)need <= len) {
		unsigned char *p = buf;

		need = i2d_X509(cert, &p);
	}
	X509_free(cert);
	return need > 0 ? (size_t)need : 0;
}
