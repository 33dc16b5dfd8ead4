/*
 * What Rust calls: the library's headers, and our own functions around what
 * is a macro, an inline function or the TLS library's in them.
 */
#ifndef LWSRS_GLUE_H
#define LWSRS_GLUE_H

#include <libwebsockets.h>

/* Bytes that Rust keeps free in front of a payload. */
#define LWSRS_HEADROOM 16

/* Ends a connection from outside its callbacks, at the next service. */
void lwsrs_kill_async(struct lws *wsi);

/* Bytes that were written and that the peer hasn't got; -1 where that can't be told. */
long long lwsrs_unsent(struct lws *wsi);

/*
 * Between a turn's beginning and its end the library may keep small frames, to send
 * them together; it does so on its own where it does the waiting, too.
 */
#if defined(__linux__)
void lwsrs_turn(struct lws_context *context, int begins);
#endif

/*
 * Leaves it to the callback to unmask what clients send, where the library can; the
 * connection is open, in the server's role.
 */
void lwsrs_leave_masked(struct lws *wsi);

/* In a server's RECEIVE: whether its payload is masked, and how, from the first byte on. */
int lwsrs_rx_mask(struct lws *wsi, unsigned char *mask);

/* Unmasks from the first byte on while it copies; the two don't overlap. */
void lwsrs_unmask(unsigned char *to, const unsigned char *from, size_t len,
		  const unsigned char *mask);

/*
 * The number of the next header that is there, after that of another or -1; -1 after the last.
 */
int lwsrs_next_header(struct lws *wsi, int h);

/* The same of a library without our patches, which is asked for one after another. */
int lwsrs_next_header_asking(struct lws *wsi, int h);

/*
 * Takes what has come of the body of an answer that is no upgrade, where the library can;
 * for a client in its CONNECTION_ERROR. Returns how much that is.
 */
int lwsrs_answer_body(struct lws *wsi, unsigned char *buf, size_t len);

/* permessage-deflate's offer for vhosts; NULL where it isn't compiled in. */
const struct lws_extension *lwsrs_extensions(void);

/* Keeps a vhost's clients from a proxy that the environment names. */
void lwsrs_no_proxy(struct lws_context_creation_info *info);

#if defined(LWSRS_TLS) || defined(LWS_WITH_TLS)

#define LWSRS_TLS_1_2 12
#define LWSRS_TLS_1_3 13

#define LWSRS_CLIENT_CERT_NONE 0
#define LWSRS_CLIENT_CERT_OPTIONAL 1
#define LWSRS_CLIENT_CERT_REQUIRED 2

/* Before the first use of the TLS library by anything else here. */
void lwsrs_tls_init(void);

/* Whether OpenSSL's functions are another library's in this program. */
int lwsrs_tls_is_mixed(void);

/* All return 0, or -1 with a message left for lwsrs_tls_error(). */
SSL_CTX *lwsrs_tls_client_new(void);
void lwsrs_tls_ctx_free(SSL_CTX *ctx);
void lwsrs_tls_harden(SSL_CTX *ctx);
int lwsrs_tls_versions(SSL_CTX *ctx, int min, int max);
int lwsrs_tls_ciphers(SSL_CTX *ctx, const char *tls12, const char *tls13);
int lwsrs_tls_chain(SSL_CTX *ctx, const void *data, size_t len);
int lwsrs_tls_key(SSL_CTX *ctx, const void *data, size_t len,
		  const char *password);
int lwsrs_tls_roots(SSL_CTX *ctx, const void *data, size_t len, int is_server);
int lwsrs_tls_system_roots(SSL_CTX *ctx);
int lwsrs_tls_client_auth(SSL_CTX *ctx, int mode, const void *id,
			  size_t id_len);

/* Takes the oldest error off this thread's queue, clears the rest. */
void lwsrs_tls_error(char *buf, size_t len);

/* The TLS library's name and version. */
const char *lwsrs_tls_version(void);

/* Once a process, before the first client's SSL_CTX; -1: no memory. */
int lwsrs_tls_watch_alerts(void);

/*
 * The alert by which the peer of a client ended the connection, or 0. For one that has failed:
 * it may be read from.
 */
