/* Facts of one connection. */

#include "tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

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
