//! How much memory something takes at most: for tests that hold that it is bounded. What other threads take meanwhile does not
//! count.
#![expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// The bytes in use that this thread had allocated, less those that it freed for others; and the most that there were.
    static USED: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

/// Does the work; and the most bytes that were in use meanwhile, beside those that were before.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = USED.with(|used| {
        let (now, _) = used.get();
        used.set((now, now));
        now
    });
    let done = work();
    let (_, most) = USED.get();
    (done, (most - before).unsigned_abs())
}

fn count(bytes: isize) {
    // While a thread ends there is nothing to count any more.
    let _ = USED.try_with(|used| {
        let (now, most) = used.get();
        used.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: each method hands its arguments to the system's allocator as they are, and its answer back as it is.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller answers for the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller answers for the layout.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there for a moment.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: the caller answers for the pointer, the layout and the size.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller answers for the pointer and the layout, and the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn the_most_is_counted_and_not_what_is_left() {
    let ((), most) = peak(|| drop(vec![1_u8; 1 << 20]));
    assert!((1 << 20..2 << 20).contains(&most), "{most}");
    let (kept, most) = peak(|| vec![1_u8; 1 << 10]);
    assert!(most < 1 << 20, "{most}");
    drop(kept);
}
