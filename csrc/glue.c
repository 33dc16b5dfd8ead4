#include "glue.h"

#if defined(__linux__)
#include <sys/ioctl.h>
#endif

_Static_assert(LWS_PRE <= LWSRS_HEADROOM, "payloads have too little headroom");

void
lwsrs_kill_async(struct lws *wsi)
{
	lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE,
			LWS_TO_KILL_ASYNC);
}

/*
 * From patch 0051. An installed library hasn't got it: being weak, it need not be there,
 * and then nothing is kept.
 */
#if defined(__linux__)
void lws_gather_turn(struct lws_context *context, int tsi, int begins)
	__attribute__((weak));

void
lwsrs_turn(struct lws_context *context, int begins)
{
	if (lws_gather_turn)
		lws_gather_turn(context, 0, begins);
}
#endif

/* From patch 0095, likewise: what the kernel has alone tells nearly as much. */
#if defined(__linux__)
size_t lws_unsent(struct lws *wsi) __attribute__((weak));
#endif

long long
lwsrs_unsent(struct lws *wsi)
{
#if defined(__linux__)
	int kernel = 0;

	if (ioctl(lws_get_socket_fd(wsi), TIOCOUTQ, &kernel))
		kernel = 0;

	return kernel + (lws_unsent ? (long long)lws_unsent(wsi) : 0);
#else
	return lws_partial_buffered(wsi) ? -1 : 0;
#endif
}

/* From patch 0058, likewise: what it isn't asked to leave masked is unmasked. */
#if defined(__linux__)
void lws_ws_leave_masked(struct lws *wsi) __attribute__((weak));
int lws_ws_rx_mask(struct lws *wsi, unsigned char *mask) __attribute__((weak));
#endif

void
lwsrs_leave_masked(struct lws *wsi)
{
#if defined(__linux__)
	if (lws_ws_leave_masked && lws_ws_rx_mask)
		lws_ws_leave_masked(wsi);
#endif
	(void)wsi;
}

int
lwsrs_rx_mask(struct lws *wsi, unsigned char *mask)
{
#if defined(__linux__)
	if (lws_ws_rx_mask)
		return lws_ws_rx_mask(wsi, mask);
#endif
	(void)wsi;
	(void)mask;
	return 0;
}

void
lwsrs_unmask(unsigned char *restrict to, const unsigned char *restrict from,
	     size_t len, const unsigned char *mask)
{
	uint64_t key, word;
	size_t n = 0;

	memcpy(&key, mask, 4);
	memcpy((unsigned char *)&key + 4, mask, 4);

	for (; len - n >= sizeof(word); n += sizeof(word)) {
		memcpy(&word, from + n, sizeof(word));
		word ^= key;
		memcpy(to + n, &word, sizeof(word));
	}
	for (; n < len; n++)
		to[n] = from[n] ^ mask[n & 3];
}

/* From patch 0056, likewise. */
#if defined(__linux__)
int lws_hdr_next(struct lws *wsi, int h) __attribute__((weak));
#endif

int
lwsrs_next_header(struct lws *wsi, int h)
{
#if defined(__linux__)
	if (lws_hdr_next)
		return lws_hdr_next(wsi, h);
#endif
	return lwsrs_next_header_asking(wsi, h);
}

int
lwsrs_next_header_asking(struct lws *wsi, int h)
{
	char none[1];

	/* Those from there on are the library's own. */
	while (++h < (int)_WSI_TOKEN_CLIENT_SENT_PROTOCOLS) {
		enum lws_token_indexes token = (enum lws_token_indexes)h;

		/* An empty one has no length, but can be copied. */
		if (lws_hdr_total_length(wsi, token) > 0 ||
		    lws_hdr_copy_fragment(wsi, none, 1, token, 0) == 0)
			return h;
	}

	return -1;
}

/* From patch 0078, likewise. */
#if defined(__linux__)
int lws_client_answer_body(struct lws *wsi, unsigned char *buf, size_t len)
	__attribute__((weak));
#endif

int
lwsrs_answer_body(struct lws *wsi, unsigned char *buf, size_t len)
{
#if defined(__linux__)
	if (lws_client_answer_body)
		return lws_client_answer_body(wsi, buf, len);
#endif
	(void)wsi;
	(void)buf;
	(void)len;
	return 0;
}

void
lwsrs_no_proxy(struct lws_context_creation_info *info)
{
	/* Without an address lws asks the environment; port 0 is no proxy. */
#if defined(LWS_ROLE_H1) || defined(LWS_ROLE_H2)
	info->http_proxy_address = ":0";
#endif
#if defined(LWS_WITH_SOCKS5)
	info->socks_proxy_address = ":0";
#endif
	(void)info;
}

/* Without patch 0079, as in an installed library, messages lose their end. */
#if !defined(LWS_WITHOUT_EXTENSIONS) && defined(LWS_PMD_INFLATES_TO_THE_END)

static const struct lws_extension deflate[] = {
	{
		"permessage-deflate",
		lws_extension_callback_pm_deflate,
		"permessage-deflate; client_no_context_takeover; "
			"client_max_window_bits"
	},
	{ NULL, NULL, NULL }
};

const struct lws_extension *
lwsrs_extensions(void)
{
	return deflate;
}

#else

const struct lws_extension *
lwsrs_extensions(void)
{
	return NULL;
}

#endif
