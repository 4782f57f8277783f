//! System calls that a confined process tries in order to show that it can't. Each is one call with arguments that
//! do no harm where it gets through: nothing is mounted, nobody is stopped, only a segment that was made for it can
//! be damaged.
//!
//! Nobody can make an [`Attempt`] of his own: [`calls`] has them all.

pub mod calls;

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

/// One call. Made in [`calls`] alone, since what it points to has to outlive it and to be large enough.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    number: libc::c_long,
    arguments: &'static [Argument],
    /// Where it gets through it comes back twice, and the child has to leave at once.
    makes_a_child: bool,
}

/// One of a call's arguments.
#[derive(Debug, Clone, Copy)]
enum Argument {
    /// A number.
    Is(i64),
    /// A text that the kernel reads.
    Text(&'static CStr),
    /// A socket's address, which the kernel reads.
    Address(&'static Address),
    /// The descriptor of the log.
    Log,
    /// The descriptor of a client's connection.
    Client,
    /// The warden's pid.
    Warden,
    /// Another role's pid.
    Other,
    /// The path of the log.
    Segment,
    /// The path of the hash key.
    Key,
    /// A page of zeroes, for what the kernel reads as all zeroes or fills.
    Page,
    /// One `iovec` of a few bytes of the page.
    Vector,
    /// A `msghdr` with a byte and the log's descriptor (`SCM_RIGHTS`, `unix(7)`).
    Rights,
}

/// A `sockaddr_un` or `sockaddr_in`, with its length.
#[derive(Debug)]
#[repr(C, align(8))]
struct Address {
    bytes: [u8; 32],
    length: u8,
}

/// What the attempts are made with.
#[derive(Debug)]
pub struct Means {
    /// The log's descriptor.
    pub log: OwnedFd,
    /// A connection that a client might be at the other end of.
    pub client: OwnedFd,
    /// The warden's pid.
    pub warden: u32,
    /// The pid of another role.
    pub other: u32,
    /// The log's path.
    pub segment: CString,
    /// The hash key's path.
    pub key: CString,
}

/// What mprotect(2) can be asked about: pages by themselves, the largest that a kernel of ours has. The kernel writes
/// into it behind the compiler's back.
#[repr(C, align(65536))]
struct Page(UnsafeCell<[u8; 65536]>);

/// Where things are that a call points to.
struct Places {
    page: i64,
    vector: i64,
    rights: i64,
}

impl Attempt {
    /// Whether it is about the log, so that it needs one that may be damaged.
    #[must_use]
    pub fn is_about_the_log(&self) -> bool {
        self.arguments
            .iter()
            .any(|argument| matches!(argument, Argument::Log | Argument::Segment | Argument::Rights))
    }

    /// Makes it; a process that is not confined as it should be goes on unharmed.
    ///
    /// # Errors
    ///
    /// What the kernel answered. A call that the filter kills for does not come back.
    pub fn make(&self, means: &Means) -> Result<(), Errno> {
        let page = Box::new(Page(UnsafeCell::new([0; 65536])));
        let mut vector = libc::iovec { iov_base: page.0.get().cast(), iov_len: 8 };
        let mut control = rights(means.log.as_raw_fd());
        // SAFETY: msghdr is a C structure of integers and pointers, of which all zeroes is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = size_of_val(&control) as _;
        let places = Places {
            page: page.0.get() as i64,
            vector: &raw const vector as i64,
            rights: &raw const header as i64,
        };
        let mut words = [0; 6];
        for (word, argument) in words.iter_mut().zip(self.arguments) {
            *word = argument.word(means, &places);
        }
        if self.makes_a_child {
            return in_a_child(self.number, words);
        }
        let [a, b, c, d, e, f] = words;
        // SAFETY: the number and the kinds of its arguments come from `calls`, which alone can make an attempt. What its
        // pointers point to is borrowed as `means`, static, or a local of this function, all of which outlive the call.
        // Where a call of `calls` has the kernel write, it writes into the page, which is longer than any structure
        // that those calls fill.
        let answer = unsafe { libc::syscall(self.number, a, b, c, d, e, f) };
        Errno::result(answer).map(drop)
    }
}

/// One descriptor as a control message: a cmsghdr of 64-bit Linux is its length in one word, level and type in the
/// next.
fn rights(fd: RawFd) -> [u64; 3] {
    let [level, kind] = [libc::SOL_SOCKET, libc::SCM_RIGHTS].map(|number| u64::from(number.cast_unsigned()));
    [20, level | kind << 32, u64::from(fd.cast_unsigned())]
}

impl Argument {
    fn word(self, means: &Means, places: &Places) -> i64 {
        let at = |pointer: *const libc::c_void| pointer as i64;
        match self {
            Argument::Is(number) => number,
            Argument::Text(text) => at(text.as_ptr().cast()),
            Argument::Address(address) => at((&raw const address.bytes).cast()),
            Argument::Log => means.log.as_raw_fd().into(),
            Argument::Client => means.client.as_raw_fd().into(),
            Argument::Warden => means.warden.into(),
            Argument::Other => means.other.into(),
            Argument::Segment => at(means.segment.as_ptr().cast()),
            Argument::Key => at(means.key.as_ptr().cast()),
            Argument::Page => places.page,
            Argument::Vector => places.vector,
            Argument::Rights => places.rights,
        }
    }
}

/// A call that makes a process, which leaves at once.
#[cfg(target_arch = "x86_64")]
fn in_a_child(number: libc::c_long, [a, b, c, d, e, _]: [i64; 6]) -> Result<(), Errno> {
    let answer: i64;
    // By hand, because a child of vfork(2) shares our stack: returning from the C library's wrapper and calling
    // anything would overwrite what the parent returns to.
    // SAFETY: the calls that make children take integers, null pointers, or a clone_args that lives in the caller's
    // memory. `rcx` and `r11` are what a system call destroys. The child touches no memory before `exit_group`, which
    // does not return; the parent goes on behind it with the answer in `rax`.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, {exit_group}",
            "xor edi, edi",
            "syscall",
            "2:",
            exit_group = const libc::SYS_exit_group,
            inlateout("rax") number => answer,
            inlateout("rdi") a => _,
            in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            out("rcx") _, out("r11") _,
            options(nostack),
        );
    }
    match i32::try_from(-answer) {
        Ok(errno @ 1..4096) => Err(Errno::from_raw(errno)),
        _ => Ok(()),
    }
}

/// The same where vfork(2) is no call of its own.
#[cfg(not(target_arch = "x86_64"))]
fn in_a_child(number: libc::c_long, [a, b, c, d, e, f]: [i64; 6]) -> Result<(), Errno> {
    // SAFETY: the calls that make children take integers, null pointers, or a clone_args that lives in the caller's
    // memory, and none shares its memory with the child, which leaves by a call that is safe after a fork.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer == 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(0) }
    }
    Errno::result(answer).map(drop)
}

#[cfg(test)]
mod tests;
