//! `cloud-hub pki ..`: the development PKI from the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use locker_core::ids::{BankId, CarrierId, OperatorId};

use super::keys::ROOT;
use super::{DevPki, Issued, KeyKind, PkiError, PkiSpec};

/// Make certificates and keys, and change which keys banks believe.
///
/// Everything goes into one directory, the authority's and the root's own keys included: fine on a
/// machine of your own, for trials. For lockers that hold parcels, do this on a machine that is
/// never connected, and carry to the hub what it needs: certificates, command and credential keys,
/// and key-set.signed. Secret keys are never overwritten.
#[derive(Debug, Args)]
pub struct PkiArgs {
    /// Directory of the PKI.
    #[arg(long, global = true, default_value = "pki", value_name = "DIR")]
    pub dir: PathBuf,
    /// The root's secret half, which signs the key set [default: root.key in the directory].
    #[arg(long, global = true, value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// What to make.
    #[command(subcommand)]
    pub command: PkiCommand,
}

/// What to make.
#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make the authority, the hub's certificate, the root, and a first key of each kind.
    ///
    /// Agents pin the root by its public half, root.pub. Whoever has root.key can open every door
    /// of every bank: keep it offline.
    Init {
        /// Another host name or address of the hub; localhost and 127.0.0.1 are always in.
        #[arg(long = "hub-name", value_name = "NAME")]
        hub_names: Vec<String>,
        /// Issue for this bank too (may be repeated).
        #[arg(long = "bank", value_name = "ID")]
        banks: Vec<BankId>,
        /// Issue for this carrier too (may be repeated).
        #[arg(long = "carrier", value_name = "ID")]
        carriers: Vec<CarrierId>,
        /// Issue for this operator too (may be repeated).
        #[arg(long = "operator", value_name = "ID")]
        operators: Vec<OperatorId>,
    },
    /// Issue a client certificate for a locker bank's agent.
    Bank {
        /// The bank: lower-case letters, digits and inner hyphens, at most 32.
        id: BankId,
    },
    /// Issue a client certificate for a carrier or retailer.
    Carrier {
        /// The carrier: lower-case letters, digits and inner hyphens, at most 32.
        id: CarrierId,
    },
    /// Issue a client certificate for an operator.
    Operator {
        /// The operator: lower-case letters, digits and inner hyphens, at most 32.
        id: OperatorId,
    },
    /// Make another command key, which signs what goes down to banks, and sign the key set anew.
    ///
    /// Then give the hub the new key-set.signed, put the key first under `[keys]` command, and
    /// restart it: each bank gets the set before anything is signed with the key. Once all banks
    /// hold it (`hubctl bank list`), retire the old key.
    CommandKey {
        /// Its key id, 0 to 255; take one that was never used.
        key_id: u8,
    },
    /// Make another credential key, which signs pickup codes, and sign the key set anew.
    ///
    /// Then give the hub the new key-set.signed, put the key first under `[keys]` credential, and
    /// restart it. Codes are signed with the new key for each bank that holds it. Retire the old
    /// key when the last code that it signed has expired.
    CredentialKey {
        /// Its key id, 0 to 255; take one that was never used.
        key_id: u8,
    },
    /// Take a key out of the key set and sign that anew.
    ///
    /// A bank stops believing the key as soon as it gets the new key-set.signed. The key's files
    /// stay where they are.
    Retire {
        /// Which kind.
        kind: KeyKind,
        /// Its key id.
        key_id: u8,
    },
    /// Make another root key, `root-ID.key` and `.pub`, which signs nothing yet.
    ///
    /// Write its public half into root_keys of every agent, beside the old one. Then sign the key
    /// set with it: `pki --root DIR/root-<ID>.key sign`. Take the old one out of the agents last,
    /// and name the new one with --root from then on.
    RootKey {
        /// A number for its file name.
        id: u8,
    },
    /// Sign the key set as it is, with the next generation.
    Sign,
    /// Write crl.pem, naming these certificates and no others.
    Revoke {
        /// Certificate files, PEM.
        #[arg(required = true, value_name = "FILE")]
        certificates: Vec<PathBuf>,
    },
}

/// What was done.
#[derive(Debug)]
pub struct Made {
    /// The files that were written.
    pub files: Vec<PathBuf>,
    /// What to do next, for people.
    pub advice: Option<&'static str>,
}

const OFFLINE: &str = "root.key can make keys that open every door: for more than a trial, keep it \
                       on a machine that is never connected. Agents need root.pub.";
const HAND_ON: &str = "Give the hub the new key-set.signed, change [keys] in its configuration to \
                       match, and restart it.";

/// Does what was asked for and tells what was written, for the caller to print.
///
/// # Errors
/// When a file exists already, or cannot be read or written, or the key set would make no sense.
pub fn run(args: PkiArgs) -> Result<Made, PkiError> {
    let PkiArgs { dir, root, command } = args;
    let root = root.unwrap_or_else(|| dir.join(ROOT));
    let pki = || DevPki::open(dir.clone());
    let pair = |issued: Issued| vec![issued.certificate, issued.key];
    let (files, advice) = match command {
        PkiCommand::Init { hub_names, banks, carriers, operators } => {
            let spec = PkiSpec { hub_names, banks, carriers, operators, ..PkiSpec::default() };
            DevPki::create(dir.clone(), &spec)?;
            (vec![dir], Some(OFFLINE))
        }
        PkiCommand::Bank { id } => (pair(pki()?.issue_bank(&id)?), None),
        PkiCommand::Carrier { id } => (pair(pki()?.issue_carrier(&id)?), None),
        PkiCommand::Operator { id } => (pair(pki()?.issue_operator(&id)?), None),
        PkiCommand::CommandKey { key_id } => {
            (pki()?.add_key(&root, KeyKind::Command, key_id)?, Some(HAND_ON))
        }
        PkiCommand::CredentialKey { key_id } => {
            (pki()?.add_key(&root, KeyKind::Credential, key_id)?, Some(HAND_ON))
        }
        PkiCommand::Retire { kind, key_id } => {
            (pki()?.retire_key(&root, kind, key_id)?, Some(HAND_ON))
        }
        PkiCommand::RootKey { id } => (pki()?.issue_second_root(id)?, None),
        PkiCommand::Sign => (pki()?.sign_again(&root)?, Some(HAND_ON)),
        PkiCommand::Revoke { certificates } => {
            let paths: Vec<_> = certificates.iter().map(PathBuf::as_path).collect();
            (vec![pki()?.write_revocation_list(&paths)?], None)
        }
    };
    Ok(Made { files, advice })
}
