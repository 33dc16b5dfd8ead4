//! The one callback that the C library knows: it decodes, hands on to the
//! engine, and lets no panic through.

use super::event::{Chunk, Event, Verdict};
use super::headers::HeaderWriter;
use super::sys;
use super::unmask::Mask;
use super::wsi::Wsi;
use crate::context::engine::Engine;
use std::ffi::{c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::NonNull;

/// Longer than anything that the library can have received: a length beyond it
/// is an underflow in C, and no slice is made of it.
const MAX_LEN: usize = i32::MAX as usize;

/// # Safety
///
/// Called by the C library alone, for protocols of a context whose user
/// pointer is a live [`Engine`], on that context's service thread.
pub(super) unsafe extern "C" fn callback(
    wsi: *mut sys::lws,
    reason: sys::lws_callback_reasons,
    user: *mut c_void,
    input: *mut c_void,
    len: usize,
) -> c_int {
    let Some(wsi) = NonNull::new(wsi) else {
        return 0;
    };
    // SAFETY: lws passes a wsi, real or fake, and both know their context.
    let context = unsafe { sys::lws_get_context(wsi.as_ptr()) };
    // SAFETY: a wsi's context is valid.
    let engine = unsafe { sys::lws_context_user(context) }.cast::<Engine>();
    // SAFETY: the user pointer is null or the context's engine, which outlives it.
    let Some(engine) = (unsafe { engine.as_ref() }) else {
        return 0;
    };
    // SAFETY: what lws passed, unchanged.
    let run = AssertUnwindSafe(|| unsafe { dispatch(engine, wsi, reason, user, input, len) });
    let result = catch_unwind(run);
    if reason == sys::lws_callback_reasons::LWS_CALLBACK_WSI_DESTROY {
        super::wsi_cell::forget(wsi);
    }
    match result {
        Ok(result) => result,
        Err(panic) => {
            engine.keep_panic(panic);
            -1
        }
    }
}

/// # Safety
///
/// As for [`callback`].
unsafe fn dispatch(
    engine: &Engine,
    wsi: NonNull<sys::lws>,
    reason: sys::lws_callback_reasons,
    user: *mut c_void,
    input: *mut c_void,
    len: usize,
) -> c_int {
    use sys::lws_callback_reasons as r;

    // First the reasons that come with a fake wsi: nothing may be asked of it.
    match reason {
        r::LWS_CALLBACK_PROTOCOL_INIT
        | r::LWS_CALLBACK_PROTOCOL_DESTROY
        | r::LWS_CALLBACK_EVENT_WAIT_CANCELLED
        | r::LWS_CALLBACK_VHOST_CERT_AGING => return 0,
        // Its result is the thread's id; one that never changes is right for us.
        r::LWS_CALLBACK_GET_THREAD_ID => return 0,
        #[cfg(feature = "_tls")]
        r::LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS => {
            let Some(ctx) = NonNull::new(user.cast::<sys::SSL_CTX>()) else {
                return -1;
            };
            // SAFETY: lws passes the vhost's new SSL_CTX, alive during this callback.
            let ctx = unsafe { super::tls::ServerCtx::new(ctx) };
            return if engine.on_server_tls(&ctx) { 0 } else { -1 };
        }
        r::LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS => return 0,
        // A CONNECT request turns a connection raw; nothing here speaks raw.
        r::LWS_CALLBACK_RAW_ADOPT | r::LWS_CALLBACK_RAW_RX => return -1,
        // With a length, which only our patch gives, the headers of the handshake.
        #[cfg(feature = "deflate")]
        r::LWS_CALLBACK_CONFIRM_EXTENSION_OKAY if len > 0 => {
            // SAFETY: it is the header's value in a buffer of that length.
            return c_int::from(!unsafe { choose_extension(input.cast(), len) });
        }
        #[cfg(feature = "deflate")]
        r::LWS_CALLBACK_CLIENT_CONFIRM_EXTENSION_SUPPORTED if len > 0 => {
            // SAFETY: it is the header's NUL-terminated value.
            let answer = unsafe { c_str(input.cast()) };
            return c_int::from(!crate::deflate::is_agreement(answer));
        }
        // 0 lets the TLS library's own verdict stand.
        r::LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION => return 0,
        _ => {}
    }

    // SAFETY: every other reason comes with a real wsi, alive during the callback,
    // or is handed on without being looked at.
    let event = match unsafe { decode(wsi, reason, input, len) } {
        Ok(Some(event)) => event,
        Ok(None) => {
            // SAFETY: what lws passed, unchanged, to lws' own default handler.
            return unsafe { sys::lws_callback_http_dummy(wsi.as_ptr(), reason, user, input, len) };
        }
        Err(Broken) => return -1,
    };
    let wsi = match event.is_of_websocket() {
        // SAFETY: the events decoded come with a real wsi, alive during the callback; the library
        // sends these in the ws role alone, which a wsi doesn't leave.
        true => unsafe { Wsi::new_websocket(wsi) },
        // SAFETY: as above, of any role.
        false => unsafe { Wsi::new(wsi) },
    };
    match engine.on_event(&wsi, event) {
        Verdict::Continue => 0,
        Verdict::Close => -1,
    }
}

/// The library contradicts itself; the connection is closed.
struct Broken;

/// `None`: a reason that isn't ours.
///
/// # Safety
///
/// As for [`callback`]; what is returned borrows `input`, and must not outlive
/// the callback.
unsafe fn decode<'cb>(
    wsi: NonNull<sys::lws>,
    reason: sys::lws_callback_reasons,
    input: *mut c_void,
    len: usize,
) -> Result<Option<Event<'cb>>, Broken> {
    use sys::lws_callback_reasons as r;

    Ok(Some(match reason {
        r::LWS_CALLBACK_HTTP_CONFIRM_UPGRADE if input.is_null() => {
            let status = u16::try_from(len).map_err(|_| Broken)?;
            Event::BadRequest { status }
        }
        r::LWS_CALLBACK_HTTP_CONFIRM_UPGRADE => {
            // SAFETY: lws passes the NUL-terminated value of the Upgrade header.
            let to = unsafe { c_str(input.cast()) };
            Event::UpgradeRequested { to }
        }
        r::LWS_CALLBACK_HTTP => Event::HttpRequest,
        r::LWS_CALLBACK_ESTABLISHED => Event::ServerEstablished,
        r::LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER => {
            if input.is_null() || len > MAX_LEN {
                return Err(Broken);
            }
            // SAFETY: `input` is lws' write position with `len` bytes of room.
            Event::ClientRequest(unsafe { HeaderWriter::new(input.cast(), len) })
        }
        r::LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH => Event::ClientResponse,
        r::LWS_CALLBACK_CLIENT_ESTABLISHED => Event::ClientEstablished,
        r::LWS_CALLBACK_CLIENT_CONNECTION_ERROR => {
            // SAFETY: `input` is null or has `len` bytes.
            let bytes = unsafe { bytes(input, len) }?;
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            let reason = std::str::from_utf8(&bytes[..end]).unwrap_or("unknown reason");
            Event::ClientFailed { reason }
        }
        r::LWS_CALLBACK_RECEIVE | r::LWS_CALLBACK_CLIENT_RECEIVE => {
            // SAFETY: `input` is null or has `len` bytes.
            let data = unsafe { bytes(input, len) }?;
            let is_server = reason == r::LWS_CALLBACK_RECEIVE;
            // SAFETY: these two reasons come with a wsi of the ws role.
            Event::Received(unsafe { chunk(wsi.as_ptr(), data, is_server) })
        }
        r::LWS_CALLBACK_RECEIVE_PONG | r::LWS_CALLBACK_CLIENT_RECEIVE_PONG => {
            // SAFETY: `input` is null or has `len` bytes.
            Event::Pong(unsafe { bytes(input, len) }?)
        }
        r::LWS_CALLBACK_SERVER_WRITEABLE | r::LWS_CALLBACK_CLIENT_WRITEABLE => Event::Writable,
        r::LWS_CALLBACK_WS_PEER_INITIATED_CLOSE => {
            // SAFETY: `input` is null or has `len` bytes.
            Event::PeerClosed(unsafe { bytes(input, len) }?)
        }
        r::LWS_CALLBACK_CLOSED | r::LWS_CALLBACK_CLIENT_CLOSED => Event::Closed,
        r::LWS_CALLBACK_WSI_DESTROY => Event::Destroyed,
        _ => return Ok(None),
    }))
}

