//! Disks of our own: small, failing, and without mains.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{PATIENCE, run};

/// A mounted file system; away when dropped.
pub struct Disk {
    at: PathBuf,
    image: Option<PathBuf>,
}

impl Disk {
    /// A tmpfs with these options.
    pub fn tmpfs(at: &Path, options: &str) -> Disk {
        fs::create_dir(at).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at));
        Disk { at: at.to_owned(), image: None }
    }

    /// An ext4 of this size in a file beside `at`, which is made.
    pub fn ext4(at: &Path, size: &str) -> Disk {
        fs::create_dir(at).unwrap();
        Disk::ext4_at(at, size)
    }

    /// The same, where `at` is there already.
    pub fn ext4_at(at: &Path, size: &str) -> Disk {
        let image = (1..).map(|number| at.with_extension(format!("img{number}"))).find(|path| !path.exists());
        let image = image.unwrap();
        run(Command::new("truncate").args(["-s", size]).arg(&image));
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", "lazy_itable_init=0"]).arg(&image));
        let disk = Disk { at: at.to_owned(), image: Some(image) };
        disk.mount();
        fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
        disk
    }

    fn mount(&self) {
        let image = self.image.as_ref().unwrap();
        // Nothing is written back before somebody asks, so that what is there after a cut was asked for.
        run(Command::new("mount").args(["-o", "loop,commit=300,errors=remount-ro"]).arg(image).arg(&self.at));
    }

    /// An error is found on it, and it turns read-only at once, whoever has files open there.
    pub fn break_down(&self) {
        let source = run(Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&self.at));
        let device = String::from_utf8(source.stdout).unwrap();
        let name = device.trim().trim_start_matches("/dev/");
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "a test").unwrap();
    }

    /// Takes it away under whoever uses it.
    pub fn unmount(&self) {
        run(Command::new("umount").arg("-l").arg(&self.at));
    }

    /// The power is cut and comes back: whatever was not synced is gone, as the kernel's own shutdown of an ext4 has
    /// it (EXT4_IOC_SHUTDOWN without flushing the journal), and the journal is replayed. Nothing may be open there.
    pub fn cut_power(&self) {
        nix::ioctl_read!(shutdown, b'X', 125, u32);
        const WITHOUT_FLUSH: u32 = 2;
        let root = fs::File::open(&self.at).unwrap();
        let mut how = WITHOUT_FLUSH;
        // SAFETY: the request reads one u32, which `how` is.
        #[allow(unsafe_code, reason = "nix has no call for it")]
        unsafe { shutdown(root.as_raw_fd(), &raw mut how) }.unwrap();
        drop(root);
        // Who was ended a moment ago may still hold something there.
        let deadline = Instant::now() + PATIENCE;
        while !Command::new("umount").arg(&self.at).output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "{} stays busy", self.at.display());
        }
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
        if let Some(image) = &self.image {
            let _ = fs::remove_file(image);
        }
    }
}
