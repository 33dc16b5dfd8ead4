/* Certificates and keys, as PEM text or as DER, for an SSL_CTX. */

#include "tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <limits.h>
#include <string.h>

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

/*
 * Gives each certificate that `data` holds to `use`, with its number, until that returns 0:
 * those of PEM text, or the one that DER is.
 */
static int
each_certificate(SSL_CTX *ctx, const void *data, size_t len,
		 int (*use)(SSL_CTX *ctx, X509 *cert, int number, int option),
		 int option)
{
	X509 *cert;
	BIO *bio;
	int ok = 1, count = 0;

	lwsrs_tls_begin();
	if (len > INT_MAX)
		return lwsrs_tls_fail("too long");
	if (!is_pem(data, len)) {
		const unsigned char *p = data;

		cert = d2i_X509(NULL, &p, (long)len);
		if (!cert)
			return lwsrs_tls_fail("neither PEM nor a DER certificate");
		ok = use(ctx, cert, 0, option);
		X509_free(cert);
		return ok ? 0 : -1;
	}

	bio = BIO_new_mem_buf(data, (int)len);
	if (!bio)
		return -1;
	while (ok && (cert = PEM_read_bio_X509(bio, NULL, password_cb, NULL))) {
		ok = use(ctx, cert, count++, option);
		X509_free(cert);
	}
	if (ok)
		ok = ended_cleanly();
	BIO_free(bio);
	if (ok && !count)
		return lwsrs_tls_fail("holds no certificate");
	return ok ? 0 : -1;
}

static int
add_to_chain(SSL_CTX *ctx, X509 *cert, int number, int unused)
{
	(void)unused;
	if (number)
		return SSL_CTX_add1_chain_cert(ctx, cert) == 1;
	return SSL_CTX_use_certificate(ctx, cert) == 1 &&
	       SSL_CTX_clear_chain_certs(ctx) == 1;
}

int
lwsrs_tls_chain(SSL_CTX *ctx, const void *data, size_t len)
{
	return each_certificate(ctx, data, len, add_to_chain, 0);
}

static int
add_root(SSL_CTX *ctx, X509 *cert, int number, int is_server)
{
	(void)number;
	if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) != 1)
		return 0;
	return !is_server || SSL_CTX_add_client_CA(ctx, cert) == 1;
}

int
lwsrs_tls_roots(SSL_CTX *ctx, const void *data, size_t len, int is_server)
{
	return each_certificate(ctx, data, len, add_root, is_server);
}

int
lwsrs_tls_key(SSL_CTX *ctx, const void *data, size_t len, const char *password)
{
	EVP_PKEY *key = NULL;
	int ok;

	lwsrs_tls_begin();
	if (len > INT_MAX)
		return lwsrs_tls_fail("too long");
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

		lwsrs_tls_begin();
		if (!bio)
			return -1;
		key = d2i_PKCS8PrivateKey_bio(bio, NULL, password_cb,
					      (void *)password);
		BIO_free(bio);
	}
	if (!key)
		return lwsrs_tls_fail(password ? "not a private key that this password opens"
				     : "not a private key, or one that needs key_password()");
	ok = SSL_CTX_use_PrivateKey(ctx, key) == 1;
	EVP_PKEY_free(key);
	if (ok && SSL_CTX_check_private_key(ctx) != 1)
		return lwsrs_tls_fail("the key does not belong to the certificate");
	return ok ? 0 : -1;
}
