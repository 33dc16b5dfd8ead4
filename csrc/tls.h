/* What the files about TLS share and Rust doesn't call. */
#ifndef LWSRS_TLS_H
#define LWSRS_TLS_H

#include "glue.h"

/* Forgets earlier failures: first in each function that lwsrs_tls_error() tells of. */
void lwsrs_tls_begin(void);

/* For a failure that isn't the TLS library's own, or says too little. Returns -1. */
int lwsrs_tls_fail(const char *why);

/* Keeps the alerts of the connections of a client's SSL_CTX, once lwsrs_tls_watch_alerts()
 * was called. */
void lwsrs_tls_keep_alerts(SSL_CTX *ctx);

#endif