/// # Safety
///
/// `wsi` is valid and of the ws role.
unsafe fn chunk<'cb>(wsi: *mut sys::lws, data: &'cb [u8], is_server: bool) -> Chunk<'cb> {
    // What servers send isn't masked.
    let mask = match is_server {
        // SAFETY: as this function's contract.
        true => unsafe { rx_mask(wsi) },
        false => None,
    };
    // SAFETY: as this function's contract.
    let last = unsafe { sys::lws_is_final_fragment(wsi) } != 0;
    // SAFETY: as this function's contract.
    let binary = unsafe { sys::lws_frame_is_binary(wsi) } != 0;
    // SAFETY: as this function's contract.
    let remaining = unsafe { sys::lws_remaining_packet_payload(wsi) };
    Chunk {
        data,
        mask,
        last,
        binary,
        remaining,
    }
}

/// # Safety
///
/// `wsi` is valid and of the ws role, and this is its RECEIVE callback.
unsafe fn rx_mask(wsi: *mut sys::lws) -> Option<Mask> {
    let mut mask = [0; 4];
    // SAFETY: as this function's contract; four bytes are written, if any.
    let masked = unsafe { sys::lwsrs_rx_mask(wsi, mask.as_mut_ptr()) };
    (masked != 0).then_some(mask)
}

