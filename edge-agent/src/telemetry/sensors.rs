//! What the machine's sensors say, read where Linux shows them. A sensor that is not there, or says
//! nothing that can be read, is `None`.

use std::fs;
use std::path::{Path, PathBuf};

/// Where to look; tests look elsewhere.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `/sys`
    pub sys: PathBuf,
    /// `/proc`
    pub proc: PathBuf,
    /// Where the journal lies.
    pub data_dir: PathBuf,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sensors {
    /// Of the hottest zone.
    pub temperature_mdeg_c: Option<i32>,
    pub mains: Option<bool>,
    /// Of the first wireless interface.
    pub rssi_dbm: Option<i32>,
    pub disk_free_bytes: Option<u64>,
    pub resident_bytes: Option<u64>,
}

impl Sources {
    /// Of this machine.
    #[must_use]
    pub fn of_this_machine(data_dir: &Path) -> Self {
        let (sys, proc) = (PathBuf::from("/sys"), PathBuf::from("/proc"));
        Self { sys, proc, data_dir: data_dir.to_owned() }
    }

    /// Reads every sensor. Blocks as long as the disk does.
    #[must_use]
    pub fn read(&self) -> Sensors {
        Sensors {
            temperature_mdeg_c: self.temperature_mdeg_c(),
            mains: self.mains(),
            rssi_dbm: self.rssi_dbm(),
            disk_free_bytes: self.disk_free_bytes(),
            resident_bytes: self.resident_bytes(),
        }
    }

    /// Linux kernel document "Generic Thermal Sysfs driver": `temp` is in thousandths of a degree.
    fn temperature_mdeg_c(&self) -> Option<i32> {
        let zones = folders(&self.sys.join("class/thermal"));
        let zones = zones.filter(|zone| name_of(zone).starts_with("thermal_zone"));
        zones.filter_map(|zone| line(&zone.join("temp"))?.parse().ok()).max()
    }

    /// Linux kernel document "sysfs-class-power": `type` and `online`; 2 is "programmable".
    fn mains(&self) -> Option<bool> {
        let supplies = folders(&self.sys.join("class/power_supply"));
        let mains =
            supplies.filter(|supply| line(&supply.join("type")).as_deref() == Some("Mains"));
        mains.filter_map(|supply| line(&supply.join("online")).map(|online| online != "0")).max()
    }

    /// The third column after the interface, with a dot after it: two lines of heading first.
    fn rssi_dbm(&self) -> Option<i32> {
        let table = fs::read_to_string(self.proc.join("net/wireless")).ok()?;
        let levels = table.lines().skip(2).filter_map(|interface| {
            let level = interface.split_whitespace().nth(3)?;
            level.trim_end_matches('.').parse::<i32>().ok()
        });
        // A driver that does not tell in dBm tells a share above zero.
        levels.into_iter().find(|level| *level < 0)
    }

    fn disk_free_bytes(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.data_dir).ok()?;
        found.f_bavail.checked_mul(found.f_frsize)
    }

    fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(self.proc.join("self/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1_024)
    }
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn line(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
