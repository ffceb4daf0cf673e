//! Returns memory to the system after a burst. The allocator of glibc keeps the memory that a
//! thousand connections needed, tens of megabytes, indefinitely; `malloc_trim(3)` returns it.
//!
//! The only unsafe code of the crate is the call in here.

use std::fs;

/// Minimum growth that is worth the work.
const WORTHWHILE_PAGES: u64 = 1024;

/// The memory in use when memory was last returned to the system.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    resident_pages: u64,
    /// Whether a burst was seen that may still go on.
    is_busy: bool,
}

impl Memory {
    /// Returns memory to the system that only the start needed.
    pub(crate) fn after_start(&mut self) {
        give_back();
        self.resident_pages = resident_pages().unwrap_or_default();
    }

    /// Returns unused memory to the system if more is in use than after the last time, and from
    /// then on with each call until nothing more is taken or returned: much of a burst is still in
    /// use when it is first seen. To be called every few seconds.
    pub(crate) fn look(&mut self) {
        let Some(now) = resident_pages() else { return };
        let has_grown = now >= self.resident_pages + WORTHWHILE_PAGES;
        if !has_grown && !self.is_busy {
            return;
        }
        give_back();
        let after = resident_pages().unwrap_or(now);
        self.is_busy = has_grown || now >= after + WORTHWHILE_PAGES;
        self.resident_pages = after;
    }
}

/// Pages in memory (`proc_pid_statm(5)`); `None` if that is not available.
fn resident_pages() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: `malloc_trim` may be called at any time, from any thread, with any argument.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators return memory by themselves, or can't be asked to.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Allocates much, frees it, and calls `look`; calls `meanwhile` while the memory is in use.
    fn burst(meanwhile: impl FnOnce(&mut Memory)) {
        let mut memory = Memory::default();
        memory.look();
        let mut pieces: Vec<_> = (0..20_000).map(|_| vec![1_u8; 4096]).collect();
        // An allocation at the end keeps the allocator from returning memory by itself.
        let last = pieces.pop();
        meanwhile(&mut memory);
        let held = resident_pages();
        drop(pieces);
        memory.look();
        let after = resident_pages();
        let given_back = held.zip(after).map(|(held, after)| held - after);
        assert!(given_back > Some(10_000), "{held:?} pages, then {after:?}");
        drop(last);
    }

    #[test]
    fn what_is_freed_is_given_back() {
        burst(|_| ());
    }

    #[test]
    fn what_is_freed_after_the_first_look_is_given_back_too() {
        burst(Memory::look);
    }
}