int lwsrs_ssl_alert(SSL *ssl);
/* No more of them is kept: the connection is open. */
void lwsrs_ssl_ignore_alerts(SSL *ssl);

#define LWSRS_CERT_OTHER 1
#define LWSRS_CERT_UNKNOWN_ISSUER 2
#define LWSRS_CERT_SELF_SIGNED 3
#define LWSRS_CERT_WRONG_NAME 4
#define LWSRS_CERT_EXPIRED 5
#define LWSRS_CERT_NOT_YET_VALID 6

/*
 * What is wrong with the certificate of a client's peer, and in the TLS library's words, which
 * are static; 0: nothing, as far as it was looked at.
 */
int lwsrs_ssl_certificate_problem(const SSL *ssl, const char **reason);

/* Facts of one connection; NULL or 0 where there is none. */
SSL_CTX *lwsrs_ssl_ctx(const SSL *ssl);
const char *lwsrs_ssl_version(const SSL *ssl);
const char *lwsrs_ssl_cipher(const SSL *ssl);
const char *lwsrs_ssl_server_name(const SSL *ssl);
int lwsrs_ssl_is_server(const SSL *ssl);

/*
 * Whether a server's connection is as its SSL_CTX wants it: its version, and the client's
 * certificate, which a session of another name may have brought.
 */
int lwsrs_ssl_keeps_rules(const SSL *ssl);
int lwsrs_ssl_fd(const SSL *ssl);
size_t lwsrs_ssl_alpn(const SSL *ssl, const unsigned char **out);
/* Writes the peer's certificate as DER where it fits; returns its length. */
size_t lwsrs_ssl_peer_certificate(const SSL *ssl, unsigned char *buf,
				  size_t len);
#endif

#if defined(LWSRS_KEYLOG) || defined(LWS_KEYLOG_ENV_NAME)

/* The variable's name that this build was given; empty: it reads none. */
const char *lwsrs_keylog_env_name(void);

#define LWSRS_KEYLOG_ENV_UNSET 0
#define LWSRS_KEYLOG_ENV_SET 1
#define LWSRS_KEYLOG_ENV_IGNORED 2

/* Reads that variable; _IGNORED: the process runs with raised privileges. */
int lwsrs_keylog_env_read(const char **value);

/* What the hook calls, in the thread of the handshake. */
struct lwsrs_keylog_calls {
	/* Whether the log of an SSL_CTX is on, now. */
	int (*wants_lines)(const void *hook);
	/*
	 * A line of secrets. `hook` is the SSL_CTX's, `records` what this
	 * connection has of earlier lines, or NULL; what is returned takes
	 * their place.
	 */
	void *(*line)(void *hook, void *records, const SSL *ssl,
		      const char *line, size_t len);
	/* A handshake is done: what was recorded of it can go out. */
	void (*finished)(void *records);
	/* A connection, or an SSL_CTX, is freed. */
	void (*free_records)(void *records);
	void (*free_hook)(void *hook);
};

/* Once a process, before the first install. */
int lwsrs_keylog_init(const struct lwsrs_keylog_calls *calls);
/* Sends the secrets of `ctx` to `hook`, which is freed with it; an SSL_CTX
 * takes one, before its first connection. From then on one thread alone uses
 * it. On failure the hook isn't taken. */
int lwsrs_keylog_install(SSL_CTX *ctx, void *hook);
/* The hook of `ctx`, or NULL. */
void *lwsrs_keylog_installed(SSL_CTX *ctx);
/* Whether the secrets of this connection come to a hook. */
int lwsrs_keylog_hooked(const SSL *ssl);
/* What this connection has of its lines, or NULL. */
void *lwsrs_keylog_records(const SSL *ssl);

#define LWSRS_KEYLOG_CALLBACK 1
#define LWSRS_KEYLOG_REPLACED 2
#define LWSRS_KEYLOG_OF_LIBRARY 4

/* Whether the TLS library itself logs the secrets of all connections. */
int lwsrs_keylog_of_library(void);

/* Whether the TLS library keeps a callback, whether somebody had set one, and
 * whether the library logs by itself; -1: no memory. */
int lwsrs_keylog_probe(void);

/* The same of an SSL_CTX, which is of no use afterwards. */
int lwsrs_keylog_probe_ctx(SSL_CTX *ctx);
#endif

#endif
