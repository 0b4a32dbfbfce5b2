//! The command line of `hubctl`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};
use locker_core::ids::{BankId, CarrierId};
use uuid::Uuid;

const CONNECTING: &str = "\
How to connect: name the hub, its authority, and your operator certificate with --hub, --ca, --cert
and --key, with the variables POSTERN_HUB, POSTERN_CA, POSTERN_CERT and POSTERN_KEY, or in a file
given with --context or POSTERN_CONTEXT:

  hub = \"https://hub.example.org:8443\"
  ca = \"ca.pem\"              # relative paths count from this file's folder
  cert = \"operators/olga.pem\"
  key = \"operators/olga.key\"

Exit codes: 0 done; 1 the hub refused, or what was checked does not hold; 2 the command line or a
file is wrong; 3 the hub cannot be reached or did not answer in time (repeat the call with the same
--request-id to be safe).";

/// Operate a Postern hub from the terminal.
#[derive(Debug, Parser)]
#[command(name = "hubctl", version, after_help = CONNECTING)]
pub struct Args {
    /// Write JSON, one value a line, instead of tables.
    #[arg(long, global = true)]
    pub json: bool,
    /// How to reach the hub.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How to reach the hub, and as whom.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectArgs {
    /// File with `hub`, `ca`, `cert` and `key`; the options below take precedence.
    #[arg(long, global = true, env = "POSTERN_CONTEXT", value_name = "FILE")]
    pub context: Option<PathBuf>,
    /// The hub's address, as in https://localhost:8443.
    #[arg(long, global = true, env = "POSTERN_HUB", value_name = "URL")]
    pub hub: Option<String>,
    /// The authority of the hub's certificate (PEM).
    #[arg(long, global = true, env = "POSTERN_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Your operator certificate (PEM).
    #[arg(long, global = true, env = "POSTERN_CERT", value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The key of your certificate (PEM).
    #[arg(long, global = true, env = "POSTERN_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// How long to wait for an answer, in seconds.
    #[arg(long, global = true, default_value_t = 10, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub timeout: u64,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at what a person must look at, and end it.
    Alarm {
        /// What to do.
        #[command(subcommand)]
        command: AlarmCommand,
    },
    /// Check what banks have recorded, and make evidence that others can check.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Make banks known, look at them, change how they work, sign badges.
    Bank {
        /// What to do.
        #[command(subcommand)]
        command: BankCommand,
    },
    /// Look at a parcel and what happened to it.
    Parcel {
        /// What to do.
        #[command(subcommand)]
        command: ParcelCommand,
    },
    /// Follow what happens in the fleet, event by event, until interrupted.
    ///
    /// When the connection is lost, the watch goes on where it was as soon as the hub is back.
    Watch(WatchArgs),
}

