/*
 * An echo server on the C library alone, as well tuned as its documented settings
 * allow: buffers of 64 KiB, and writing until the socket takes no more.
 * It prints its port; the arguments are --cert PEM --key PEM, or none.
 */

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER (64 * 1024)

/* A piece of a message on its way back. */
struct piece {
	struct piece *next;
	size_t len;
	enum lws_write_protocol how;
	unsigned char room[LWS_PRE];
	unsigned char data[];
};

struct session {
	struct piece *first, **end;
};

static int
keep(struct lws *wsi, struct session *s, const void *in, size_t len)
{
	struct piece *p = malloc(sizeof(*p) + len);

	if (!p)
		return -1;
	memcpy(p->data, in, len);
	p->len = len;
	p->next = NULL;
	p->how = (enum lws_write_protocol)lws_write_ws_flags(
		lws_frame_is_binary(wsi) ? LWS_WRITE_BINARY : LWS_WRITE_TEXT,
		lws_is_first_fragment(wsi), lws_is_final_fragment(wsi));
	*s->end = p;
	s->end = &p->next;
	lws_callback_on_writable(wsi);
	return 0;
}

static void
drop_first(struct session *s)
{
	struct piece *p = s->first;

	s->first = p->next;
	if (!s->first)
		s->end = &s->first;
	free(p);
}

static int
send_all(struct lws *wsi, struct session *s)
{
	while (s->first) {
		if (lws_write(wsi, s->first->data, s->first->len,
			      s->first->how) < 0)
			return -1;
		drop_first(s);
		if (s->first && lws_send_pipe_choked(wsi)) {
			lws_callback_on_writable(wsi);
			break;
		}
	}
	return 0;
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
	 void *in, size_t len)
{
	struct session *s = user;

	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		s->first = NULL;
		s->end = &s->first;
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return keep(wsi, s, in, len);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return send_all(wsi, s);
	case LWS_CALLBACK_CLOSED:
		while (s->first)
			drop_first(s);
		return 0;
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}

static const struct lws_protocols protocols[] = {
	{ "echo", callback, sizeof(struct session), BUFFER, 0, NULL, 0 },
	LWS_PROTOCOL_LIST_TERM
};

int
main(int argc, char **argv)
{
	struct lws_context_creation_info info;
	struct lws_context *context;
	struct lws_vhost *vhost;
	int i;

	memset(&info, 0, sizeof(info));
	info.iface = "127.0.0.1";
	info.protocols = protocols;
	info.pt_serv_buf_size = BUFFER;
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	for (i = 1; i + 1 < argc; i += 2) {
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		if (!strcmp(argv[i], "--cert"))
			info.ssl_cert_filepath = argv[i + 1];
		else if (!strcmp(argv[i], "--key"))
			info.ssl_private_key_filepath = argv[i + 1];
		else
			return 2;
	}
	lws_set_log_level(LLL_ERR | LLL_WARN, NULL);
	context = lws_create_context(&info);
	if (!context)
		return 1;
	vhost = lws_create_vhost(context, &info);
	if (!vhost)
		return 1;
	printf("%d\n", lws_get_vhost_listen_port(vhost));
	fflush(stdout);
	while (lws_service(context, 0) >= 0)
		;
	lws_context_destroy(context);
	return 0;
}
