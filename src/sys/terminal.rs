//! How large a terminal is; `ioctl_tty(2)`.

use std::os::fd::{AsFd, AsRawFd};

use nix::libc;

mod call {
    nix::ioctl_read_bad!(window_size, nix::libc::TIOCGWINSZ, nix::libc::winsize);
}

/// Columns and rows of the terminal behind a descriptor; `None` where it is no terminal, or one that does not know.
pub fn size(terminal: impl AsFd) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` where its argument points, which is one of our own; the descriptor is
    // open while it is borrowed.
    let done = unsafe { call::window_size(terminal.as_fd().as_raw_fd(), &raw mut size) };
    (done.is_ok() && size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

#[cfg(test)]
mod tests {
    use super::size;
    use nix::pty::{Winsize, openpty};

    #[test]
    fn size_is_the_terminals() {
        let size_of = |ws_col, ws_row| {
            let window = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            let terminal = openpty(Some(&window), None).unwrap();
            size(&terminal.slave)
        };
        assert_eq!(size_of(100, 30), Some((100, 30)));
        assert_eq!(size_of(0, 0), None);
        assert_eq!(size(std::fs::File::open("/dev/null").unwrap()), None);
    }
}
