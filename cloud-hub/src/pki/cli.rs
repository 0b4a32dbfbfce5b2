//! `cloud-hub pki ..`: the development PKI from the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use locker_core::ids::{BankId, CarrierId, OperatorId};

use super::{DevPki, Issued, PkiError, PkiSpec};

/// Make certificates and keys for development and tests.
///
/// Everything goes into one directory, the authority's own key included, so use it for a machine
/// of your own and never for lockers that hold parcels. Existing files are never overwritten.
#[derive(Debug, Args)]
pub struct PkiArgs {
    /// Directory of the PKI.
    #[arg(long, global = true, default_value = "pki", value_name = "DIR")]
    pub dir: PathBuf,
    /// What to make.
    #[command(subcommand)]
    pub command: PkiCommand,
}

/// What to make.
#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make the authority, the hub's certificate, the command key and the first credential key.
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
    /// Make another key that signs pickup codes.
    CredentialKey {
        /// Its key id, 0 to 255; agents must hold the public half before its first use.
        key_id: u8,
    },
    /// Write crl.pem, naming these certificates and no others.
    Revoke {
        /// Certificate files, PEM.
        #[arg(required = true, value_name = "FILE")]
        certificates: Vec<PathBuf>,
    },
}

/// Does what was asked for and returns the files that were written, for the caller to print.
///
/// # Errors
/// When a file exists already, or cannot be read or written.
pub fn run(args: PkiArgs) -> Result<Vec<PathBuf>, PkiError> {
    let PkiArgs { dir, command } = args;
    let pair = |issued: Issued| vec![issued.certificate, issued.key];
    match command {
        PkiCommand::Init { hub_names, banks, carriers, operators } => {
            let spec = PkiSpec { hub_names, banks, carriers, operators, ..PkiSpec::default() };
            DevPki::create(dir.clone(), &spec).map(|_| vec![dir])
        }
        PkiCommand::Bank { id } => DevPki::open(dir)?.issue_bank(&id).map(pair),
        PkiCommand::Carrier { id } => DevPki::open(dir)?.issue_carrier(&id).map(pair),
        PkiCommand::Operator { id } => DevPki::open(dir)?.issue_operator(&id).map(pair),
        PkiCommand::CredentialKey { key_id } => {
            DevPki::open(dir)?.issue_credential_key(key_id).map(|path| vec![path])
        }
        PkiCommand::Revoke { certificates } => {
            let paths: Vec<_> = certificates.iter().map(PathBuf::as_path).collect();
            DevPki::open(dir)?.write_revocation_list(&paths).map(|path| vec![path])
        }
    }
}
