/*
 * A small HTTP client for the tests of the patches to the vendored C library.
 *
 * Usage: client PORT [cookies FILE | deflate | no-memory WHAT | pause | alpn NAME | sorted]
 *
 * It fetches http://127.0.0.1:PORT/, prints one line for each event of interest and ends after the connection did. With
 * "cookies" it keeps the cookies that it is told to set in FILE. With "deflate" it asks for a WebSocket with compression.
 * With "no-memory" there is none for WHAT, a name that the library gives to memory: "client stash" is missing once, and
 * then it tries again; with "pmd priv" and "client frame buffer" it asks for a WebSocket. With "pause" it asks for one,
 * too, sends a message, stops reading at the first that it gets, with no memory to keep more, and reads on when it can
 * write. With "alpn" it connects by TLS, and OpenSSL says that the server chose NAME. With "sorted" it connects nowhere,
 * and keeps a list in order.
 */

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int finished, pausing;
static const char *missing, *chosen;

/* in place of OpenSSL's, which may look at what it was */
void
SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **data, unsigned int *len)
{
	(void)ssl;

	*data = (const unsigned char *)chosen;
	*len = chosen ? (unsigned int)strlen(chosen) : 0;
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	switch (reason) {
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		printf("error %s\n", in ? (const char *)in : "");
		finished = 1;
		break;

	case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
		printf("status %u\n", lws_http_client_http_response(wsi));
		if (lws_get_opaque_user_data(wsi) != &finished)
			printf("lost the user's data\n");
		break;

	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP: {
		char buffer[LWS_PRE + 1024], *p = buffer + LWS_PRE;
		int n = (int)sizeof(buffer) - LWS_PRE;

		if (lws_http_client_read(wsi, &p, &n) < 0)
			return -1;
		return 0;
	}

	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
		printf("read %llu\n", (unsigned long long)len);
		return 0;

	case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
		printf("completed\n");
		break;

	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
		printf("closed\n");
		finished = 1;
		break;

	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		printf("websocket open\n");
		if (pausing)
			lws_callback_on_writable(wsi);
		break;

	case LWS_CALLBACK_CLIENT_RECEIVE:
		printf("received %.*s\n", (int)len, (const char *)in);
		if (pausing) {
			missing = "lws_buflist_append_segment";
			lws_rx_flow_control(wsi, 0);
			lws_callback_on_writable(wsi);
		}
		return 0;

	case LWS_CALLBACK_CLIENT_WRITEABLE:
		if (pausing && !missing) {
			unsigned char ready[LWS_PRE + 1] = { 0 };

			if (lws_write(wsi, ready + LWS_PRE, 1, LWS_WRITE_BINARY) < 1)
				return -1;
		} else if (pausing) {
			printf("reading on\n");
			lws_rx_flow_control(wsi, 1);
		}
		return 0;

	case LWS_CALLBACK_CLIENT_CLOSED:
		printf("websocket closed\n");
		finished = 1;
		break;

	default:
		break;
	}

	return lws_callback_http_dummy(wsi, reason, user, in, len);
}

static const struct lws_protocols protocols[] = {
	{ "test", callback, 0, 0, 0, NULL, 0 },
	LWS_PROTOCOL_LIST_TERM
};

static const struct lws_extension extensions[] = {
	{ "permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate" },
	{ NULL, NULL, NULL }
};

static void *
without(void *ptr, size_t size, const char *reason)
{
	if (size)
		return reason && missing && !strcmp(reason, missing) ? NULL : realloc(ptr, size);

	free(ptr);

	return NULL;
}

struct entry {
	lws_dll2_t list;
	int key, number;
};

static long compared;

static int
compare(const lws_dll2_t *d, const lws_dll2_t *i)
{
	compared++;

	return ((const struct entry *)d)->key - ((const struct entry *)i)->key;
}

