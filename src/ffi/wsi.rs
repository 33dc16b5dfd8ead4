//! One connection as the C library knows it: `struct lws`, called wsi.

use super::sys;
use crate::message::{CloseFrame, Payload};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::ptr::NonNull;

/// A wsi that is valid for `'cb`, the time of one callback, or until the context
/// is serviced.
pub(crate) struct Wsi<'cb> {
    ptr: NonNull<sys::lws>,
    is_websocket: bool,
    _callback: PhantomData<&'cb mut sys::lws>,
}

/// What a frame is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Text,
    Binary,
    Ping,
    Pong,
}

/// The connection can't be written to any more; it must be closed.
#[derive(Debug)]
pub(crate) struct Dead;

impl<'cb> Wsi<'cb> {
    /// # Safety
    ///
    /// `ptr` is a real (not a fake) wsi that isn't freed before `'cb` ends, and
    /// this is the context's service thread.
    pub(super) unsafe fn new(ptr: NonNull<sys::lws>) -> Self {
        Wsi {
            ptr,
            is_websocket: false,
            _callback: PhantomData,
        }
    }

    /// # Safety
    ///
    /// As for [`new`](Self::new), and the wsi is of the ws role as long as `'cb`.
    pub(super) unsafe fn new_websocket(ptr: NonNull<sys::lws>) -> Self {
        Wsi {
            ptr,
            is_websocket: true,
            _callback: PhantomData,
        }
    }

    /// It as one whose opening handshake is done, in callbacks that only such a one has.
    pub fn websocket(&self) -> Option<WebSocket<'_>> {
        self.is_websocket.then_some(WebSocket(self))
    }

    pub(super) fn ptr(&self) -> NonNull<sys::lws> {
        self.ptr
    }

    pub(super) fn as_ptr(&self) -> *mut sys::lws {
        self.ptr.as_ptr()
    }

    /// Asks for a WRITEABLE callback.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn request_writable(&self) {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        unsafe { sys::lws_callback_on_writable(self.as_ptr()) };
    }

    /// Whether another write now would wait for the socket; one that the library gathers with
    /// others wouldn't, whatever becomes of them.
    #[doc(alias = "lws_send_pipe_choked")]
    pub fn is_choked(&self) -> bool {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        unsafe { sys::lws_send_pipe_choked(self.as_ptr()) != 0 }
    }

    /// Whether the library holds output that the socket didn't take, which has to go
    /// out before anything else is written.
    #[doc(alias = "lws_partial_buffered")]
    pub fn holds_output(&self) -> bool {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        unsafe { sys::lws_partial_buffered(self.as_ptr()) != 0 }
    }

    /// Bytes that were written and that the peer hasn't got; `None` where that can't be told.
    pub fn unsent(&self) -> Option<u64> {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        let unsent = unsafe { sys::lwsrs_unsent(self.as_ptr()) };
        u64::try_from(unsent).ok()
    }

    /// Stops or resumes reading from the peer.
    #[doc(alias = "lws_rx_flow_control")]
    pub fn set_reading(&self, on: bool) {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        unsafe { sys::lws_rx_flow_control(self.as_ptr(), i32::from(on)) };
    }

    /// Closes the connection without a handshake, from the service loop, after
    /// the present callback.
    pub fn kill_later(&self) {
        // SAFETY: the wsi is valid for 'cb (contract of `new`); LWS_TO_KILL_ASYNC
        // closes it from the service loop, not within this call.
        unsafe { sys::lwsrs_kill_async(self.as_ptr()) };
    }

    /// The index that was stored with [`set_slot`](Wsi::set_slot), if any.
    pub fn slot(&self) -> Option<usize> {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        let data = unsafe { sys::lws_get_opaque_user_data(self.as_ptr()) };
        data.addr().checked_sub(1)
    }

    /// Stores the index of our own state with the wsi. It is a number, never a
    /// pointer: what it leads to is checked at each use.
    #[doc(alias = "lws_set_opaque_user_data")]
    pub fn set_slot(&self, index: usize) {
        let data = std::ptr::without_provenance_mut(index + 1);
        // SAFETY: the wsi is valid for 'cb (contract of `new`); lws only stores the value.
        unsafe { sys::lws_set_opaque_user_data(self.as_ptr(), data) };
    }

    /// The number that the vhost was created with.
    pub fn vhost_index(&self) -> Option<usize> {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        let vhost = unsafe { sys::lws_get_vhost(self.as_ptr()) };
        if vhost.is_null() {
            return None;
        }
        // SAFETY: a wsi's vhost lives at least as long as the wsi.
        let user = unsafe { sys::lws_get_vhost_user(vhost) };
        user.addr().checked_sub(1)
    }

    /// Writes a payload from behind its headroom, which the library may write to.
    pub(super) fn write_as(
        &self,
        protocol: sys::lws_write_protocol,
        payload: &mut Payload,
    ) -> Result<(), Dead> {
        let headroom = sys::LWSRS_HEADROOM as usize;
        let buffer = payload.buffer_mut();
        let Some(len) = buffer.len().checked_sub(headroom) else {
            return Err(Dead);
        };
        let start = buffer.as_mut_ptr();
        // SAFETY: the buffer has at least `headroom` bytes, checked above.
        let body = unsafe { start.add(headroom) };
        // SAFETY: `body` has `len` readable and writable bytes and LWSRS_HEADROOM (at
        // least LWS_PRE) writable ones in front; the wsi is valid for 'cb.
        let n = unsafe { sys::lws_write(self.as_ptr(), body, len, protocol) };
        if n < 0 {
            Err(Dead)
        } else {
            Ok(())
        }
    }

    /// The status of the HTTP response that a client got, if it got one.
    #[doc(alias = "lws_http_client_http_response")]
    pub fn http_status(&self) -> Option<u16> {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        let status = unsafe { sys::lws_http_client_http_response(self.as_ptr()) };
        // What isn't one is the beginning of something else, or nothing.
        u16::try_from(status)
            .ok()
            .filter(|s| (100..=999).contains(s))
    }

    /// The peer's address, while the socket is open.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        // SAFETY: the wsi is valid for 'cb (contract of `new`).
        let fd = unsafe { sys::lws_get_socket_fd(self.as_ptr()) };
        super::socket::peer_addr(fd)
    }
}

