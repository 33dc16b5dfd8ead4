/* The roots that the system trusts. */

#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#if defined(_WIN32)
#include <string.h>
#include <windows.h>
#include <wincrypt.h>
/* Names of OpenSSL's types, too. */
#undef X509_NAME
#undef X509_EXTENSIONS
#undef PKCS7_SIGNER_INFO
#endif

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

	lwsrs_tls_begin();
	if (!system)
		return lwsrs_tls_fail("Windows doesn't open its store of them");
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
	lwsrs_tls_begin();
	return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : -1;
}
#endif