/* as the first of those that are alike, in front of those that are greater */
static int
in_order(const lws_dll2_owner_t *owner)
{
	const lws_dll2_t *d = owner->head, *before = NULL;
	uint32_t count = 0;

	for (; d; before = d, d = d->next, count++) {
		const struct entry *a = (const struct entry *)before, *b = (const struct entry *)d;

		if (d->prev != before || d->owner != owner)
			return 0;
		if (a && (a->key > b->key || (a->key == b->key && a->number < b->number)))
			return 0;
	}

	return owner->tail == before && owner->count == count;
}

static void
sort(const char *what, int (*key)(int number))
{
	static struct entry entries[4000];
	lws_dll2_owner_t owner;
	int n;

	memset(entries, 0, sizeof(entries));
	memset(&owner, 0, sizeof(owner));
	compared = 0;
	for (n = 0; n < 4000; n++) {
		entries[n].number = n;
		entries[n].key = key(n);
		lws_dll2_add_sorted(&entries[n].list, &owner, compare);
	}
	printf("%s: %s, %ld compared\n", what, in_order(&owner) ? "in order" : "IN DISORDER", compared);
}

static int
later(int number)
{
	return number;
}

static int
sooner(int number)
{
	return -number;
}

/* all but a few have much time */
static int
mostly_late(int number)
{
	return number % 100 ? 1000000 + number : number;
}

static int
any(int number)
{
	return (int)((unsigned int)number * 2654435761u >> 24);
}

int
main(int argc, const char **argv)
{
	struct lws_context_creation_info info;
	struct lws_client_connect_info i;
	struct lws_context *context;
	int rounds = 0;
	struct lws *wsi;

	if (argc < 2)
		return 2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 && !strcmp(argv[2], "sorted")) {
		sort("later", later);
		sort("sooner", sooner);
		sort("mostly late", mostly_late);
		sort("any", any);

		return 0;
	}
	lws_set_log_level(LLL_ERR | LLL_WARN, NULL);

	memset(&info, 0, sizeof(info));
	info.port = CONTEXT_PORT_NO_LISTEN;
	info.protocols = protocols;
	info.fd_limit_per_thread = 64;

	memset(&i, 0, sizeof(i));
	i.port = atoi(argv[1]);
	i.address = "127.0.0.1";
	i.host = i.address;
	i.origin = i.address;
	i.path = "/";
	i.method = "GET";
	i.protocol = protocols[0].name;
	i.opaque_user_data = &finished;

	if (argc > 3 && !strcmp(argv[2], "cookies")) {
		info.http_nsc_filepath = argv[3];
		i.ssl_connection = LCCSCF_CACHE_COOKIES;
	}

	if (argc > 3 && !strcmp(argv[2], "no-memory"))
		missing = argv[3];
	if (argc > 2 && (!strcmp(argv[2], "deflate") || (missing && !strcmp(missing, "pmd priv")))) {
		info.extensions = extensions;
		i.method = NULL;
	}
	if (missing && !strcmp(missing, "client frame buffer"))
		i.method = NULL;

	if (argc > 2 && !strcmp(argv[2], "pause")) {
		pausing = 1;
		i.method = NULL;
	}
	if (argc > 3 && !strcmp(argv[2], "alpn")) {
		chosen = argv[3];
		info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		i.alpn = "http/1.1";
		i.ssl_connection = LCCSCF_USE_SSL | LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;
	}

	context = lws_create_context(&info);
	if (!context)
		return 2;
	i.context = context;
	if (missing || pausing)
		lws_set_allocator(without);
	wsi = lws_client_connect_via_info(&i);
	if (!wsi && missing && !strcmp(missing, "client stash")) {
		printf("not begun\n");
		missing = NULL;
		wsi = lws_client_connect_via_info(&i);
	}
	if (!wsi)
		finished = 1;
	while (!finished && rounds++ < 1000 && lws_service(context, 0) >= 0)
		;
	lws_context_destroy(context);
	printf("bye\n");

	return 0;
}
