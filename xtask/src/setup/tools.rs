//! Programs of the system that tests run. A program on the path counts, wherever it is from, so that this works on systems
//! that are not Debian.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// A program, and the Debian package that has it.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(super) program: &'static str,
    pub(super) package: &'static str,
    pub(super) why: &'static str,
}

/// What the tests always need.
pub(super) const ALWAYS: [Tool; 4] = [
    Tool { program: "zbarimg", package: "zbar-tools", why: "reads the QR code of a notice" },
    Tool {
        program: "mosquitto_pub",
        package: "mosquitto-clients",
        why: "is an MQTT client that is not ours",
    },
    Tool {
        program: "mosquitto",
        package: "mosquitto",
        why: "is the broker that ours is compared with",
    },
    Tool {
        program: "systemd-analyze",
        package: "systemd",
        why: "checks the units in deploy/systemd",
    },
];

/// Only needed while there is no venv.
pub(super) const PYTHON: Tool =
    Tool { program: "python3 -m venv", package: "python3-venv", why: "makes the Python venv" };

/// Those of `tools` that `has` does not find.
pub(super) fn missing(
    tools: &'static [Tool],
    has: impl Fn(&'static str) -> bool,
) -> Vec<&'static Tool> {
    tools.iter().filter(|tool| !has(tool.program)).collect()
}

/// What a person has to type where we cannot install.
pub(super) fn install_commands(tools: &[&Tool]) -> String {
    let packages: Vec<_> = tools.iter().map(|tool| tool.package).collect();
    let install = "    sudo apt-get update\n    sudo apt-get install --no-install-recommends";
    let mut commands = format!("{install} {}", packages.join(" "));
    if packages.contains(&"mosquitto") {
        commands += "\n    sudo systemctl disable --now mosquitto   # the tests start their own";
    }
    commands
}

/// Installs the Debian packages; needs root.
pub(super) fn install(tools: &[&Tool]) -> Result<()> {
    if tools.is_empty() {
        return Ok(());
    }
    if let Err(error) = process::run_quiet_stdout(&mut apt_get(&["update"])) {
        eprintln!("warning: {error:#}; going on with the package lists that are here");
    }
    let packages = tools.iter().map(|tool| tool.package);
    let mut install = apt_get(&["install", "--yes", "--no-install-recommends"]);
    process::run_quiet_stdout(install.args(packages))?;
    // The package starts a broker on port 1883 of this machine, which nobody asked for.
    let is_systemd = Path::new("/run/systemd/system").exists();
    if is_systemd && tools.iter().any(|tool| tool.package == "mosquitto") {
        let mut disable = Command::new("systemctl");
        process::run_quiet_stdout(disable.args(["disable", "--now", "mosquitto"]))?;
    }
    Ok(())
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
    command
}
