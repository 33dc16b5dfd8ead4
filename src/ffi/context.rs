//! `struct lws_context`: creation, service, timers, waking, destruction.

use super::event_loop::EventLoop;
use super::kept::Kept;
use super::log::Hold;
use super::sys;
#[cfg(feature = "_tls")]
use super::tls::ClientCtx;
use super::vhost::VhostMemory;
use crate::context::engine::Engine;
use crate::error::Error;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// lws' creation and destruction touch globals of its own and of the TLS
/// library; one at a time in the process. No user code runs under this lock:
/// handlers are told later, log lines are held back, files are read before.
static LIFECYCLE: Mutex<()> = Mutex::new(());

/// The lock; dropped in this order, so that lines are logged without it.
pub(super) struct Lifecycle {
    _lock: MutexGuard<'static, ()>,
    _log: Hold,
}

pub(super) fn lifecycle() -> Lifecycle {
    Lifecycle {
        _lock: LIFECYCLE.lock().unwrap_or_else(PoisonError::into_inner),
        _log: Hold::begin(),
    }
}

/// What a context is created with.
pub(crate) struct ContextOptions {
    /// The size of the buffer that every read of this context goes through.
    pub receive_buffer: usize,
    /// Descriptors to make room for; `None`: the process' limit.
    pub max_fds: Option<u32>,
    /// Time for the TLS and HTTP phases of a connection, in seconds.
    pub handshake_timeout: u32,
    /// Bytes for the headers of one handshake.
    pub max_header_bytes: u32,
}

/// An owned `lws_context`, with all that lws keeps pointers to.
///
/// Dropping it destroys the context first; the callbacks that this makes still
/// go to the engine. Then the fields are dropped in this order.
pub(crate) struct RawContext {
    ptr: NonNull<sys::lws_context>,
    waker: Waker,
    event_loop: EventLoop,
    pub(super) vhosts: Vec<NonNull<sys::lws_vhost>>,
    pub(super) vhost_memory: Vec<VhostMemory>,
    #[cfg(feature = "_tls")]
    pub(super) client_tls: Vec<Rc<ClientCtx>>,
    /// Idle policies, one for each pair of values that was ever asked for.
    pub(super) idle_policies: HashMap<(u16, u16), Kept<sys::lws_retry_bo>>,
    /// What the callbacks use, at the address that the context knows.
    _engine: Rc<Engine>,
    _one: OneContext,
}

impl RawContext {
    /// Creates a context without vhosts, whose callbacks go to `engine`.
    #[doc(alias = "lws_create_context")]
    pub fn create(engine: Rc<Engine>, options: &ContextOptions) -> Result<Self, Error> {
        let one = OneContext::claim()?;
        super::log::install();
        #[cfg(feature = "_tls")]
        super::tls::init();
        let mut flags = u64::from(sys::LWS_SERVER_OPTION_EXPLICIT_VHOSTS)
            | u64::from(sys::LWS_SERVER_OPTION_JUST_USE_RAW_ORIGIN);
        if cfg!(feature = "_tls") {
            flags |= u64::from(sys::LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT);
        }
        let event_loop = EventLoop::new()?;
        let mut info = sys::lws_context_creation_info {
            options: flags,
            user: Rc::as_ptr(&engine).cast_mut().cast(),
            // With room for headers, so that frames which fill the buffer are read whole.
            pt_serv_buf_size: options.receive_buffer as u32 + 1024,
            fd_limit_per_thread: options.max_fds.unwrap_or(0),
            count_threads: 1,
            timeout_secs: options.handshake_timeout,
            max_http_header_data2: options.max_header_bytes,
            // 0 would change to root's; -1 leaves them alone.
            gid: sys::gid_t::MAX,
            uid: sys::uid_t::MAX,
            ..Default::default()
        };
        event_loop.describe(&mut info);
        let guard = lifecycle();
        // SAFETY: `info` is valid for the call, which copies what it keeps, but for the
        // event loop, which outlives the context; the strings and tables in it are null.
        let ptr = unsafe { sys::lws_create_context(&info) };
        drop(guard);
        let ptr = NonNull::new(ptr).ok_or(Error::Library { what: "a context" })?;
        Ok(RawContext {
            ptr,
            waker: Waker(Arc::new(Mutex::new(Some(ContextPtr(ptr))))),
            event_loop,
            vhosts: Vec::new(),
            vhost_memory: Vec::new(),
            #[cfg(feature = "_tls")]
            client_tls: Vec::new(),
            idle_policies: HashMap::new(),
            _engine: engine,
            _one: one,
        })
    }

