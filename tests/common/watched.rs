//! What is left in memory that was given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// The system's allocator, which looks at each block that is given back while it
/// [watches](Watching::watch). A block that is to grow is a new one and an old one here, as
/// GlobalAlloc has it by default.
pub struct Watching {
    is_secret: fn(&[u8]) -> bool,
    watches: AtomicBool,
    found: AtomicUsize,
}

impl Watching {
    pub const fn new(is_secret: fn(&[u8]) -> bool) -> Self {
        Watching {
            is_secret,
            watches: AtomicBool::new(false),
            found: AtomicUsize::new(0),
        }
    }

    /// How many blocks with a secret were given back meanwhile.
    pub fn watch(&self, f: impl FnOnce()) -> usize {
        self.found.store(0, SeqCst);
        self.watches.store(true, SeqCst);
        f();
        self.watches.store(false, SeqCst);
        self.found.load(SeqCst)
    }
}

// SAFETY: all blocks are the system's, as it wants them.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that all of it may be read later.
        // SAFETY: the caller's layout is what it has to be.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.watches.load(SeqCst) {
            // SAFETY: the block is still this long, was zeroed at first, and is nobody
            // else's any more.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            if (self.is_secret)(bytes) {
                self.found.fetch_add(1, SeqCst);
            }
        }
        // SAFETY: it was allocated by `alloc` with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}
