#include "glue.h"

_Static_assert(LWS_PRE <= LWSRS_HEADROOM, "payloads have too little headroom");

void
lwsrs_kill_async(struct lws *wsi)
{
	lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE,
			LWS_TO_KILL_ASYNC);
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
