//! The system's allocator, and how many bytes are in use: with what it adds to each allocation, where that can be told.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Counts what is allocated. A benchmark makes it its `#[global_allocator]`.
#[derive(Debug)]
pub struct Heap {
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// Whether [`Heap::used`] has what the allocator adds: rounding and its own book-keeping. Otherwise it is the sum of what
    /// was asked for.
    pub const WHOLE: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

    /// Nothing is in use yet.
    pub const fn new() -> Self {
        Self { used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// The most bytes in use since [`Heap::restart`].
    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }

    /// Forgets the peak so far; gives the bytes that are in use now.
    pub fn restart(&self) -> usize {
        let used = self.used();
        self.peak.store(used, Relaxed);
        used
    }
}

/// The bytes that an allocation takes: glibc keeps one word beside what can be used of it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "only the allocator knows what it gave")]
fn bytes(pointer: *mut u8, _: Layout) -> usize {
    if pointer.is_null() {
        return 0;
    }
    // SAFETY: the callers have the pointer from the system's allocator, which is glibc's `malloc`, and it is not freed yet.
    unsafe { libc::malloc_usable_size(pointer.cast()) + size_of::<usize>() }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn bytes(pointer: *mut u8, layout: Layout) -> usize {
    if pointer.is_null() { 0 } else { layout.size() }
}

#[expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]
// SAFETY: each method hands its arguments to the system's allocator as they are, and its answer back as it is.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller answers for the layout.
        let pointer = unsafe { System.alloc(layout) };
        let size = bytes(pointer, layout);
        self.peak.fetch_max(self.used.fetch_add(size, Relaxed) + size, Relaxed);
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.used.fetch_sub(bytes(pointer, layout), Relaxed);
        // SAFETY: the caller answers for the pointer and the layout, and the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}