    pub(super) fn as_ptr(&self) -> *mut sys::lws_context {
        self.ptr.as_ptr()
    }

    /// Waits for events, at most for `timeout`, and handles them. `false`: the context is
    /// beyond use. `woken` is called between the two, where the event loop can tell.
    pub fn service(&mut self, timeout: Option<Duration>, woken: impl FnOnce()) -> bool {
        // SAFETY: the context is valid until drop, was created with this event loop, and is
        // borrowed exclusively, so that it isn't being serviced.
        unsafe { self.event_loop.turn(self.ptr, timeout, woken) }
    }

    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl Drop for RawContext {
    #[doc(alias = "lws_context_destroy")]
    fn drop(&mut self) {
        // First, so that no other thread can wake what is going away.
        self.waker.disconnect();
        self.event_loop.stop();
        let _guard = lifecycle();
        // SAFETY: the context is valid, and this is the only call. It is not made inside a
        // callback of this context: callbacks run while `service` or `connect` borrows it.
        unsafe { sys::lws_context_destroy(self.ptr.as_ptr()) };
        // The library lets go of a wsi without a word, of which no way is known.
        super::wsi_cell::forget_all(self.ptr.as_ptr());
    }
}

/// A context's pointer on its way to another thread.
#[derive(Clone, Copy)]
struct ContextPtr(NonNull<sys::lws_context>);

// SAFETY: the pointer is used for lws_cancel_service alone, which lws allows on
// any thread while the context lives; the mutex around it ensures that.
unsafe impl Send for ContextPtr {}

/// Wakes a context's service loop from any thread.
#[derive(Clone)]
pub(crate) struct Waker(Arc<Mutex<Option<ContextPtr>>>);

impl Waker {
    /// Makes `service` return soon. Without effect once the context is destroyed.
    #[doc(alias = "lws_cancel_service")]
    pub fn wake(&self) {
        let context = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ContextPtr(ptr)) = *context {
            // SAFETY: the context lives: `disconnect` comes first, and waits for this lock.
            unsafe { sys::lws_cancel_service(ptr.as_ptr()) };
        }
    }

    fn disconnect(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The right to have a context, of which a library without locks gives one.
struct OneContext;

#[cfg(not(lws_single_context))]
impl OneContext {
    fn claim() -> Result<Self, Error> {
        Ok(OneContext)
    }
}

#[cfg(lws_single_context)]
mod single {
    use super::{Error, OneContext};
    use std::sync::atomic::{AtomicBool, Ordering};

    static TAKEN: AtomicBool = AtomicBool::new(false);

    impl OneContext {
        pub(super) fn claim() -> Result<Self, Error> {
            match TAKEN.swap(true, Ordering::Acquire) {
                false => Ok(OneContext),
                true => Err(Error::OnlyOneContext),
            }
        }
    }

    impl Drop for OneContext {
        fn drop(&mut self) {
            TAKEN.store(false, Ordering::Release);
        }
    }
}

/// How many descriptors the process may have open.
#[cfg(unix)]
pub(crate) fn fd_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is valid for writing.
    let rc = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if rc == 0 {
        limit.rlim_cur
    } else {
        u64::MAX
    }
}

/// How many descriptors the process may have open: lws has its own fixed table.
#[cfg(not(unix))]
pub(crate) fn fd_limit() -> u64 {
    0
}

/// The version of the C library that is linked.
#[doc(alias = "lws_get_library_version")]
pub(crate) fn library_version() -> &'static str {
    // SAFETY: takes nothing, and returns a static NUL-terminated string.
    let version = unsafe { sys::lws_get_library_version() };
    if version.is_null() {
        return "";
    }
    // SAFETY: as above.
    let version = unsafe { CStr::from_ptr(version) };
    version.to_str().unwrap_or("")
}