/// A wsi of the ws role.
#[derive(Clone, Copy)]
pub(crate) struct WebSocket<'a>(&'a Wsi<'a>);

impl WebSocket<'_> {
    /// From now on what a client sends may come [masked](super::event::Chunk::mask). Without
    /// effect on what servers send.
    pub fn leave_masked(self) {
        // SAFETY: the wsi is valid and of the ws role (contract of `new_websocket`).
        unsafe { sys::lwsrs_leave_masked(self.0.as_ptr()) };
    }

    /// Lets permessage-deflate work in pieces of 16 KiB instead of 1 KiB; whether it was
    /// agreed on.
    #[doc(alias = "lws_set_extension_option")]
    #[cfg(feature = "deflate")]
    pub fn enlarge_deflate_buffers(self) -> bool {
        [c"rx_buf_size", c"tx_buf_size"].into_iter().all(|option| {
            // SAFETY: as for `leave_masked`; the strings are static.
            let failed = unsafe {
                sys::lws_set_extension_option(
                    self.0.as_ptr(),
                    c"permessage-deflate".as_ptr(),
                    option.as_ptr(),
                    c"14".as_ptr(),
                )
            };
            failed == 0
        })
    }

    /// Sends one frame, whose payload must be kept until the next WRITEABLE or
    /// the end: permessage-deflate reads it after this returns.
    #[doc(alias = "lws_write")]
    pub fn write(self, kind: FrameKind, payload: &mut Payload) -> Result<(), Dead> {
        let protocol = match kind {
            FrameKind::Text => sys::lws_write_protocol::LWS_WRITE_TEXT,
            FrameKind::Binary => sys::lws_write_protocol::LWS_WRITE_BINARY,
            FrameKind::Ping => sys::lws_write_protocol::LWS_WRITE_PING,
            FrameKind::Pong => sys::lws_write_protocol::LWS_WRITE_PONG,
        };
        self.0.write_as(protocol, payload)
    }

    /// Sets what the close frame says that goes out when the callback returns
    /// [`Verdict::Close`](super::event::Verdict::Close).
    #[doc(alias = "lws_close_reason")]
    pub fn set_close_reason(self, frame: &CloseFrame) {
        let mut reason = frame.reason().as_bytes().to_vec();
        let code = sys::lws_close_status(u32::from(frame.code().get()));
        let wsi = self.0.as_ptr();
        // SAFETY: the wsi is valid and of the ws role (contract of `new_websocket`); the
        // reason's bytes are copied by the call.
        unsafe { sys::lws_close_reason(wsi, code, reason.as_mut_ptr(), reason.len()) };
    }
}