/// What to do with alarms.
#[derive(Debug, Subcommand)]
pub enum AlarmCommand {
    /// List alarms, newest first; for a clone with everybody that said it was the bank.
    List {
        /// Of this bank only.
        #[arg(long)]
        bank: Option<BankId>,
        /// Those that were cleared, too.
        #[arg(long)]
        all: bool,
    },
    /// End an alarm after you have looked; the bank goes on with its next connection.
    Clear {
        /// The alarm's number.
        alarm: u64,
        /// What you found; kept in the event log.
        #[arg(long)]
        note: String,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
}

/// What to do with records and evidence.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Read everything that a bank has recorded, and check it on this machine.
    ///
    /// A bank's records are a chain: each one holds the hash of the one before. Every minute or so
    /// the bank adds a seal, a signature with its device key over the chain so far and over the
    /// state of its compartments. This command reads all records from the hub and checks, without
    /// trusting the hub: that no record was changed, dropped or put in; that every seal is signed
    /// and names the state that the records add up to; that each change of the device key is signed
    /// by the key before it; and that each stream (a bank begins a new one when its storage is
    /// replaced) goes on where the one before it was left.
    ///
    /// One line is written for each thing that does not hold, and the exit code is 1 then. Records
    /// after the last seal are named; that they are not sealed yet is no error.
    ///
    /// The bank's public keys come from the hub. To be sure that they are the bank's, give its
    /// certificates with --certificate: they are checked against --ca. Without them, a hub that lies
    /// can hand out a journal of its own making.
    ///
    /// Where the journal ends is the hub's word in any case: what came after some seal, whole streams
    /// too, can be left off. So the age of the last seal is said: a bank that works seals every
    /// minute or so.
    Verify {
        /// The bank.
        bank: BankId,
        /// A certificate of the bank or of an intermediate authority (PEM). Can be given often.
        #[arg(long, value_name = "FILE")]
        certificate: Vec<PathBuf>,
    },
    /// Write everything that proves what happened to a parcel into one file.
    ///
    /// The file holds the bank's records from the first one about the parcel to the first seal after
    /// the last one, with the bank's public keys. All records between are in it, those about other
    /// parcels too, because the signature covers the whole chain: it is large for a parcel that
    /// stayed long, and it is not for everybody's eyes: the records name other carriers and barcodes, but no recipients.
    ///
    /// Whoever gets it can check it with `hubctl audit check`, without this hub or any network.
    Bundle {
        /// The parcel, as acme/p-1 or carriers/acme/parcels/p-1.
        parcel: ParcelArg,
        /// The file to write; it must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A certificate to put in, of the bank or of an intermediate authority (PEM): with it the
        /// file also proves whose key signed. The hub keeps the banks' keys, not their certificates.
        /// Can be given often.
        #[arg(long, value_name = "FILE")]
        certificate: Vec<PathBuf>,
    },
    /// Check an evidence file, without a hub or a network.
    ///
    /// Says what happened to the parcel, when, by whose clock and how good that clock was, which key
    /// signed it, and what the file does not prove. With --ca it also checks that the key is the
    /// bank's, by the certificates in the file. The exit code is 1 if anything does not hold.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// A carrier's parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParcelArg(pub String);

impl FromStr for ParcelArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short = text.strip_prefix("carriers/").map(|rest| rest.replacen("/parcels/", "/", 1));
        let short = short.as_deref().unwrap_or(text);
        let (carrier, parcel) = short.split_once('/').unwrap_or_default();
        let fits = carrier.parse::<CarrierId>().is_ok() && !parcel.is_empty();
        let name = || Self(format!("carriers/{carrier}/parcels/{parcel}"));
        let fits = fits && !parcel.contains('/');
        if fits { Ok(name()) } else { Err("expected carrier and parcel, such as acme/p-1") }
    }
}

