#include "glue.h"

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

#if !defined(LWS_WITHOUT_EXTENSIONS)

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
