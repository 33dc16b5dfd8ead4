//! A wsi that is remembered between its callbacks, as long as it lives.

use super::sys;
use super::wsi::Wsi;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::rc::Rc;

/// What a cell holds; with this thread's list of those that hold something.
type Place = Rc<Cell<Option<NonNull<sys::lws>>>>;

type Holders = RefCell<HashMap<NonNull<sys::lws>, Holder>>;

/// A cell that holds a wsi, and the wsi's context. The cell is emptied with it.
struct Holder {
    place: Place,
    context: *mut sys::lws_context,
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.place.set(None);
    }
}

thread_local! {
    /// The cells that hold a wsi. No wsi is freed while its cell is here: who learns that one
    /// is about to be, or has been, has it [forgotten](forget).
    static HOLDERS: Holders = RefCell::default();
}

/// Remembers a wsi between callbacks. It is empty again once the wsi is destroyed.
///
/// A wsi lives and dies on its context's service thread, which the cell can't leave.
pub(crate) struct WsiCell(Place);

impl WsiCell {
    pub fn empty() -> Self {
        WsiCell(Place::default())
    }

    /// Holds this wsi from now on. Another cell that held it is emptied.
    pub fn set(&self, wsi: &Wsi<'_>) {
        self.clear();
        forget(wsi.ptr());
        // SAFETY: the wsi is valid (contract of `Wsi::new`), and knows its context.
        let context = unsafe { sys::lws_get_context(wsi.as_ptr()) };
        let place = Rc::clone(&self.0);
        let holder = Holder { place, context };
        let add = |all: &Holders| all.borrow_mut().insert(wsi.ptr(), holder);
        // A thread that ends, and has no list any more, remembers none.
        if HOLDERS.try_with(add).is_ok() {
            self.0.set(Some(wsi.ptr()));
        }
    }

    pub fn clear(&self) {
        if let Some(ptr) = self.0.get() {
            forget(ptr);
        }
    }

    pub fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    pub fn holds(&self, wsi: &Wsi<'_>) -> bool {
        self.0.get() == Some(wsi.ptr())
    }

    /// Calls `f` with the wsi, if it still lives. `f` gets only what doesn't
    /// free a wsi within the call.
    pub fn with<R>(&self, f: impl FnOnce(&Outside<'_>) -> R) -> Option<R> {
        let ptr = self.0.get()?;
        // SAFETY: the cell is emptied when the wsi is freed, on this same thread, and nothing
        // in `Outside` frees one.
        let wsi = unsafe { Wsi::new(ptr) };
        Some(f(&Outside(wsi)))
    }
}

/// Empties the cell that holds this wsi: called at the end of the callback after which it is
/// freed, and where the library says that it was freed without one.
pub(super) fn forget(ptr: NonNull<sys::lws>) {
    // All cells are emptied with the list, when the thread ends.
    let _ = HOLDERS.try_with(|all| all.borrow_mut().remove(&ptr));
}

/// Empties the cells that hold a wsi of this context, which was destroyed.
pub(super) fn forget_all(context: *mut sys::lws_context) {
    let of_others = |_: &NonNull<sys::lws>, holder: &mut Holder| holder.context != context;
    let _ = HOLDERS.try_with(|all| all.borrow_mut().retain(of_others));
}

/// What may be done with a wsi outside its own callbacks.
pub(crate) struct Outside<'a>(Wsi<'a>);

impl Outside<'_> {
    pub fn request_writable(&self) {
        self.0.request_writable();
    }

    pub fn kill_later(&self) {
        self.0.kill_later();
    }

    pub fn holds_output(&self) -> bool {
        self.0.holds_output()
    }

    pub fn unsent(&self) -> Option<u64> {
        self.0.unsent()
    }

    pub fn set_reading(&self, on: bool) {
        self.0.set_reading(on);
    }
}