/// What to do with banks.
#[derive(Debug, Subcommand)]
pub enum BankCommand {
    /// Make a bank known, so that its agent may connect.
    Create {
        /// The name in the bank's certificate.
        bank: BankId,
        /// What people call it; shown in notices.
        #[arg(long)]
        name: String,
        /// Where it is; shown in notices.
        #[arg(long, default_value = "", hide_default_value = true)]
        address: String,
        /// The time zone where it stands, by its IANA name, such as Europe/Berlin: notices state
        /// times in it.
        #[arg(long, default_value = "UTC", value_name = "ZONE")]
        time_zone: String,
        /// Its compartments.
        #[command(flatten)]
        layout: LayoutArgs,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Show a bank and its compartments.
    Get {
        /// The bank.
        bank: BankId,
    },
    /// List all banks.
    List,
    /// Issue a new layout; the bank takes it when every compartment it changes is free.
    SetLayout {
        /// The bank.
        bank: BankId,
        /// Its compartments.
        #[command(flatten)]
        layout: LayoutArgs,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Say in which time zone a bank stands; no deadline moves by that.
    ///
    /// Notices that are written from then on, and what this program shows about the bank, state
    /// times in it.
    SetTimeZone {
        /// The bank.
        bank: BankId,
        /// The IANA name, such as Europe/Berlin.
        zone: String,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Name the only certificate that counts for a bank; all others are revoked at once.
    ReplaceCertificate {
        /// The bank.
        bank: BankId,
        /// The new certificate (PEM).
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Sign a badge with which a courier can deposit at a bank.
    Badge {
        /// The bank.
        bank: BankId,
        /// The courier's carrier.
        #[arg(long)]
        carrier: CarrierId,
        /// How long it works, in minutes: 1 to 1440.
        #[arg(long, default_value_t = 480, value_name = "MINUTES",
              value_parser = clap::value_parser!(u32).range(1..=1_440))]
        ttl: u32,
        /// Also write its QR code to this file (PNG).
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Sign a badge with which a person can look after a bank.
    ///
    /// Its holder can look into compartments, take parcels out, put boards back into service, and
    /// lift a lockdown together with a second person who has another badge.
    StaffBadge {
        /// The bank.
        bank: BankId,
        /// How long it works, in minutes: 1 to 1440.
        #[arg(long, default_value_t = 480, value_name = "MINUTES",
              value_parser = clap::value_parser!(u32).range(1..=1_440))]
        ttl: u32,
        /// Also write its QR code to this file (PNG).
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Put a bank into maintenance, or back into service.
    ///
    /// In maintenance it takes no deposits; what is inside can be collected and recalled. A bank
    /// that is not connected hears of it as soon as it is.
    Maintenance {
        /// The bank.
        bank: BankId,
        /// `on` for maintenance, `off` for back into service.
        #[arg(value_name = "on|off")]
        switch: Switch,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Say how many free compartments of each size a bank keeps back for hard bookings.
    ///
    /// The hub can book these while the bank is not connected. This replaces what was said before;
    /// without --cede the bank keeps nothing back.
    Quota {
        /// The bank.
        bank: BankId,
        /// A size of the bank's layout, in millimetres, and how many are kept back:
        /// 400x300x200=2. Can be given once for each size.
        #[arg(long, value_name = "LxWxH=COUNT")]
        cede: Vec<Ceded>,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Say which carriers' couriers can sign in at a bank with six digits of the day.
    ///
    /// Their carriers read the digits from the hub. This replaces what was said before: without a
    /// carrier nobody can, and codes of carriers that are left out open nothing any more, from when
    /// the bank hears of it.
    KeypadCouriers {
        /// The bank.
        bank: BankId,
        /// The carriers, at most 10.
        carriers: Vec<CarrierId>,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Lock a bank down now: only staff can open doors, until two of them lift it at the bank.
    ///
    /// The bank must be connected: an order is never kept for later. The command ends when the bank
    /// has answered.
    LockDown {
        /// The bank.
        bank: BankId,
        /// The call's id.
        #[command(flatten)]
        request: RequestArgs,
    },
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Into maintenance.
    On,
    /// Back into service.
    Off,
}

/// Compartments of one size that are kept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceded {
    /// Room inside, in millimetres.
    pub edges_mm: [u32; 3],
    /// How many.
    pub count: u32,
}

impl FromStr for Ceded {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (size, count) = text.split_once('=')?;
            let mut edges = size.split('x').map(|edge| edge.parse().ok());
            let edges_mm = [edges.next()??, edges.next()??, edges.next()??];
            let nothing_more = edges.next().is_none();
            Some(Self { edges_mm, count: count.parse().ok()? }).filter(|_| nothing_more)
        };
        read().ok_or("expected a size in millimetres and a number, such as 400x300x200=2")
    }
}

/// A bank's compartments, as built.
#[derive(Debug, clap::Args)]
pub struct LayoutArgs {
    /// File with the compartments: TOML, or JSON if it ends in .json.
    ///
    /// In TOML, each compartment is `[[compartments]]` with `number`, `length_mm`, `width_mm`,
    /// `height_mm` (room inside), `board` (address of its lock board, 0 if left out) and `lock`
    /// (its lock there, from 0).
    #[arg(long, value_name = "FILE")]
    pub layout: PathBuf,
}

/// The id of a call that changes something.
#[derive(Debug, clap::Args)]
pub struct RequestArgs {
    /// Repeat an earlier call: the same id and content answer as the first did.
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<Uuid>,
}

impl RequestArgs {
    /// The id given, or a new one.
    #[must_use]
    pub fn id(&self) -> String {
        self.request_id.unwrap_or_else(Uuid::new_v4).to_string()
    }
}

/// What to do with parcels.
#[derive(Debug, Subcommand)]
pub enum ParcelCommand {
    /// Show any carrier's parcel and everything that happened to it.
    Find {
        /// Its carrier.
        carrier: CarrierId,
        /// The carrier's own name for it.
        parcel: String,
    },
}

/// From where to watch.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Begin with the oldest event instead of now.
    #[arg(long, conflicts_with = "token")]
    pub from_beginning: bool,
    /// Go on after this resume token (`--json` shows one with each event).
    #[arg(long, default_value = "", value_name = "TOKEN", hide_default_value = true)]
    pub token: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_or_after_the_command() {
        for line in
            ["hubctl --json bank list", "hubctl bank list --json", "hubctl bank --json list"]
        {
            assert!(Args::try_parse_from(line.split(' ')).unwrap().json, "{line}");
        }
    }

    #[test]
    fn wrong_ids_and_bounds_are_refused_with_what_is_expected() {
        let said = |line: &str| Args::try_parse_from(line.split(' ')).unwrap_err().to_string();
        assert!(said("hubctl bank get Bank_1").contains("lower-case letters"));
        assert!(said("hubctl bank badge b --carrier c --ttl 1441").contains("1..=1440"));
        assert!(said("hubctl bank quota b --cede 400x300=2").contains("such as 400x300x200=2"));
        assert!(said("hubctl bank maintenance b maybe").contains("[possible values: on, off]"));
        assert!(said("hubctl watch --from-beginning --token x").contains("cannot be used with"));
    }
}