/// Replaces a client's offers by the one that is taken. `false`: there is none.
///
/// # Safety
///
/// `offers` is a NUL-terminated string in a buffer of `len` bytes.
#[cfg(feature = "deflate")]
unsafe fn choose_extension(offers: *mut std::ffi::c_char, len: usize) -> bool {
    // SAFETY: as this function's contract.
    let chosen = crate::deflate::choose(unsafe { c_str(offers) });
    let Some(chosen) = chosen
        .map(|chosen| chosen + "\0")
        .filter(|c| c.len() <= len)
    else {
        return false;
    };
    // SAFETY: the buffer has room for it, and nothing borrows the buffer any more.
    unsafe {
        offers
            .cast::<u8>()
            .copy_from_nonoverlapping(chosen.as_ptr(), chosen.len())
    };
    true
}

/// A callback's buffer as a slice; an error for a length that can't be true.
///
/// # Safety
///
/// `input` is null or points to `len` bytes that live for `'cb`.
unsafe fn bytes<'cb>(input: *mut c_void, len: usize) -> Result<&'cb [u8], Broken> {
    if len > MAX_LEN {
        return Err(Broken);
    }
    if input.is_null() || len == 0 {
        return Ok(&[]);
    }
    // SAFETY: as this function's contract; the length is below isize::MAX.
    Ok(unsafe { std::slice::from_raw_parts(input.cast::<u8>(), len) })
}

/// # Safety
///
/// `text` is null or a NUL-terminated string that lives for `'cb`.
unsafe fn c_str<'cb>(text: *const std::ffi::c_char) -> &'cb str {
    if text.is_null() {
        return "";
    }
    // SAFETY: as this function's contract.
    let text = unsafe { std::ffi::CStr::from_ptr(text) };
    text.to_str().unwrap_or("")
}

/// Decodes a callback with any content, for one of the reasons that need no wsi.
#[cfg(fuzzing)]
pub(crate) fn fuzz_decode(data: &[u8]) {
    use sys::lws_callback_reasons as r;

    let Some((which, content)) = data.split_first() else {
        return;
    };
    let reasons = [
        r::LWS_CALLBACK_HTTP_CONFIRM_UPGRADE,
        r::LWS_CALLBACK_CLIENT_CONNECTION_ERROR,
        r::LWS_CALLBACK_RECEIVE_PONG,
        r::LWS_CALLBACK_WS_PEER_INITIATED_CLOSE,
    ];
    // The library ends strings with a NUL.
    let mut content = [content, &[0]].concat();
    let reason = reasons[usize::from(*which) % reasons.len()];
    let len = content.len() - 1;
    // SAFETY: these reasons don't look at the wsi; the content has this length, ends
    // with a NUL, and outlives the event.
    let event = unsafe {
        decode(
            NonNull::dangling(),
            reason,
            content.as_mut_ptr().cast(),
            len,
        )
    };
    match event {
        Ok(Some(Event::UpgradeRequested { to: text } | Event::ClientFailed { reason: text })) => {
            assert!(text.len() <= content.len().max("unknown reason".len()));
        }
        Ok(Some(Event::Pong(bytes) | Event::PeerClosed(bytes))) => assert_eq!(bytes.len(), len),
        _ => unreachable!("all of them are ours"),
    }
}
