//! Memory that C keeps a pointer to.

use std::ptr::NonNull;

/// An owned value at one address, for C to read and write while this lives.
///
/// Not a `Box`: moving one claims that nothing else points to what is in it.
pub(super) struct Kept<T>(NonNull<T>);

impl<T> Kept<T> {
    pub fn new(value: T) -> Self {
        Kept(NonNull::from(Box::leak(Box::new(value))))
    }

    /// Valid as long as this lives; C's rules say who may use it when.
    pub fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a box in `new`, and is freed here alone.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
