/* The alert by which a client's peer ended the connection. */

#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

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

void
lwsrs_tls_keep_alerts(SSL_CTX *ctx)
{
	if (alert_index >= 0)
		SSL_CTX_set_msg_callback(ctx, on_message);
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
