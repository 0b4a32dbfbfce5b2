//! What a power cut needs of the machine, and how nothing of it stays behind. The chain runs in mount
//! and process namespaces of its own: whatever ends it, the kernel ends its processes, unmounts its
//! images and detaches their loop devices.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Error, anyhow};

/// What to do about a machine that refuses.
pub(crate) const HOW: &str = "a power cut is made on an ext4 image in a loop device, and this \
    machine does not allow that: run as root with CAP_SYS_ADMIN (in a container: --privileged, or \
    --cap-add SYS_ADMIN with /dev/loop-control and some /dev/loopN given to it), with a kernel that \
    has ext4 and loop, and with unshare, mount and mkfs.ext4 installed (Debian: util-linux, mount, \
    e2fsprogs)";

/// Namespaces that end with their first process, and the way into them.
const ALONE: [&str; 6] =
    ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Becomes the same command in namespaces of its own. Returns only an error.
pub(crate) fn go_alone() -> Error {
    let mut allowed = Command::new("unshare");
    allowed.args(ALONE).arg("true").stdin(Stdio::null()).stdout(Stdio::null());
    let allowed = allowed.stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return anyhow!(HOW);
    }
    match std::env::current_exe().context("this program cannot find itself") {
        Err(error) => error,
        Ok(program) => {
            let mut command = Command::new("unshare");
            command.args(ALONE).arg("--").arg(program).args(std::env::args_os().skip(1));
            Error::new(command.arg("--alone").exec()).context("cannot start unshare")
        }
    }
}
