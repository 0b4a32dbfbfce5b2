//! What an operator's first steps make.

use std::os::unix::fs::PermissionsExt as _;

use locker_core::code::digits::Digits;

use super::*;

const CONFIG: &str = r#"
[mqtt]
listen = "127.0.0.1:0"
[grpc]
listen = "127.0.0.1:0"
[tls]
certificate = "hub.pem"
key = "hub.key"
client_authorities = "ca.pem"
[store]
url = "sqlite://hub.db"
[keys]
set = "key-set.signed"
command = [{ id = 1, file = "command-1.key" }]
credential = [{ id = 1, file = "credential-1.key" }]
"#;

const CODES: &str = r#"
[codes]
master_file = "keys/codes-master.key"
sealing = [{ id = 1, file = "keys/sealing-1.key" }]
"#;

fn keys(config: &Path, out: Option<PathBuf>) -> Result<CodesOutput, CodesCommandError> {
    let bank = "bank-1".parse().unwrap();
    let command = CodesCommand::Keys { config: config.to_owned(), bank, generation: 1, out };
    run(CodesArgs { command })
}

#[test]
fn the_secrets_are_made_once_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("keys");
    let init = || run(CodesArgs { command: CodesCommand::Init { dir: dir.clone() } });
    let CodesOutput::Files(paths) = init().unwrap() else { panic!("no files") };
    assert_eq!(paths, [dir.join("codes-master.key"), dir.join("sealing-1.key")]);
    for path in &paths {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        Secret::load(path).unwrap();
    }
    assert!(matches!(init(), Err(CodesCommandError::Exists { .. })));
    std::fs::remove_file(&paths[0]).unwrap();
    assert!(matches!(init(), Err(CodesCommandError::Exists { .. })));
    assert!(!paths[0].exists());
}

#[test]
fn a_banks_file_holds_the_keys_that_the_hub_mints_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud-hub.toml");
    std::fs::write(&path, CONFIG).unwrap();
    assert!(matches!(keys(&path, None), Err(CodesCommandError::NoCodes)));
    std::fs::write(&path, [CONFIG, CODES].concat()).unwrap();
    let dir = folder.path().join("keys");
    run(CodesArgs { command: CodesCommand::Init { dir: dir.clone() } }).unwrap();
    let CodesOutput::Text(text) = keys(&path, None).unwrap() else { panic!("no text") };
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let bytes = |line: &str| -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        (0..line.len()).step_by(2).map(byte).collect()
    };
    let salt = bytes(lines[0]).try_into().unwrap();
    let pepper: [u8; 32] = bytes(lines[1]).try_into().unwrap();
    assert_eq!(lines.len(), 2);
    let read = locker_core::code::tag::TagKeys::new(salt, Zeroizing::new(pepper));
    let master = CodeMaster::load(&dir.join("codes-master.key")).unwrap();
    let minted = master.tag_keys(&"bank-1".parse().unwrap(), Generation(1));
    let digits = Digits::from_number(271_828).unwrap();
    assert_eq!(read.tag(digits).as_bytes(), minted.tag(digits).as_bytes());

    let out = folder.path().join("bank-1.codes");
    keys(&path, Some(out.clone())).unwrap();
    assert_eq!(std::fs::read_to_string(&out).unwrap(), *text);
    assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(keys(&path, Some(out)), Err(CodesCommandError::Exists { .. })));
}
