/*
 * A small server for the tests of the patches to the vendored C library.
 *
 * Usage: server [h2 | oom N]
 *
 * It listens on a free loopback port, prints the port's number as its first line and then one line for each event of
 * interest. With "h2" it speaks HTTP/2 in clear text from the first byte. It ends when its standard input closes.
 * With "oom N" the library's Nth allocation fails; if there can't be a server then, the port is 0.
 * A message "pause" is the last that a WebSocket reads, and the last input that there is memory to keep.
 *
 *	POST /form	a form of the fields "a", "b" and "name" and an upload, kept in FORM_STORAGE bytes
 *	POST /drop	the stream is closed as soon as the first part of the body has come
 *	anything else	answers "ok"
 */

#include <libwebsockets.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORM_STORAGE 512

struct session {
	struct lws_spa *spa;
	int form;
	int drop;
};

static const char *const fields[] = { "a", "b", "name" };

static struct lws_context *context;
static volatile int finished;

static long allocations, failing;
static int nothing_is_kept;

static void *
allocate(void *ptr, size_t size, const char *reason)
{
	if (!size) {
		free(ptr);
		return NULL;
	}
	if (!ptr && ++allocations == failing)
		return NULL;
	if (nothing_is_kept && !strcmp(reason, "lws_buflist_append_segment"))
		return NULL;

	return realloc(ptr, size);
}

static int
refused(void)
{
	printf("0\n");
	if (context)
		lws_context_destroy(context);

	return failing ? 0 : 2;
}

static int
upload(void *data, const char *name, const char *filename, char *buf, int len,
       enum lws_spa_fileupload_states state)
{
	(void)data;
	(void)name;
	(void)filename;
	(void)buf;

	if (len)
		printf("upload %d state %d\n", len, (int)state);

	return 0;
}

static int
answer(struct lws *wsi, const char *body)
{
	unsigned char buf[LWS_PRE + 1024], *start = &buf[LWS_PRE], *p = start, *end = &buf[sizeof(buf) - 1];
	size_t len = strlen(body);

	if (lws_add_http_common_headers(wsi, HTTP_STATUS_OK, "text/plain", len, &p, end) ||
	    lws_finalize_write_http_header(wsi, start, &p, end))
		return -1;

	memcpy(start, body, len);
	if (lws_write(wsi, start, len, LWS_WRITE_HTTP_FINAL) != (int)len)
		return -1;

	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct session *s = (struct session *)user;
	char body[128];
	int n;

	switch (reason) {
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		if (!in) { /* the request is refused, with this status */
			printf("query %d\n", lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS));
			return lws_return_http_status(wsi, (unsigned int)len, NULL);
		}
		printf("upgrade asked: %s\n", (const char *)in);
		break;

	case LWS_CALLBACK_HTTP:
		printf("request %s\n", (const char *)in);
		s->form = !strcmp((const char *)in, "/form");
		s->drop = !strcmp((const char *)in, "/drop");
		if (s->form || s->drop)
			return 0; /* the body is still to come */
		return answer(wsi, "ok");

	case LWS_CALLBACK_HTTP_BODY:
		printf("body %llu\n", (unsigned long long)len);
		if (s->drop) {
			lws_callback_on_writable(wsi);
			return 0;
		}
		if (!s->spa)
			s->spa = lws_spa_create(wsi, fields, (int)LWS_ARRAY_SIZE(fields), FORM_STORAGE, upload, NULL);
		if (!s->spa || lws_spa_process(s->spa, (const char *)in, (int)len)) {
			printf("form refused\n");
			return -1;
		}
		break;

	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		if (!s->spa)
			return answer(wsi, "no form");
		lws_spa_finalize(s->spa);
		for (n = 0; n < (int)LWS_ARRAY_SIZE(fields); n++)
			if (lws_spa_get_string(s->spa, n))
				printf("field %s %d %s\n", fields[n], lws_spa_get_length(s->spa, n),
				       lws_spa_get_string(s->spa, n));
		lws_snprintf(body, sizeof(body), "a=%d b=%d", lws_spa_get_length(s->spa, 0),
			     lws_spa_get_length(s->spa, 1));
		lws_spa_destroy(s->spa);
		s->spa = NULL;
		return answer(wsi, body);

	case LWS_CALLBACK_HTTP_WRITEABLE:
		if (s && s->drop) {
			printf("dropped\n");
			return -1;
		}
		break;

	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
		if (s && s->spa) {
			lws_spa_destroy(s->spa);
			s->spa = NULL;
		}
		break;

	case LWS_CALLBACK_ESTABLISHED:
		printf("websocket open\n");
		break;

	case LWS_CALLBACK_RECEIVE:
		printf("received %.*s\n", (int)len, (const char *)in);
		if (len == 5 && !memcmp(in, "pause", 5)) {
			nothing_is_kept = 1;
			lws_rx_flow_control(wsi, 0);
		}
		break;

	case LWS_CALLBACK_CLOSED:
		printf("websocket closed\n");
		break;

	default:
		break;
	}

	return 0;
}

static const struct lws_protocols protocols[] = {
	{ "test", callback, sizeof(struct session), 0, 0, NULL, 0 },
	LWS_PROTOCOL_LIST_TERM
};

static void *
wait_for_end_of_input(void *arg)
{
	char c;

	(void)arg;

	while (read(0, &c, 1) > 0)
		;
	finished = 1;
	lws_cancel_service(context);

	return NULL;
}

int
main(int argc, const char **argv)
{
	struct lws_context_creation_info info;
	struct lws_vhost *vhost;
	pthread_t thread;

	setvbuf(stdout, NULL, _IOLBF, 0);
	lws_set_log_level(LLL_ERR | LLL_WARN, NULL);

	memset(&info, 0, sizeof(info));
	info.port = 0;
	info.iface = "127.0.0.1";
	info.protocols = protocols;
	info.fd_limit_per_thread = 64;
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_IPV6;
	if (argc > 1 && !strcmp(argv[1], "h2"))
		info.options |= LWS_SERVER_OPTION_H2_PRIOR_KNOWLEDGE;

	if (argc > 2 && !strcmp(argv[1], "oom"))
		failing = atol(argv[2]);
	lws_set_allocator(allocate);

	context = lws_create_context(&info);
	if (!context)
		return refused();
	vhost = lws_create_vhost(context, &info);
	if (!vhost)
		return refused();
	printf("%d\n", lws_get_vhost_listen_port(vhost));

	if (pthread_create(&thread, NULL, wait_for_end_of_input, NULL))
		return 2;
	while (!finished && lws_service(context, 0) >= 0)
		;
	pthread_join(thread, NULL);
	lws_context_destroy(context);
	printf("bye\n");

	return 0;
}
